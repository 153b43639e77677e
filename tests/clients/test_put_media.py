"""PutMedia as producers send it: every way to sign, every way to cut, acks while the media goes out."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

import pytest

import producer
from consumer import get_fragments, get_media, list_fragments
from matroska import END_OF_FRAGMENT, Fragment, body, cluster, header, media, tags
from producer import Session, media_headers, now_ms, numbers, open_session, presigned, put, signed, signed_as_java
from service import Service
from wire import LAST_CHUNK, Call, http_chunk

START = 1_700_000_000_000


def without_port(service: Service, headers: dict[str, str]) -> bytes:
    return signed(service, headers, host=service.address[0])


def by_arn(service: Service, headers: dict[str, str]) -> bytes:
    arn = service.control.describe_stream(StreamName=headers[producer.NAME])["StreamInfo"]["StreamARN"]
    return signed(
        service, {producer.ARN: arn, **{name: value for name, value in headers.items() if name != producer.NAME}}
    )


def with_connection(service: Service, headers: dict[str, str]) -> bytes:
    return signed(service, {"connection": "keep-alive", "content-type": "application/json", **headers})


SIGNERS: list[Callable[[Service, dict[str, str]], bytes]] = [
    signed,
    signed_as_java,
    presigned,
    without_port,
    by_arn,
    with_connection,
]


@pytest.mark.parametrize("sign", SIGNERS, ids=lambda sign: sign.__name__)
def test_a_producer_is_let_in_however_it_signs(
    kvs: Service, stream: str, sign: Callable[[Service, dict[str, str]], bytes]
) -> None:
    sent = media(START, 2)
    with Session(kvs, sign(kvs, media_headers(stream))) as session:
        # The head has come, and not a byte of media has been sent.
        assert session.answer.headers["content-type"] == "application/json"
        assert session.answer.headers["transfer-encoding"] == "chunked"
        assert re.fullmatch(r"[0-9a-f-]{36}", session.answer.headers["x-amzn-requestid"])
        session.send(body(sent))
        session.finish()
        acks = list(session.acks())
    assert [chunk.fragment for chunk in get_fragments(kvs, stream, numbers(acks))] == sent


def test_acks_come_in_order_while_the_media_goes_out(kvs: Service, stream: str) -> None:
    first, second, third = media(now_ms(), 3)
    with open_session(kvs, stream) as session:
        session.send(header())
        session.send(cluster(first)[:30])
        assert [ack["EventType"] for ack in session.until("BUFFERING")] == ["BUFFERING"]
        session.send(cluster(first)[30:])
        # The next level-1 element ends the first fragment, and is no part of it.
        session.send(tags(second.tags))
        acks = session.until("PERSISTED")
        assert [ack["EventType"] for ack in acks] == ["RECEIVED", "PERSISTED"]
        assert {ack["FragmentTimecode"] for ack in acks} == {first.timecode}
        session.send(cluster(second))
        assert session.until("BUFFERING")[-1]["FragmentTimecode"] == second.timecode
        session.send(END_OF_FRAGMENT)
        assert [ack["EventType"] for ack in session.until("PERSISTED")] == ["RECEIVED", "PERSISTED"]
        session.send(cluster(third))
        session.finish()
        rest = list(session.acks())
    assert [(ack["EventType"], ack["FragmentTimecode"]) for ack in rest] == [
        (event, third.timecode) for event in ("BUFFERING", "RECEIVED", "PERSISTED")
    ]
    for ack in acks + rest:
        assert set(ack) == {"EventType", "FragmentTimecode", "FragmentNumber"}
        assert re.fullmatch(r"9134385233\d{37}", ack["FragmentNumber"])
    assert [chunk.timecode for chunk in get_media(kvs, stream)] == [first.timecode, second.timecode, third.timecode]


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64, 1460])
def test_a_body_cut_anywhere_is_the_same_body(kvs: Service, stream: str, piece: int) -> None:
    sent = media(START, 3, size_of=200)
    with open_session(kvs, stream) as session:
        session.send(body(sent), piece)
        session.finish()
        acks = list(session.acks())
    assert [chunk.fragment for chunk in get_fragments(kvs, stream, numbers(acks))] == sent


@pytest.mark.parametrize("piece", [1, 2, 5])
def test_segments_may_end_within_the_heads_of_chunks(kvs: Service, stream: str, piece: int) -> None:
    sent = media(START, 2, frames=2, size_of=40)
    whole = body(sent)
    # Chunk extensions and leading zeros are legal, and nobody sends them.
    wire = b"".join(
        b"0%x;x=y\r\n%s\r\n" % (len(part), part) for part in (whole[at : at + 11] for at in range(0, len(whole), 11))
    )
    with open_session(kvs, stream) as session:
        session.send_raw(wire + LAST_CHUNK, piece)
        acks = list(session.acks())
    assert [chunk.fragment for chunk in get_fragments(kvs, stream, numbers(acks))] == sent


@pytest.mark.parametrize("piece", [None, 1, 9])
def test_the_head_of_a_request_may_come_in_pieces_with_the_media_behind_it(
    kvs: Service, stream: str, piece: int | None
) -> None:
    sent = media(START, 1)
    wire = signed(kvs, media_headers(stream)) + http_chunk(body(sent)) + LAST_CHUNK
    with Call(kvs, wire[:1]) as call:
        call.send_raw(wire[1:], piece)
        assert call.head().status == 200
        lines = list(iter(call.chunk, b""))
    assert [line[:25] for line in lines] == [
        b'{"EventType":"BUFFERING",',
        b'{"EventType":"RECEIVED","',
        b'{"EventType":"PERSISTED",',
    ]


def test_a_producer_that_expects_it_is_told_to_continue(kvs: Service, stream: str) -> None:
    with Session(kvs, signed(kvs, {"Expect": "100-continue", **media_headers(stream)})) as session:
        assert session.interim == [100]
        session.send(body(media(START, 1)))
        session.finish()
        assert len(list(session.acks())) == 3


def test_a_producer_that_is_refused_is_not_told_to_continue(kvs: Service, name: str) -> None:
    with Call(kvs, signed(kvs, {"Expect": "100-continue", **media_headers(name)})) as call:
        assert (call.head().status, call.interim) == (404, [])


def test_relative_timecodes_count_from_the_producers_start(kvs: Service, stream: str) -> None:
    sent = media(0, 2, step=2000)
    # Without the zeros of the milliseconds, as the C producer prints them.
    acks = put(kvs, stream, body(sent), kind="RELATIVE", start="1600995182.7")
    assert [ack["FragmentTimecode"] for ack in acks if ack["EventType"] == "RECEIVED"] == [0, 2000]
    rows = list_fragments(kvs, stream)
    assert [row["ProducerTimestamp"].timestamp() for row in rows] == [1600995182.7, 1600995184.7]
    found = get_media(kvs, stream)
    assert [chunk.own()["AWS_KINESISVIDEO_PRODUCER_TIMESTAMP"] for chunk in found] == [
        "1600995182.700",
        "1600995184.700",
    ]
    assert [chunk.fragment for chunk in found] == sent


def test_absolute_timecodes_are_times_whatever_the_start_is_said_to_be(kvs: Service, stream: str) -> None:
    put(kvs, stream, body(media(5_000, 1)), start="0")
    (chunk,) = get_media(kvs, stream)
    assert chunk.own()["AWS_KINESISVIDEO_PRODUCER_TIMESTAMP"] == "5.000"


def test_clusters_may_say_their_size_or_not(kvs: Service, stream: str) -> None:
    sent = media(START, 3)
    for known in (True, False):
        acks = put(kvs, stream, body(sent, known=known))
        found = get_fragments(kvs, stream, numbers(acks))
        assert [chunk.cluster for chunk in found] == [cluster(fragment, known) for fragment in sent]


def test_fragment_numbers_grow_within_a_session_and_from_session_to_session(kvs: Service, stream: str) -> None:
    before, sessions = now_ms(), [numbers(put(kvs, stream, body(media(START, 3)))) for _ in range(3)]
    all_numbers = [int(number) for session in sessions for number in session]
    assert all_numbers == sorted(set(all_numbers))
    parts = [((number >> 92) - (1 << 64), (number & ((1 << 92) - 1)) >> 28) for number in all_numbers]
    assert [sequence for sequence, _ in parts] == [1, 2, 3, 1001, 1002, 1003, 2001, 2002, 2003]
    assert all(before <= server_time <= now_ms() for _, server_time in parts)
    # Sessions may send the same times again: each is a fragment of its own (kvs-api 3.8).
    assert len(list_fragments(kvs, stream)) == 9


def test_a_stream_that_keeps_nothing_persists_nothing(kvs: Service, name: str) -> None:
    kvs.create(name, hours=0)
    events = [ack["EventType"] for ack in put(kvs, name, body(media(now_ms(), 2)))]
    assert events == ["BUFFERING", "RECEIVED"] * 2


@pytest.mark.parametrize(("value", "count"), [("0", 0), ("1", 3), (None, 3)])
def test_acks_come_unless_they_are_not_wanted(kvs: Service, stream: str, value: str | None, count: int) -> None:
    headers = {**media_headers(stream), producer.ACK: value}
    with Session(kvs, signed(kvs, {name: text for name, text in headers.items() if text is not None})) as session:
        session.send(body(media(START, 1)))
        session.finish()
        assert len(list(session.acks())) == count
    assert len(list_fragments(kvs, stream)) == 1


def test_a_producer_that_changes_its_connection_has_two_for_a_moment(kvs: Service, stream: str) -> None:
    first, second = media(START, 2)
    with open_session(kvs, stream) as old, open_session(kvs, stream) as new:
        old.send(body([first]) + END_OF_FRAGMENT)
        new.send(body([second]))
        old.until("PERSISTED")
        old.finish()
        assert list(old.acks()) == []
        new.finish()
        assert [ack["EventType"] for ack in new.acks()] == ["BUFFERING", "RECEIVED", "PERSISTED"]
    assert {chunk.timecode for chunk in get_media(kvs, stream)} == {first.timecode, second.timecode}


def test_more_producers_than_may_be_are_refused_and_those_that_are_there_go_on(kvs: Service, stream: str) -> None:
    with contextlib.ExitStack() as open_ones:
        sessions = []
        for _ in range(10):
            call = open_ones.enter_context(Call(kvs, signed(kvs, media_headers(stream))))
            answer = call.head()
            if answer.status != 200:
                break
            sessions.append(call)
        assert 2 <= len(sessions) < 10
        assert answer.status == 400
        assert answer.headers["x-amzn-errortype"].startswith("ConnectionLimitExceededException")
        for call in sessions:
            call.finish()
            assert call.chunk() == b""


def test_a_connection_that_breaks_costs_the_open_fragment_alone(kvs: Service, stream: str, name: str) -> None:
    kvs.create(name + ".other")
    sent: list[Fragment] = media(now_ms(), 3)
    with open_session(kvs, name + ".other") as other:
        other.send(header() + cluster(sent[0]))
        other.until("BUFFERING")
        with open_session(kvs, stream) as broken:
            broken.send(header() + cluster(sent[0]) + cluster(sent[1]) + cluster(sent[2])[:-50])
            assert numbers(broken.until("PERSISTED"))
            broken.until("PERSISTED")
        other.send(cluster(sent[1]))
        other.finish()
        assert len(numbers(other.acks())) == 2
    assert [chunk.timecode for chunk in get_media(kvs, stream)] == [fragment.timecode for fragment in sent[:2]]
