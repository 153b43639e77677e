"""GetMedia through boto3: what comes back is what was put, from wherever it is asked for, also while it comes in."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from consumer import get_fragments, get_media, list_fragments
from matroska import (
    END_OF_FRAGMENT,
    SEGMENT,
    Fragment,
    Frame,
    Track,
    body,
    chunks,
    cluster,
    element,
    header,
    media,
    open_element,
    tags,
)
from producer import now_ms, numbers, open_session, put
from service import RAISED, Service
from wire import Call, presigned_json

TRACKS = (Track(1), Track(2, 2, "A_AAC", bytes.fromhex("1210")))


@pytest.mark.parametrize("tracks", [TRACKS[:1], TRACKS], ids=["one-track", "two-tracks"])
@pytest.mark.parametrize("known", [False, True], ids=["open", "sized"])
def test_every_frame_and_tag_comes_back_as_it_was_put(
    kvs: Service, stream: str, tracks: tuple[Track, ...], known: bool
) -> None:
    sent = media(now_ms() - 60_000, 5, tracks=tuple(track.number for track in tracks))
    acks = put(kvs, stream, body(sent, tracks, known))
    persisted = numbers(acks)
    for found in (get_media(kvs, stream), get_fragments(kvs, stream, persisted)):
        assert [chunk.number for chunk in found] == persisted
        assert [chunk.fragment for chunk in found] == sent
        assert [tuple(chunk.tracks) for chunk in found] == [tracks] * 5
        assert [chunk.cluster for chunk in found] == [cluster(fragment, known) for fragment in sent]


def test_large_and_odd_fragments_come_back_byte_for_byte(kvs: Service, stream: str) -> None:
    chance = random.Random(7)
    start = now_ms() - 60_000
    sent = [
        Fragment(start, (Frame(1, start, b""), Frame(1, start + 1, chance.randbytes(3_000_000), key=False))),
        Fragment(
            start + 100,
            tuple(
                Frame(1, start + 100 + order, chance.randbytes(chance.randrange(40)), order == 0)
                for order in range(500)
            ),
        ),
        # The picture that is shown first comes later, before its cluster's time (B-frames).
        Fragment(start + 10_000, (Frame(1, start + 10_000, b"I"), Frame(1, start + 9_000, b"b", False, True))),
        Fragment(
            start + 20_000,
            (Frame(1, start + 20_000, chance.randbytes(65_536)), Frame(1, start + 39_999, b"last", False)),
        ),
    ]
    acks = put(kvs, stream, body(sent), kind="ABSOLUTE")
    assert [chunk.fragment for chunk in get_fragments(kvs, stream, numbers(acks))] == sent
    assert [chunk.fragment for chunk in get_media(kvs, stream)] == sent


def test_a_chunk_is_laid_out_as_the_service_lays_it_out(kvs: Service, stream: str) -> None:
    sent, before = media(now_ms() - 5_000, 2), now_ms()
    acks = put(kvs, stream, body(sent))
    as_sent = header()
    at = as_sent.index(open_element(SEGMENT))
    for chunk, number, fragment in zip(get_media(kvs, stream), numbers(acks), sent, strict=True):
        assert chunk.header == as_sent[:at] + open_element(SEGMENT, 8)
        # The producer's tags as they were sent, the service's in front of the cluster, the service's at the end.
        assert chunk.raw_tags[0] == tags(fragment.tags)
        assert [(front, [name for name, _ in pairs]) for front, pairs in chunk.tags[1:]] == [
            (
                True,
                [f"AWS_KINESISVIDEO_{name}" for name in ("FRAGMENT_NUMBER", "SERVER_TIMESTAMP", "PRODUCER_TIMESTAMP")],
            ),
            (False, [f"AWS_KINESISVIDEO_{name}" for name in ("MILLIS_BEHIND_NOW", "CONTINUATION_TOKEN")]),
        ]
        assert chunk.raw_tags[1].startswith(bytes.fromhex("1254C367100000")) and chunk.raw_tags[2].startswith(
            bytes.fromhex("1254C367100000")
        )
        own = chunk.own()
        assert own["AWS_KINESISVIDEO_FRAGMENT_NUMBER"] == own["AWS_KINESISVIDEO_CONTINUATION_TOKEN"] == number
        assert own["AWS_KINESISVIDEO_PRODUCER_TIMESTAMP"] == f"{fragment.timecode / 1000:.3f}"
        assert before <= round(float(own["AWS_KINESISVIDEO_SERVER_TIMESTAMP"]) * 1000) <= now_ms()
        assert 0 <= int(own["AWS_KINESISVIDEO_MILLIS_BEHIND_NOW"]) <= now_ms() - before


def test_each_selector_begins_where_it_says(kvs: Service, stream: str) -> None:
    start = now_ms() - 3_600_000
    sent = media(start, 5, step=2_000)
    persisted = numbers(put(kvs, stream, body(sent)))
    rows = list_fragments(kvs, stream)

    def places(kind: str, **more: Any) -> list[int]:
        return [persisted.index(chunk.number) for chunk in get_media(kvs, stream, kind, **more)]

    assert places("EARLIEST") == [0, 1, 2, 3, 4]
    assert places("FRAGMENT_NUMBER", AfterFragmentNumber=persisted[1]) == [2, 3, 4]
    assert places("FRAGMENT_NUMBER", AfterFragmentNumber=persisted[4]) == []
    assert places("CONTINUATION_TOKEN", ContinuationToken=persisted[2]) == [3, 4]
    # On a fragment's first frame, within it, on its last frame, between two, before all of them, behind all of them.
    for time_ms, expected in [
        (start + 2_000, [1, 2, 3, 4]),
        (start + 3_200, [1, 2, 3, 4]),
        (start + 3_500, [1, 2, 3, 4]),
        (start + 3_900, [2, 3, 4]),
        (start - 1, [0, 1, 2, 3, 4]),
        (start + 60_000, []),
    ]:
        assert places("PRODUCER_TIMESTAMP", StartTimestamp=time_ms / 1000) == expected, time_ms - start
    server = rows[0]["ServerTimestamp"].timestamp()
    assert places("SERVER_TIMESTAMP", StartTimestamp=server)[0] == 0
    assert places("SERVER_TIMESTAMP", StartTimestamp=server - 10) == [0, 1, 2, 3, 4]
    assert places("SERVER_TIMESTAMP", StartTimestamp=server + 60) == []


def test_a_reader_goes_on_with_its_token(kvs: Service, stream: str) -> None:
    start = now_ms() - 60_000
    put(kvs, stream, body(media(start, 3)))
    token = get_media(kvs, stream)[-1].own()["AWS_KINESISVIDEO_CONTINUATION_TOKEN"]
    assert get_media(kvs, stream, "CONTINUATION_TOKEN", ContinuationToken=token) == []
    more = media(start + 10_000, 2)
    put(kvs, stream, body(more))
    assert [chunk.fragment for chunk in get_media(kvs, stream, "CONTINUATION_TOKEN", ContinuationToken=token)] == more


def test_frames_are_forwarded_before_their_fragment_is_complete(kvs: Service, stream: str) -> None:
    start = now_ms()
    first = Fragment(start, (Frame(1, start, b"first frame " * 20),))
    client = kvs.data_client("GET_MEDIA", stream)
    with open_session(kvs, stream) as session:
        session.send(header() + cluster(first))
        session.until("BUFFERING")
        answer = client.get_media(StreamName=stream, StartSelector={"StartSelectorType": "NOW"})
        with contextlib.closing(answer["Payload"]) as payload:
            seen = b""
            while first.frames[0].payload not in seen:
                seen += payload.read(1)
            # Nothing has ended it yet, neither the producer nor the reader's patience.
            second = Frame(1, start + 100, b"second frame " * 20, key=False)
            session.send(cluster(Fragment(start, (second,)))[len(cluster(Fragment(start, ()))) :])
            while second.payload not in seen:
                seen += payload.read(1)
            session.send(END_OF_FRAGMENT)
            session.until("RECEIVED")
            session.finish()
            seen += payload.read()
    (chunk,) = chunks(seen)
    assert chunk.frames == [first.frames[0], second]
    assert int(chunk.own()["AWS_KINESISVIDEO_MILLIS_BEHIND_NOW"]) < 5_000


def test_a_reader_goes_from_the_archive_into_what_comes_in_without_a_seam(kvs: Service, stream: str) -> None:
    start = now_ms() - 10_000
    sent = media(start, 10)
    client = kvs.data_client("GET_MEDIA", stream)
    with open_session(kvs, stream) as session:
        session.send(body(sent[:5]) + END_OF_FRAGMENT)
        for _ in range(5):
            session.until("PERSISTED")
        answer = client.get_media(StreamName=stream, StartSelector={"StartSelectorType": "EARLIEST"})
        with contextlib.closing(answer["Payload"]) as payload:
            seen = b""
            for fragment in sent[5:]:
                session.send(tags(fragment.tags) + cluster(fragment))
                while fragment.frames[-1].payload not in seen:
                    seen += payload.read(1)
            session.finish()
            list(session.acks())
            seen += payload.read()
    assert [chunk.fragment for chunk in chunks(seen)] == sent


def test_a_stream_without_retention_is_live_all_the_same(kvs: Service, name: str) -> None:
    kvs.create(name, hours=0)
    sent = media(now_ms(), 3)
    client = kvs.data_client("GET_MEDIA", name)
    with open_session(kvs, name) as session:
        session.send(body(sent[:1]))
        session.until("BUFFERING")
        answer = client.get_media(StreamName=name, StartSelector={"StartSelectorType": "NOW"})
        with contextlib.closing(answer["Payload"]) as payload:
            seen = payload.read(1)
            for fragment in sent[1:]:
                session.send(tags(fragment.tags) + cluster(fragment))
            session.finish()
            list(session.acks())
            seen += payload.read()
    assert [chunk.fragment for chunk in chunks(seen)] == sent


def test_an_idle_stream_answers_nothing_for_three_seconds(serve: Callable[..., Service], name: str) -> None:
    service = serve(config="")
    service.create(name)
    began = time.monotonic()
    client = service.data_client("GET_MEDIA", name)
    answer = client.get_media(StreamName=name, StartSelector={"StartSelectorType": "NOW"})
    head = time.monotonic() - began
    with contextlib.closing(answer["Payload"]) as payload:
        assert payload.read() == b""
    assert head < 2.5
    assert 2.9 <= time.monotonic() - began < 10


def test_a_stream_has_three_readers_at_a_time(kvs: Service, stream: str) -> None:
    client = kvs.data_client("GET_MEDIA", stream)

    def read() -> Any:
        return client.get_media(StreamName=stream, StartSelector={"StartSelectorType": "NOW"})["Payload"]

    with open_session(kvs, stream) as session:
        # One frame of an open fragment keeps them there.
        session.send(header() + cluster(media(now_ms(), 1)[0]))
        session.until("BUFFERING")
        readers = [read() for _ in range(3)]
        with pytest.raises(client.exceptions.ConnectionLimitExceededException) as refused:
            read()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        session.finish()
        list(session.acks())
    for reader in readers:
        assert len(chunks(reader.read())) == 1
    read().close()


@pytest.mark.parametrize(
    "selector",
    [
        {"StartSelectorType": "YESTERDAY"},
        {"StartSelectorType": "FRAGMENT_NUMBER"},
        {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": "twelve"},
        {"StartSelectorType": "SERVER_TIMESTAMP"},
        {"StartSelectorType": "PRODUCER_TIMESTAMP"},
        {"StartSelectorType": "CONTINUATION_TOKEN"},
        {"StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": "not a token"},
        {"StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": "nobody-gave-this"},
    ],
)
def test_a_selector_that_says_too_little_is_refused(kvs: Service, stream: str, selector: dict[str, Any]) -> None:
    client = kvs.data_client("GET_MEDIA", stream)
    with pytest.raises(client.exceptions.InvalidArgumentException):
        client.get_media(StreamName=stream, StartSelector=selector)


def test_a_stream_that_is_not_there_has_no_media(kvs: Service, stream: str) -> None:
    client = kvs.data_client("GET_MEDIA", stream)
    for which in (
        {"StreamName": stream + ".other"},
        {"StreamARN": f"arn:aws:kinesisvideo:us-west-2:111122223333:stream/{stream}/1"},
    ):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.get_media(StartSelector={"StartSelectorType": "NOW"}, **which)
    for which in (
        {},
        {"StreamName": stream, "StreamARN": f"arn:aws:kinesisvideo:us-west-2:111122223333:stream/{stream}/1"},
    ):
        with pytest.raises(client.exceptions.InvalidArgumentException):
            client.get_media(StartSelector={"StartSelectorType": "NOW"}, **which)


def test_a_reader_of_a_stream_that_is_deleted_is_told_so(serve: Callable[..., Service], name: str) -> None:
    # The reader must not lose patience before the stream is deleted.
    service = serve(config=RAISED.replace('get_media_idle = "1s"', 'get_media_idle = "20s"'))
    arn, client = service.create(name), service.data_client("GET_MEDIA", name)
    put(service, name, body(media(now_ms(), 1)))
    answer = client.get_media(StreamName=name, StartSelector={"StartSelectorType": "EARLIEST"})
    with contextlib.closing(answer["Payload"]) as payload:
        seen = payload.read(1)
        service.control.delete_stream(StreamARN=arn)
        seen += payload.read()
    last = chunks(seen)[-1]
    assert last.own()["AWS_KINESISVIDEO_ERROR_ID"] == "4000" and last.timecode is None
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_media(StreamName=name, StartSelector={"StartSelectorType": "EARLIEST"})


def test_a_fragment_that_never_was_is_told_in_band(kvs: Service, stream: str) -> None:
    put(kvs, stream, body(media(now_ms(), 1)))
    (told,) = get_media(kvs, stream, "FRAGMENT_NUMBER", AfterFragmentNumber="1234567890")
    assert told.timecode is None and told.own()["AWS_KINESISVIDEO_ERROR_ID"] == "4000"


def test_a_reader_may_sign_in_the_query(kvs: Service, stream: str) -> None:
    sent = media(now_ms() - 10_000, 2)
    put(kvs, stream, body(sent))
    ask = {"StreamName": stream, "StartSelector": {"StartSelectorType": "EARLIEST"}}
    with Call(kvs, presigned_json(kvs, "/getMedia", ask)) as call:
        answer = call.head()
        assert (answer.status, answer.headers["content-type"], answer.headers["transfer-encoding"]) == (
            200,
            "video/webm",
            "chunked",
        )
        assert [chunk.fragment for chunk in chunks(call.chunks())] == sent


def test_void_and_other_elements_between_clusters_do_no_harm(kvs: Service, stream: str) -> None:
    first, second = media(now_ms(), 2)
    void = element(0xEC, bytes(100))
    put(kvs, stream, header() + void + tags(first.tags) + cluster(first) + void + tags(second.tags) + cluster(second))
    assert [chunk.fragment for chunk in get_media(kvs, stream)] == [first, second]
