"""Limits: those of AWS unless told otherwise, and time limits for those who are slow."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from consumer import between
from matroska import body, cluster, header, media
from producer import media_headers, now_ms, numbers, open_session, put, signed
from service import PATIENCE, Service
from wire import Call, head, signed_json

LOW = """
[limits]
streams = 3
control_calls_per_stream = 1000
control_calls = 1000
describe_calls = 1000
head_timeout = "700ms"
body_timeout = "700ms"
body_bytes = "10kB"
get_media_readers = 1
get_media_idle = "500ms"
get_media_duration = "1s"
unretained_bytes = "20kB"

[limits.session]
session_duration = "1s"
tracks = 1
tags = 1
"""


@pytest.fixture(scope="module")
def aws(serve: Callable[..., Service]) -> Service:
    """A service with the limits of AWS."""
    return serve(config="")


@pytest.fixture(scope="module")
def low(serve: Callable[..., Service]) -> Service:
    return serve(config=LOW)


def refused_at(call: Callable[[], Any], most: int) -> dict[str, Any]:
    """Calls until it is too much."""
    for _ in range(most):
        try:
            call()
        except ClientError as error:
            return error.response
    raise AssertionError("nothing is too much")


def test_calls_on_a_stream_are_counted(aws: Service, name: str) -> None:
    aws.create(name)
    answer = refused_at(lambda: aws.control.describe_stream(StreamName=name), 100)
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (
        400,
        "ClientLimitExceededException",
    )
    assert (
        answer["Error"]["Message"]
        == f"Limit exceeded on number of requests for DescribeStream API for resource '{name}'"
    )
    # Other operations and other streams are counted for themselves.
    aws.control.list_tags_for_stream(StreamName=name)
    aws.create(name + ".other")
    aws.control.describe_stream(StreamName=name + ".other")


def test_calls_of_the_data_plane_are_counted(aws: Service, name: str) -> None:
    aws.create(name)
    gets, lists = aws.data_client("GET_MEDIA", name), aws.data_client("LIST_FRAGMENTS", name)

    def get() -> None:
        gets.get_media(StreamName=name, StartSelector={"StartSelectorType": "NOW"})["Payload"].close()

    def put_nothing() -> None:
        with Call(aws, signed(aws, media_headers(name))) as call:
            answer = call.head()
            if answer.status != 200:
                raise ClientError({"Error": {"Code": answer.headers["x-amzn-errortype"].split(":")[0]}}, "PutMedia")
            call.finish()
            call.chunks()

    selector = between("SERVER_TIMESTAMP", 0, 4e9)
    for call, most in (
        (get, 100),
        (put_nothing, 100),
        (lambda: lists.list_fragments(StreamName=name, FragmentSelector=selector, MaxResults=1000), 1000),
    ):
        assert refused_at(call, most)["Error"]["Code"] in (
            "ClientLimitExceededException",
            "ConnectionLimitExceededException",
        )


def test_an_account_has_so_many_streams(low: Service, name: str) -> None:
    made = [low.create(f"{name}.{number}") for number in range(3)]
    with pytest.raises(low.control.exceptions.AccountStreamLimitExceededException):
        low.create(f"{name}.3")
    for arn in made:
        low.control.delete_stream(StreamARN=arn)
    low.control.delete_stream(StreamARN=low.create(f"{name}.3"))


@pytest.fixture
def short(low: Service, name: str) -> Any:
    """A stream, for as long as a test."""
    arn = low.create(name)
    yield name
    low.control.delete_stream(StreamARN=arn)


def test_limits_of_a_session_can_be_set(low: Service, short: str) -> None:
    start = now_ms()
    with open_session(low, short) as session:
        session.send(header() + cluster(media(start, 1)[0])[:-1])
        acks = list(session.acks())
    assert [ack.get("ErrorId") for ack in acks] == [None, 4003]
    assert put(low, short, body(media(start, 1)))[-1]["ErrorId"] == 4009


def test_one_reader_at_a_time_and_not_for_long(low: Service, short: str) -> None:
    client = low.data_client("GET_MEDIA", short)
    selector = {"StartSelectorType": "NOW"}
    first = client.get_media(StreamName=short, StartSelector=selector)["Payload"]
    with pytest.raises(client.exceptions.ConnectionLimitExceededException):
        client.get_media(StreamName=short, StartSelector=selector)
    assert first.read() == b""
    client.get_media(StreamName=short, StartSelector=selector)["Payload"].close()


def ends(call: Call) -> float:
    """Reads until the service closes the connection; gives the seconds that took."""
    began = time.monotonic()
    try:
        while call.socket.recv(65_536):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - began


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /putMedia HT", b"POST /describeStream HTTP/1.1\r\nHost: x\r\nA:"],
    ids=["nothing", "a-line", "a-header"],
)
def test_a_head_has_to_come_in_time(low: Service, sent: bytes) -> None:
    with Call(low, sent) as call:
        assert ends(call) < PATIENCE / 2


def test_a_body_has_to_come_in_time(low: Service) -> None:
    headers, data = signed_json(low, "/describeStream", {"StreamName": "nobody"})
    with Call(low, head("/describeStream", headers) + data[:-1]) as call:
        answer = call.head()
        assert answer.status == 400 and ends(call) < PATIENCE / 2


def test_a_body_may_be_only_so_large(low: Service) -> None:
    headers, data = signed_json(low, "/describeStream", {"StreamName": "x" * 11_000})
    with Call(low, head("/describeStream", headers) + data) as call:
        assert call.head().headers["x-amzn-errortype"].startswith("InvalidArgumentException")


def test_many_slow_callers_leave_room_for_others(aws: Service, name: str) -> None:
    aws.create(name)
    slow = [Call(aws, b"POST /putMedia HTTP/1.1\r\n") for _ in range(200)]
    try:
        assert len(numbers(put(aws, name, body(media(now_ms(), 1))))) == 1
    finally:
        for call in slow:
            call.socket.close()
