"""Faults on command: what the network, the service and AWS itself do on a bad day."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ResponseStreamingError

import service as services
from consumer import between, get_media, list_fragments
from matroska import body, chunks, cluster, header, media
from producer import media_headers, now_ms, numbers, open_session, put, signed
from service import Service
from wire import Call, refusal

pytestmark = pytest.mark.usefixtures("no_faults")


@pytest.mark.parametrize("event", ["BUFFERING", "RECEIVED", "PERSISTED"])
def test_acks_of_an_event_never_come(kvs: Service, stream: str, event: str) -> None:
    kvs.fault({"drop_acks": {"event": event}}, stream=stream, times=1)
    every = ["BUFFERING", "RECEIVED", "PERSISTED"]
    dropped = [ack["EventType"] for ack in put(kvs, stream, body(media(now_ms(), 1)))]
    assert dropped == [other for other in every if other != event]
    assert [ack["EventType"] for ack in put(kvs, stream, body(media(now_ms(), 1)))] == every


def test_acks_come_late(kvs: Service, stream: str) -> None:
    kvs.fault({"delay_acks": {"millis": 700}}, stream=stream)
    began = time.monotonic()
    acks = put(kvs, stream, body(media(now_ms(), 2)))
    assert time.monotonic() - began >= 0.7
    assert len(numbers(acks)) == 2


def test_a_fragment_is_refused(kvs: Service, stream: str) -> None:
    kvs.fault({"error_ack": {"fragment": 3, "id": 4004}}, stream=stream, times=1)
    acks = put(kvs, stream, body(media(now_ms(), 5)))
    (error,) = [ack for ack in acks if ack["EventType"] == "ERROR"]
    assert (error["ErrorId"], error["ErrorCode"]) == (4004, "FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS")
    assert len(numbers(acks)) == 2 == len(list_fragments(kvs, stream))


@pytest.mark.parametrize("how", ["close_after", "reset_after"])
def test_a_producers_connection_ends(kvs: Service, stream: str, how: str) -> None:
    sent = media(now_ms(), 3)
    first = header() + cluster(sent[0]) + cluster(sent[1])
    kvs.fault({how: {"bytes": len(first) + 20}}, stream=stream, times=1)
    with open_session(kvs, stream) as session:
        session.send(first)
        session.until("PERSISTED")
        session.send(cluster(sent[2]))
        error = ConnectionResetError if how == "reset_after" else EOFError
        with pytest.raises((error, BrokenPipeError) if how == "reset_after" else error):
            list(session.acks())
    assert [row["FragmentNumber"] for row in list_fragments(kvs, stream)]


@pytest.mark.parametrize("how", ["close_after", "reset_after"])
def test_a_readers_connection_ends(kvs: Service, stream: str, how: str) -> None:
    put(kvs, stream, body(media(now_ms(), 20, size_of=20_000)))
    kvs.fault({how: {"bytes": 100_000}}, stream=stream, times=1)
    client = kvs.data_client("GET_MEDIA", stream)
    answer = client.get_media(StreamName=stream, StartSelector={"StartSelectorType": "EARLIEST"})
    with contextlib.closing(answer["Payload"]) as payload, pytest.raises(ResponseStreamingError):
        payload.read()
    assert len(get_media(kvs, stream)) == 20


def test_a_connection_stands_still(kvs: Service, stream: str) -> None:
    kvs.fault({"stall_after": {"bytes": 200}}, stream=stream, times=1)
    with open_session(kvs, stream) as session:
        session.send(body(media(now_ms(), 2)))
        session.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            for _ in range(10):
                session.chunk()
    # Others go on meanwhile.
    assert len(numbers(put(kvs, stream, body(media(now_ms(), 1))))) == 1


def test_producers_that_gave_up_a_still_connection_are_let_in_again(kvs: Service, stream: str) -> None:
    kvs.fault({"stall_after": {"bytes": 1}}, stream=stream, times=5)
    request, still = signed(kvs, media_headers(stream)), list[Call]()
    while len(still) < 5:
        call = Call(kvs, request)
        # The service may not have come to the byte that stops the one before.
        if call.head().status == 200:
            call.send(b"x")
            still.append(call)
        else:
            call.socket.close()
    assert len(numbers(put(kvs, stream, body(media(now_ms(), 1))))) == 1
    for call in still:
        call.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            call.socket.recv(1)
        call.socket.close()


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_an_operation_is_refused(kvs: Service, stream: str, status: int) -> None:
    kvs.fault({"refuse": {"operation": "PutMedia", "status": status}}, stream=stream, times=1)
    assert refusal(kvs, signed(kvs, media_headers(stream))).status == status
    kvs.fault({"refuse": {"operation": "GetMedia", "status": status}}, stream=stream, times=1)
    client = kvs.data_client("GET_MEDIA", stream)
    with pytest.raises(ClientError) as refused:
        client.get_media(StreamName=stream, StartSelector={"StartSelectorType": "NOW"})
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert len(numbers(put(kvs, stream, body(media(now_ms(), 1))))) == 1


@pytest.mark.parametrize(
    "operation", ["DescribeStream", "GetDataEndpoint", "CreateStream", "ListFragments", "GetMediaForFragmentList"]
)
def test_every_operation_can_be_refused(kvs: Service, stream: str, name: str, operation: str) -> None:
    lists, gets = kvs.data_client("LIST_FRAGMENTS", stream), kvs.data_client("GET_MEDIA_FOR_FRAGMENT_LIST", stream)
    number = numbers(put(kvs, stream, body(media(now_ms(), 1))))[0]
    kvs.fault({"refuse": {"operation": operation, "status": 503}}, times=1)
    calls: dict[str, Callable[[], Any]] = {
        "DescribeStream": lambda: kvs.control.describe_stream(StreamName=stream),
        "GetDataEndpoint": lambda: kvs.control.get_data_endpoint(StreamName=stream, APIName="PUT_MEDIA"),
        "CreateStream": lambda: kvs.create(name + ".new"),
        "ListFragments": lambda: lists.list_fragments(
            StreamName=stream, FragmentSelector=between("SERVER_TIMESTAMP", 0, 4e9)
        ),
        "GetMediaForFragmentList": lambda: gets.get_media_for_fragment_list(StreamName=stream, Fragments=[number]),
    }
    with pytest.raises(ClientError) as refused:
        calls[operation]()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    calls[operation]()


def test_a_session_expires_early(kvs: Service, stream: str) -> None:
    kvs.fault({"expire_session": {"millis": 500}}, stream=stream, times=1)
    with open_session(kvs, stream) as session:
        session.send(header())
        (error,) = session.acks()
    assert error["ErrorId"] == 4003


def test_the_services_clock_is_wrong(kvs: Service, stream: str) -> None:
    kvs.fault({"skew_clock": {"millis": 240_000}})
    before = now_ms()
    put(kvs, stream, body(media(before, 1)))
    (row,) = list_fragments(kvs, stream)
    assert 200_000 < round(row["ServerTimestamp"].timestamp() * 1000) - before < 300_000
    kvs.ask("DELETE", "/faults")
    kvs.fault({"skew_clock": {"millis": -600_000}})
    assert "not yet current" in refusal(kvs, signed(kvs, media_headers(stream))).message


def test_lists_are_in_no_order_as_those_of_aws(kvs: Service, stream: str) -> None:
    persisted = numbers(put(kvs, stream, body(media(now_ms(), 40))))
    kvs.fault("shuffle_lists", stream=stream)
    client, found, token = kvs.data_client("LIST_FRAGMENTS", stream), [], ""
    while True:
        more = {"NextToken": token} if token else {"FragmentSelector": between("SERVER_TIMESTAMP", 0, 4e9)}
        page = client.list_fragments(StreamName=stream, MaxResults=7, **more)
        found += [row["FragmentNumber"] for row in page["Fragments"]]
        token = page.get("NextToken")
        if not token:
            break
    assert found != persisted and sorted(found) == persisted
    assert sorted(found[:7]) != persisted[:7]


def test_what_is_persisted_is_listed_late(kvs: Service, stream: str) -> None:
    kvs.fault({"list_late": {"millis": 600_000}}, stream=stream)
    persisted = numbers(put(kvs, stream, body(media(now_ms(), 1))))
    assert list_fragments(kvs, stream) == []
    kvs.ask("DELETE", "/faults")
    assert [row["FragmentNumber"] for row in list_fragments(kvs, stream)] == persisted


def test_get_media_ends_again_and_again(kvs: Service, stream: str) -> None:
    kvs.fault({"end_get_media": {"millis": 1}}, stream=stream)
    sent = media(now_ms(), 3)
    put(kvs, stream, body(sent))
    found = get_media(kvs, stream)
    while len(found) < 3:
        token = found[-1].own()["AWS_KINESISVIDEO_CONTINUATION_TOKEN"]
        more = get_media(kvs, stream, "CONTINUATION_TOKEN", ContinuationToken=token)
        assert more, found
        found += more
    assert [chunk.fragment for chunk in found] == sent


def test_the_command_sets_and_clears_faults(kvs: Service, stream: str) -> None:
    services.kvs(
        "faults",
        "set",
        json.dumps({"stream": stream, "what": {"refuse": {"operation": "PutMedia", "status": 500}}}),
        "--data",
        kvs.data,
    )
    assert refusal(kvs, signed(kvs, media_headers(stream))).status == 500
    services.kvs("faults", "clear", "--data", kvs.data)
    with Call(kvs, signed(kvs, media_headers(stream))) as call:
        assert call.head().status == 200


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "{}",
        '{"what":"burn"}',
        '{"what":{"refuse":{"operation":"PutMedia","status":200}}}',
        '{"what":{"drop_acks":{"event":"LATE"}}}',
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(kvs: Service, wrong: str) -> None:
    assert kvs.ask("POST", "/faults", wrong)[0] == 400


def test_without_the_flag_nobody_commands_faults(serve: Callable[..., Service]) -> None:
    service = serve()
    assert service.ask("POST", "/faults", json.dumps({"what": "shuffle_lists"}))[0] == 404
    said = services.kvs("faults", "set", '{"what":"shuffle_lists"}', "--data", service.data, check=False)
    assert said.returncode == 1 and "--allow-faults" in said.stderr


def test_chunks_of_a_broken_answer_are_whole_up_to_the_break(kvs: Service, stream: str) -> None:
    sent = media(now_ms(), 10, size_of=5_000)
    put(kvs, stream, body(sent))
    kvs.fault({"close_after": {"bytes": 50_000}}, stream=stream, times=1)
    client = kvs.data_client("GET_MEDIA", stream)
    answer = client.get_media(StreamName=stream, StartSelector={"StartSelectorType": "EARLIEST"})
    seen = b""
    with contextlib.closing(answer["Payload"]) as payload, contextlib.suppress(ResponseStreamingError):
        while piece := payload.read(500):
            seen += piece
    assert len(seen) == 50_000
    marker = b"AWS_KINESISVIDEO_CONTINUATION_TOKEN"
    whole = seen[: seen.rindex(marker) + len(marker) + 6 + 47]
    found = [chunk.fragment for chunk in chunks(whole)]
    assert found and found == sent[: len(found)]
