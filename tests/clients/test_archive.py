"""ListFragments and GetMediaForFragmentList through boto3."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from consumer import between, get_fragments, list_fragments
from matroska import Fragment, Frame, Track, body, media
from producer import now_ms, numbers, put
from service import UNCHECKED, Service
from wire import signing_at

START = 1_750_000_000_000


def test_a_fragment_is_listed_as_it_is(kvs: Service, stream: str) -> None:
    fragment = Fragment(
        START, (Frame(1, START + 40, b"x" * 1000), Frame(1, START + 1_836, b"y" * 500, key=False)), (("a", "b"),)
    )
    before = now_ms()
    (number,) = numbers(put(kvs, stream, body([fragment])))
    (row,) = list_fragments(kvs, stream)
    server: datetime.datetime = row.pop("ServerTimestamp")
    assert before <= round(server.timestamp() * 1000) <= now_ms()
    size = row.pop("FragmentSizeInBytes")
    assert 1_500 < size < 2_500
    producer: datetime.datetime = row.pop("ProducerTimestamp")
    assert round(producer.timestamp() * 1000) == START
    assert row == {"FragmentNumber": number, "FragmentLengthInMilliseconds": 1_796}


def test_a_fragment_of_one_frame_has_no_length(kvs: Service, stream: str) -> None:
    put(kvs, stream, body(media(START, 1, frames=1)))
    assert [row["FragmentLengthInMilliseconds"] for row in list_fragments(kvs, stream)] == [0]


def test_what_is_persisted_is_listed_at_once(kvs: Service, stream: str) -> None:
    persisted: list[str] = []
    for round_ in range(10):
        persisted += numbers(put(kvs, stream, body(media(START + round_ * 10_000, 2))))
        assert [row["FragmentNumber"] for row in list_fragments(kvs, stream)] == persisted


@pytest.mark.parametrize("page", [1, 7, 100, 1000])
def test_pages_together_are_the_list(kvs: Service, stream: str, page: int) -> None:
    persisted = numbers(put(kvs, stream, body(media(START, 23))))
    client = kvs.data_client("LIST_FRAGMENTS", stream)
    for selector in (
        between("SERVER_TIMESTAMP", 0, 4e9),
        between("PRODUCER_TIMESTAMP", START / 1000, START / 1000 + 100),
    ):
        found, sizes, arguments = [], [], {"StreamName": stream, "FragmentSelector": selector, "MaxResults": page}
        while True:
            answer = client.list_fragments(**arguments)
            sizes.append(len(answer["Fragments"]))
            found += [row["FragmentNumber"] for row in answer["Fragments"]]
            if not answer.get("NextToken"):
                break
            # The token alone says what was asked for.
            arguments = {"StreamName": stream, "NextToken": answer["NextToken"], "MaxResults": page}
        assert sorted(found) == persisted
        assert max(sizes) <= page and len(sizes) == -(-23 // page)


def test_a_range_holds_the_fragments_that_begin_in_it_its_ends_included(kvs: Service, stream: str) -> None:
    put(kvs, stream, body(media(START, 4, step=2_000)))

    def places(start: float, end: float) -> list[int]:
        rows = list_fragments(
            kvs, stream, FragmentSelector=between("PRODUCER_TIMESTAMP", START / 1000 + start, START / 1000 + end)
        )
        return [(round(row["ProducerTimestamp"].timestamp() * 1000) - START) // 1000 for row in rows]

    assert places(1, 4) == [2, 4]
    assert places(2, 4) == [2, 4]
    assert places(2.001, 3.999) == []
    assert places(0, 0) == [0]
    assert places(-10, 100) == [0, 2, 4, 6]
    assert places(7, 100) == []


def test_two_fragments_of_one_time_are_two(kvs: Service, stream: str) -> None:
    sent = media(START, 3)
    twice = [numbers(put(kvs, stream, body(sent))) for _ in range(2)]
    rows = list_fragments(
        kvs, stream, FragmentSelector=between("PRODUCER_TIMESTAMP", START / 1000, START / 1000), MaxResults=1
    )
    assert [row["FragmentNumber"] for row in rows] == [twice[0][0], twice[1][0]]


def test_media_comes_in_the_order_in_which_it_was_asked_for(kvs: Service, stream: str) -> None:
    sent = media(START, 6)
    persisted = numbers(put(kvs, stream, body(sent)))
    order = [3, 0, 5, 3, 1]
    found = get_fragments(kvs, stream, [persisted[place] for place in order])
    assert [chunk.fragment for chunk in found] == [sent[place] for place in order]
    assert [chunk.number for chunk in found] == [persisted[place] for place in order]
    for chunk in found:
        assert not {"AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", "AWS_KINESISVIDEO_CONTINUATION_TOKEN"} & set(chunk.own())


def test_a_fragment_that_is_not_found_is_told_in_its_place(kvs: Service, stream: str) -> None:
    sent = media(START, 2)
    persisted = numbers(put(kvs, stream, body(sent)))
    missing = str(int(persisted[1]) + (7 << 92))
    found = get_fragments(kvs, stream, [persisted[0], missing, persisted[1]])
    assert [chunk.fragment for chunk in (found[0], found[2])] == sent
    assert found[1].frames == [] and found[1].own() == {
        "AWS_KINESISVIDEO_ERROR_CODE": "FRAGMENT_NOT_FOUND",
        "AWS_KINESISVIDEO_ERROR_ID": "3000",
        "AWS_KINESISVIDEO_FRAGMENT_NUMBER": missing,
    }


def test_sessions_keep_their_own_headers(kvs: Service, stream: str) -> None:
    tracks = [(Track(1),), (Track(1), Track(2, 2, "A_AAC", b"\x12\x10")), (Track(7, 1, "V_VP9", b"\x01"),)]
    sent = [
        media(START + place * 10_000, 1, tracks=tuple(track.number for track in each))
        for place, each in enumerate(tracks)
    ]
    persisted = [
        numbers(put(kvs, stream, body(fragments, each)))[0] for fragments, each in zip(sent, tracks, strict=True)
    ]
    found = get_fragments(kvs, stream, persisted[::-1])
    assert [tuple(chunk.tracks) for chunk in found] == tracks[::-1]
    assert [[chunk.fragment] for chunk in found] == sent[::-1]


def test_a_stream_that_keeps_nothing_has_no_archive(kvs: Service, name: str) -> None:
    kvs.create(name, hours=0)
    put(kvs, name, body(media(START, 1)))
    client = kvs.data_client("LIST_FRAGMENTS", name)
    with pytest.raises(client.exceptions.NoDataRetentionException) as refused:
        client.list_fragments(StreamName=name, FragmentSelector=between("SERVER_TIMESTAMP", 0, 4e9))
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    # Of this operation the model does not name the exception, so that its class has no name of its own.
    with pytest.raises(client.exceptions.ClientError) as refused:
        client.get_media_for_fragment_list(StreamName=name, Fragments=["1"])
    assert refused.value.response["Error"]["Code"] in ("NoDataRetentionException", "InvalidArgumentException")


LIST = {"FragmentSelector": between("SERVER_TIMESTAMP", 0, 4e9)}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {**LIST, "MaxResults": 0},
        {**LIST, "MaxResults": 1001},
        {**LIST, "NextToken": "bm90IGEgdG9rZW4="},
        {**LIST, "NextToken": "?"},
        {"FragmentSelector": between("SOME_TIMESTAMP", 0, 1)},
        {"FragmentSelector": between("SERVER_TIMESTAMP", 2, 1)},
        {"FragmentSelector": {"FragmentSelectorType": "SERVER_TIMESTAMP"}},
        {"FragmentSelector": {"FragmentSelectorType": "SERVER_TIMESTAMP", "TimestampRange": {"StartTimestamp": 1}}},
    ],
)
def test_a_list_that_makes_no_sense_is_refused(kvs: Service, stream: str, arguments: dict[str, Any]) -> None:
    client = kvs.client("kinesis-video-archived-media", config=UNCHECKED)
    with pytest.raises(client.exceptions.InvalidArgumentException):
        client.list_fragments(StreamName=stream, **arguments)


@pytest.mark.parametrize(
    "fragments",
    [[], ["1"] * 1001, ["x"], [""], ["12"], ["9" * 129]],
    ids=["none", "too-many", "letters", "empty", "other", "too-long"],
)
def test_fragments_that_make_no_sense_are_refused(kvs: Service, stream: str, fragments: list[str]) -> None:
    client = kvs.client("kinesis-video-archived-media", config=UNCHECKED)
    with pytest.raises(client.exceptions.InvalidArgumentException):
        client.get_media_for_fragment_list(StreamName=stream, Fragments=fragments)


def test_less_retention_removes_what_is_older_at_once(kvs: Service, stream: str, no_faults: None) -> None:
    with signing_at(-7_200):
        kvs.fault({"skew_clock": {"millis": -7_200_000}})
        old = numbers(put(kvs, stream, body(media(START, 2))))
    kvs.ask("DELETE", "/faults")
    new = numbers(put(kvs, stream, body(media(START + 10_000, 2))))
    assert [row["FragmentNumber"] for row in list_fragments(kvs, stream)] == old + new
    version = kvs.control.describe_stream(StreamName=stream)["StreamInfo"]["Version"]
    kvs.control.update_data_retention(
        StreamName=stream, CurrentVersion=version, Operation="DECREASE_DATA_RETENTION", DataRetentionChangeInHours=23
    )
    assert [row["FragmentNumber"] for row in list_fragments(kvs, stream)] == new
    found = get_fragments(kvs, stream, old + new)
    assert [chunk.own().get("AWS_KINESISVIDEO_ERROR_ID") for chunk in found] == ["3000", "3000", None, None]


def test_what_a_deleted_stream_had_is_gone(kvs: Service, stream: str) -> None:
    old = numbers(put(kvs, stream, body(media(START, 2))))
    kvs.control.delete_stream(StreamARN=kvs.control.describe_stream(StreamName=stream)["StreamInfo"]["StreamARN"])
    kvs.create(stream)
    assert list_fragments(kvs, stream) == []
    found = get_fragments(kvs, stream, old)
    assert [chunk.own()["AWS_KINESISVIDEO_ERROR_ID"] for chunk in found] == ["3000", "3000"]
