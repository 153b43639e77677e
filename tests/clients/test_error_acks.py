"""What is wrong with the media is said by number, ends its session, and costs no fragment that came before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from consumer import get_fragments, get_media, list_fragments
from matroska import (
    CLUSTER,
    END_OF_FRAGMENT,
    Fragment,
    Frame,
    Track,
    body,
    cluster,
    element,
    header,
    media,
    open_element,
    tags,
    unsigned,
)
from producer import now_ms, numbers, open_session, put
from service import RAISED, Service

#: Small and short, so that a test can go beyond.
STRICT = (
    RAISED
    + """
[limits.session]
fragment_bytes = "100kB"
idle = "1500ms"
idle_ack = "400ms"
"""
)
START = 1_760_000_000_000
NAMES = {
    4001: "MAX_FRAGMENT_SIZE_REACHED",
    4002: "MAX_FRAGMENT_DURATION_REACHED",
    4003: "MAX_CONNECTION_DURATION_REACHED",
    4004: "FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS",
    4005: "MORE_THAN_ALLOWED_TRACKS_FOUND",
    4006: "INVALID_MKV_DATA",
    4007: "INVALID_PRODUCER_TIMESTAMP",
    4008: "STREAM_NOT_ACTIVE",
    4009: "FRAGMENT_METADATA_LIMIT_REACHED",
    4010: "TRACK_NUMBER_MISMATCH",
    4011: "FRAMES_MISSING_FOR_TRACK",
    4012: "INVALID_FRAGMENT_METADATA",
}
TWO = (Track(1), Track(2, 2, "A_AAC", b"\x12\x10"))


@pytest.fixture(scope="module")
def kvs(serve: Callable[..., Service]) -> Service:
    return serve("--allow-faults", config=STRICT)


def one(time: int, *frames: Frame, pairs: tuple[tuple[str, str], ...] = ()) -> bytes:
    return tags(pairs) + cluster(Fragment(time, frames))


def frame(time: int, size: int = 10, track: int = 1) -> Frame:
    return Frame(track, time, bytes(size))


NEXT = START + 10_000
#: What comes behind two good fragments, whose last frame is at START + 1750.
POISON: dict[str, tuple[int, bytes]] = {
    "a-large-frame": (4001, one(NEXT, frame(NEXT, 100_001))),
    "many-frames": (4001, one(NEXT, *(frame(NEXT + at, 10_000) for at in range(11)))),
    "too-long": (4002, one(NEXT, frame(NEXT), frame(NEXT + 20_001))),
    "too-long-backwards": (4002, one(NEXT + 20_001, frame(NEXT + 20_001), frame(NEXT))),
    "the-last-time-again": (4004, one(START + 1_750, frame(START + 1_750))),
    "an-earlier-time": (4004, one(START, frame(START))),
    "an-earlier-frame": (4004, one(NEXT, frame(START + 1_700))),
    # Whatever stands behind a cluster of open size may be a part of it: here the marker has ended it.
    "not-matroska": (4006, END_OF_FRAGMENT + b"GET / HTTP/1.1\r\n\r\n" * 10),
    "zeros": (4006, END_OF_FRAGMENT + bytes(1_000)),
    "a-second-document": (4006, body([Fragment(NEXT, (frame(NEXT),))])),
    "a-block-without-a-cluster": (4006, END_OF_FRAGMENT + element(0xA3, b"\x81\x00\x00\x80" + bytes(10))),
    "a-block-before-its-timecode": (4006, open_element(CLUSTER) + element(0xA3, b"\x81\x00\x00\x80" + bytes(10))),
    "a-block-without-room-for-its-head": (4006, open_element(CLUSTER) + unsigned(0xE7, NEXT) + element(0xA3, b"\x81")),
    "a-fragment-cut-short": (4006, one(NEXT, frame(NEXT, 500))[:-100]),
    "a-time-beyond-time": (4007, one((1 << 64) - 1, frame((1 << 64) - 1))),
    "eleven-tags": (4009, one(NEXT, frame(NEXT), pairs=tuple((f"name{at}", "x") for at in range(11)))),
    "a-long-name": (4009, one(NEXT, frame(NEXT), pairs=(("n" * 129, "x"),))),
    "a-long-value": (4009, one(NEXT, frame(NEXT), pairs=(("name", "ü" * 129),))),
    "an-undeclared-track": (4010, one(NEXT, frame(NEXT), frame(NEXT + 1, track=2))),
    "no-frames": (4011, one(NEXT) + END_OF_FRAGMENT),
    "a-reserved-tag": (4012, one(NEXT, frame(NEXT), pairs=(("AWS_SECRET", "x"),))),
}


@pytest.mark.parametrize("piece", [None, 13], ids=["whole", "in-pieces"])
@pytest.mark.parametrize("poison", POISON)
def test_poison_costs_itself_alone(kvs: Service, stream: str, poison: str, piece: int | None) -> None:
    number, media_of_it = POISON[poison]
    good = media(START, 2)
    with open_session(kvs, stream) as session:
        session.send(body(good), piece)
        session.send(media_of_it, piece if len(media_of_it) < 5_000 else 4_000)
        session.finish()
        acks = list(session.acks())
    last = acks.pop() if acks[-1]["EventType"] == "ERROR" else next(ack for ack in acks if ack["EventType"] == "ERROR")
    assert (last["ErrorId"], last["ErrorCode"]) == (number, NAMES[number])
    assert [ack["EventType"] for ack in acks].count("RECEIVED") == 2
    persisted = numbers(acks)
    assert [chunk.fragment for chunk in get_fragments(kvs, stream, persisted)] == good
    assert [row["FragmentNumber"] for row in list_fragments(kvs, stream)] == persisted
    # And the stream is none the worse for it.
    assert len(numbers(put(kvs, stream, body(media(NEXT, 1))))) == 1


@pytest.mark.parametrize(
    ("number", "bad"),
    [
        (
            4005,
            body(
                [Fragment(NEXT, tuple(frame(NEXT, track=track) for track in (1, 2, 3, 4)))],
                tuple(Track(track) for track in (1, 2, 3, 4)),
            ),
        ),
        (4006, body([Fragment(NEXT, (frame(NEXT),))], ())),
        (4006, cluster(Fragment(NEXT, (frame(NEXT),)))),
        (4006, header()[:40]),
        (4006, b"\x00"),
        (4006, b'{"media":"json"}'),
        (4011, body([Fragment(NEXT, (frame(NEXT),))], TWO)),
    ],
    ids=["four-tracks", "no-tracks", "no-header", "half-a-header", "nothing", "json", "a-silent-track"],
)
def test_a_session_that_begins_wrong_ends_at_once(kvs: Service, stream: str, number: int, bad: bytes) -> None:
    acks = put(kvs, stream, bad)
    assert (acks[-1]["EventType"], acks[-1]["ErrorId"], acks[-1]["ErrorCode"]) == ("ERROR", number, NAMES[number])
    assert not numbers(acks) and list_fragments(kvs, stream) == []


def test_a_relative_time_beyond_time_is_impossible(kvs: Service, stream: str) -> None:
    late = 1 << 62
    acks = put(kvs, stream, body([Fragment(late, (frame(late),))]), kind="RELATIVE", start="1760000000.000")
    assert acks[-1]["ErrorId"] == 4007


def test_an_error_names_the_fragment_that_it_is_about(kvs: Service, stream: str) -> None:
    acks = put(kvs, stream, body(media(START, 1)) + one(START, frame(START)))
    error = acks[-1] if acks[-1]["EventType"] == "ERROR" else acks[-2]
    begun = [ack for ack in acks if ack["EventType"] == "BUFFERING"]
    assert (error["FragmentTimecode"], error["FragmentNumber"]) == (START, begun[-1]["FragmentNumber"])
    (error,) = put(kvs, stream, b"not matroska at all")
    assert set(error) == {"EventType", "ErrorCode", "ErrorId"}


def test_an_error_reaches_a_producer_that_goes_on_sending(kvs: Service, stream: str) -> None:
    with open_session(kvs, stream) as session:
        session.send(body(media(START, 1)) + END_OF_FRAGMENT)
        session.until("PERSISTED")
        session.send(b"poison poison poison")
        session.send(bytes(4_000_000), 65_536)
        acks = list(session.acks())
    assert [ack["ErrorId"] for ack in acks] == [4006]


def test_what_is_at_its_limit_is_taken(kvs: Service, stream: str) -> None:
    pairs = tuple((f"{at}" + "n" * 127, "v" * 256) for at in range(10))
    media_at_limits = header() + one(NEXT, frame(NEXT), frame(NEXT + 20_000, 90_000), pairs=pairs)
    (number,) = numbers(put(kvs, stream, media_at_limits))
    (chunk,) = get_fragments(kvs, stream, [number])
    assert chunk.sent() == pairs


def test_tags_of_the_service_that_producers_may_set_are_taken(kvs: Service, stream: str) -> None:
    pairs = (
        ("AWS_KINESISVIDEO_IMAGE_GENERATION", ""),
        ("AWS_KINESISVIDEO_IMAGE_PREFIX", "a/b"),
        ("AWS_KINESISVIDEO_NOTIFICATION", ""),
        ("mine", "1"),
    )
    (number,) = numbers(put(kvs, stream, header() + one(NEXT, frame(NEXT), pairs=pairs)))
    (chunk,) = get_fragments(kvs, stream, [number])
    assert {pair for _, group in chunk.tags for pair in group} >= set(pairs)


def test_a_session_ends_when_its_stream_is_deleted(kvs: Service, stream: str) -> None:
    with open_session(kvs, stream) as session:
        session.send(header() + cluster(media(now_ms(), 1)[0]))
        session.until("BUFFERING")
        kvs.control.delete_stream(StreamARN=kvs.control.describe_stream(StreamName=stream)["StreamInfo"]["StreamARN"])
        (error,) = session.acks()
    assert (error["ErrorId"], error["ErrorCode"]) == (4008, NAMES[4008])


def test_a_session_that_is_too_old_ends(kvs: Service, stream: str) -> None:
    kvs.fault({"expire_session": {"millis": 700}}, stream=stream, times=1)
    (first, second) = media(now_ms(), 2)
    with open_session(kvs, stream) as session:
        session.send(header() + tags(first.tags) + cluster(first) + tags(second.tags) + cluster(second)[:-20])
        acks = list(session.acks())
    assert acks[-1]["ErrorId"] == 4003 or [ack.get("ErrorId") for ack in acks if ack["EventType"] == "ERROR"] == [4003]
    assert [chunk.fragment for chunk in get_media(kvs, stream)] == [first]


def test_a_silent_session_is_told_so_and_closed(kvs: Service, stream: str) -> None:
    (fragment,) = media(now_ms(), 1)
    with open_session(kvs, stream) as session:
        session.send(header() + tags(fragment.tags) + cluster(fragment))
        acks = list(session.acks())
    events = [ack["EventType"] for ack in acks]
    assert events[0] == "BUFFERING" and events[-2:] == ["RECEIVED", "PERSISTED"]
    assert len(events) >= 5 and set(events[1:-2]) == {"IDLE"}
    assert [chunk.fragment for chunk in get_media(kvs, stream)] == [fragment]


@pytest.mark.parametrize("number", [4000, 4500, 4501, 4502, 4503, 4504, 4505, 4506, 5000, 5001, 7777])
def test_any_other_error_can_be_commanded(kvs: Service, stream: str, number: int) -> None:
    kvs.fault({"error_ack": {"fragment": 2, "id": number}}, stream=stream, times=1)
    sent = media(now_ms(), 3)
    acks = put(kvs, stream, body(sent))
    (error,) = [ack for ack in acks if ack["EventType"] == "ERROR"]
    assert (error["ErrorId"], error["FragmentTimecode"]) == (number, sent[1].timecode)
    assert [chunk.fragment for chunk in get_fragments(kvs, stream, numbers(acks))] == sent[:1]


def test_bad_sessions_do_not_touch_good_ones(kvs: Service, stream: str, name: str) -> None:
    kvs.create(name + ".bad")
    sent = media(now_ms(), 4)
    with open_session(kvs, stream) as good:
        good.send(header())
        for fragment, bad in zip(sent, list(POISON.values()), strict=False):
            assert any(ack["EventType"] == "ERROR" for ack in put(kvs, name + ".bad", body(media(START, 2)) + bad[1]))
            good.send(tags(fragment.tags) + cluster(fragment))
            good.until("BUFFERING")
        good.finish()
        acks = list(good.acks())
    assert not [ack for ack in acks if ack["EventType"] == "ERROR"]
    assert [chunk.fragment for chunk in get_media(kvs, stream)] == sent
