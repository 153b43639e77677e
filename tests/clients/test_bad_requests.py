"""Each wrong header, body, signature and range is answered with AWS's exception, status and form of body."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from botocore.credentials import Credentials

import producer
from producer import media_headers, presigned, signed
from service import REGION, Service
from wire import Call, head, host_of, refusal, signed_json, signing_at

Changes = Callable[[dict[str, str]], None]
DESCRIBE = "/describeStream"


def described(service: Service, change: Changes | None = None, body: bytes | None = None, **how: Any) -> bytes:
    """DescribeStream, signed, and then changed."""
    headers, data = signed_json(service, DESCRIBE, {"StreamName": "nobody"}, **how)
    if change:
        change(headers)
    return head(DESCRIBE, headers) + (data if body is None else body)


def in_authorization(old: str, new: str) -> Changes:
    def change(headers: dict[str, str]) -> None:
        assert old in headers["Authorization"]
        headers["Authorization"] = headers["Authorization"].replace(old, new)

    return change


def without_part(name: str) -> Changes:
    def change(headers: dict[str, str]) -> None:
        algorithm, parts = headers["Authorization"].split(" ", 1)
        kept = [part for part in parts.split(", ") if not part.startswith(f"{name}=")]
        headers["Authorization"] = f"{algorithm} {', '.join(kept)}"

    return change


def without(name: str) -> Changes:
    return lambda headers: headers.__delitem__(name)


def with_value(name: str, value: str) -> Changes:
    return lambda headers: headers.update({name: value})


#: What is done to a good request, and what it is answered with.
SIGNATURES: dict[str, tuple[Changes, int, str, str]] = {
    "no-signature": (
        without("Authorization"),
        403,
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    ),
    "basic": (with_value("Authorization", "Basic dTpw"), 400, "IncompleteSignatureException", ""),
    "version-two": (in_authorization("AWS4-HMAC-SHA256", "AWS3-HMAC-SHA1"), 400, "IncompleteSignatureException", ""),
    "no-parts": (with_value("Authorization", "AWS4-HMAC-SHA256"), 400, "IncompleteSignatureException", ""),
    "no-credential": (
        without_part("Credential"),
        400,
        "IncompleteSignatureException",
        "requires 'Credential' parameter",
    ),
    "no-signed-headers": (
        without_part("SignedHeaders"),
        400,
        "IncompleteSignatureException",
        "requires 'SignedHeaders' parameter",
    ),
    "no-signature-part": (
        without_part("Signature"),
        400,
        "IncompleteSignatureException",
        "requires 'Signature' parameter",
    ),
    "no-date": (without("X-Amz-Date"), 400, "IncompleteSignatureException", "Date"),
    "malformed-date": (with_value("X-Amz-Date", "yesterday"), 400, "IncompleteSignatureException", ""),
    "wrong-terminator": (
        in_authorization("aws4_request", "aws5_request"),
        403,
        "InvalidSignatureException",
        "terminator",
    ),
    "wrong-date-in-scope": (in_authorization(f"/{REGION}/", "x/us-west-2/"), 400, "IncompleteSignatureException", ""),
    "unknown-key": (
        in_authorization("Credential=AKIA", "Credential=AKIB"),
        403,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    ),
    "temporary-key-without-a-token": (
        in_authorization("Credential=AKIA", "Credential=ASIA"),
        403,
        "UnrecognizedClientException",
        "invalid",
    ),
    "a-token-that-nobody-gave": (
        with_value("X-Amz-Security-Token", "bm9ib2R5"),
        403,
        "UnrecognizedClientException",
        "invalid",
    ),
    "a-part-of-another-name": (in_authorization("Credential=", "Kredential="), 400, "IncompleteSignatureException", ""),
    "a-longer-signature": (in_authorization("Signature=", "Signature=0"), 400, "IncompleteSignatureException", ""),
    "a-signed-header-changed": (
        with_value("Content-Type", "application/xml"),
        403,
        "InvalidSignatureException",
        "does not match the signature you provided",
    ),
    "a-signed-header-taken-away": (without("Content-Type"), 403, "InvalidSignatureException", "SignedHeaders"),
    "host-not-signed": (
        in_authorization("content-type;host;x-amz-date", "content-type;x-amz-date"),
        403,
        "InvalidSignatureException",
        "must be a 'SignedHeader'",
    ),
    "another-body-hash": (with_value("X-Amz-Content-Sha256", "0" * 64), 403, "InvalidSignatureException", ""),
}


@pytest.mark.parametrize("case", SIGNATURES)
def test_a_wrong_signature_is_refused_by_the_front_end(kvs: Service, case: str) -> None:
    change, status, exception, message = SIGNATURES[case]
    answer = refusal(kvs, described(kvs, change))
    assert (answer.status, answer.exception, answer.by_operation) == (status, exception, False), answer
    assert message in answer.message


def test_a_body_that_was_not_signed_is_refused(kvs: Service) -> None:
    answer = refusal(kvs, described(kvs, body=b'{"StreamName": "nobodx"}'))
    assert (answer.status, answer.exception) == (403, "InvalidSignatureException")


@pytest.mark.parametrize(
    ("region", "service", "message"),
    [
        ("", "kinesisvideo", ""),
        (REGION, "kinesis", "Credential should be scoped to correct service: 'kinesisvideo'."),
        (REGION, "s3", "correct service"),
    ],
)
def test_a_signature_for_something_else_is_refused(kvs: Service, region: str, service: str, message: str) -> None:
    answer = refusal(kvs, described(kvs, signs_for=(service, region)))
    assert answer.status in (400, 403) and answer.exception in (
        "InvalidSignatureException",
        "IncompleteSignatureException",
    )
    assert message in answer.message


def test_a_signature_may_be_for_any_region(kvs: Service) -> None:
    answer = refusal(kvs, described(kvs, signs_for=("kinesisvideo", "eu-central-1")))
    assert answer.exception == "ResourceNotFoundException"


def test_a_wrong_secret_is_refused(kvs: Service) -> None:
    assert kvs.credentials
    wrong = Credentials(kvs.credentials.access_key, "x" * 40)
    answer = refusal(kvs, described(kvs, credentials=wrong))
    assert (answer.status, answer.exception, answer.by_operation) == (403, "InvalidSignatureException", False)
    assert wrong.secret_key not in answer.message and kvs.credentials.secret_key not in answer.message


@pytest.mark.parametrize(("offset", "message"), [(-360, "Signature expired: "), (360, "Signature not yet current: ")])
def test_a_clock_may_be_five_minutes_off(kvs: Service, name: str, offset: int, message: str) -> None:
    with signing_at(offset):
        for request in (described(kvs), signed(kvs, media_headers(name))):
            answer = refusal(kvs, request)
            assert (answer.status, answer.exception, answer.by_operation) == (403, "InvalidSignatureException", False)
            assert answer.message.startswith(message) and "5 min" in answer.message
    with signing_at(offset * 0.8):
        assert refusal(kvs, described(kvs)).exception == "ResourceNotFoundException"


def test_a_presigned_call_ends_when_it_says(kvs: Service, stream: str) -> None:
    with signing_at(-30):
        late, in_time = presigned(kvs, media_headers(stream), 20), presigned(kvs, media_headers(stream), 600)
    answer = refusal(kvs, late)
    assert (answer.status, answer.exception) == (403, "InvalidSignatureException") and "expired" in answer.message
    with Call(kvs, in_time) as call:
        assert call.head().status == 200


PUT: dict[str, tuple[dict[str, str | None], int, str]] = {
    "no-name": ({producer.NAME: None}, 400, "InvalidArgumentException"),
    "name-and-arn": (
        {producer.ARN: "arn:aws:kinesisvideo:us-west-2:111122223333:stream/nobody/1"},
        400,
        "InvalidArgumentException",
    ),
    "name-with-a-space": ({producer.NAME: "no body"}, 400, "InvalidArgumentException"),
    "name-too-long": ({producer.NAME: "n" * 257}, 400, "InvalidArgumentException"),
    "wrong-arn": ({producer.NAME: None, producer.ARN: "arn:aws:s3:::bucket"}, 400, "InvalidArgumentException"),
    "no-timecode-type": ({producer.KIND: None}, 400, "InvalidArgumentException"),
    "wrong-timecode-type": ({producer.KIND: "absolute"}, 400, "InvalidArgumentException"),
    "wrong-start": ({producer.START: "yesterday"}, 400, "InvalidArgumentException"),
    "relative-without-start": ({producer.KIND: "RELATIVE", producer.START: None}, 400, "InvalidArgumentException"),
    "wrong-ack-wish": ({producer.ACK: "maybe"}, 400, "InvalidArgumentException"),
    "no-such-stream": ({producer.NAME: "nobody"}, 404, "ResourceNotFoundException"),
    "arn-of-an-earlier-stream": (
        {producer.NAME: None, producer.ARN: "arn:aws:kinesisvideo:us-west-2:111122223333:stream/nobody/1"},
        404,
        "ResourceNotFoundException",
    ),
}


@pytest.mark.parametrize("case", PUT)
def test_a_wrong_head_of_put_media_is_refused_before_any_media(kvs: Service, stream: str, case: str) -> None:
    changes, status, exception = PUT[case]
    headers = {name: value for name, value in {**media_headers(stream), **changes}.items() if value is not None}
    answer = refusal(kvs, signed(kvs, headers))
    assert (answer.status, answer.exception, answer.by_operation) == (status, exception, True), answer


@pytest.mark.parametrize("hash_of_body", ["0" * 64, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "unsigned"])
def test_put_media_is_signed_with_no_body(kvs: Service, stream: str, hash_of_body: str) -> None:
    answer = refusal(kvs, signed(kvs, {"x-amz-content-sha256": hash_of_body, **media_headers(stream)}))
    assert (answer.status, answer.exception) == (403, "InvalidSignatureException")


BODIES: list[tuple[str, Any, int, str]] = [
    ("/describeStream", b"", 400, "InvalidArgumentException"),
    ("/describeStream", b"{", 400, "InvalidArgumentException"),
    ("/describeStream", b"[]", 400, "InvalidArgumentException"),
    ("/describeStream", b"\xff\xfe", 400, "InvalidArgumentException"),
    ("/describeStream", b'{"StreamName":"a"} and more', 400, "InvalidArgumentException"),
    ("/describeStream", b"[" * 100_000, 400, "InvalidArgumentException"),
    ("/describeStream", {}, 400, "InvalidArgumentException"),
    ("/describeStream", {"StreamName": None}, 400, "InvalidArgumentException"),
    ("/describeStream", {"StreamName": 7}, 400, "InvalidArgumentException"),
    ("/describeStream", {"StreamName": ""}, 400, "InvalidArgumentException"),
    ("/describeStream", {"StreamName": "a b"}, 400, "InvalidArgumentException"),
    ("/describeStream", {"StreamName": "n" * 257}, 400, "InvalidArgumentException"),
    ("/describeStream", {"StreamName": "n" * 256}, 404, "ResourceNotFoundException"),
    ("/describeStream", {"StreamName": "nobody", "Unknown": True}, 404, "ResourceNotFoundException"),
    ("/describeStream", {"StreamARN": "arn:aws:kinesisvideo:us-west-2:1:channel"}, 400, "InvalidArgumentException"),
    (
        "/describeStream",
        {"StreamName": "a", "StreamARN": "arn:aws:kinesisvideo:us-west-2:1:stream/b/1"},
        400,
        "InvalidArgumentException",
    ),
    ("/createStream", {}, 400, "InvalidArgumentException"),
    ("/createStream", {"StreamName": "ü"}, 400, "InvalidArgumentException"),
    ("/createStream", {"StreamName": "x", "DataRetentionInHours": -1}, 400, "InvalidArgumentException"),
    ("/createStream", {"StreamName": "x", "DataRetentionInHours": 87_601}, 400, "InvalidArgumentException"),
    ("/createStream", {"StreamName": "x", "DataRetentionInHours": "1"}, 400, "InvalidArgumentException"),
    ("/createStream", {"StreamName": "x", "MediaType": "video"}, 400, "InvalidArgumentException"),
    ("/createStream", {"StreamName": "x", "DeviceName": "d" * 129}, 400, "InvalidArgumentException"),
    ("/createStream", {"StreamName": "x", "KmsKeyId": "nobodys-key"}, 400, "InvalidArgumentException"),
    ("/createStream", {"StreamName": "x", "Tags": {"": "v"}}, 400, "InvalidArgumentException"),
    ("/createStream", {"StreamName": "x", "Tags": {"k": "v" * 257}}, 400, "InvalidArgumentException"),
    ("/createStream", {"StreamName": "x", "Tags": {"k#": "v"}}, 400, "InvalidArgumentException"),
    (
        "/createStream",
        {"StreamName": "x", "StreamStorageConfiguration": {"DefaultStorageTier": "COLD"}},
        400,
        "InvalidArgumentException",
    ),
    ("/listStreams", {"MaxResults": 0}, 400, "InvalidArgumentException"),
    ("/listStreams", {"MaxResults": 10_001}, 400, "InvalidArgumentException"),
    ("/listStreams", {"NextToken": "bm9ib2R5"}, 400, "InvalidArgumentException"),
    (
        "/listStreams",
        {"StreamNameCondition": {"ComparisonOperator": "ENDS_WITH", "ComparisonValue": "x"}},
        400,
        "InvalidArgumentException",
    ),
    ("/deleteStream", {"StreamName": "nobody"}, 400, "InvalidArgumentException"),
    ("/updateStream", {"StreamName": "nobody"}, 400, "InvalidArgumentException"),
    (
        "/updateDataRetention",
        {"StreamName": "x", "CurrentVersion": "v", "Operation": "HALVE", "DataRetentionChangeInHours": 1},
        400,
        "InvalidArgumentException",
    ),
    ("/tagStream", {"StreamName": "nobody", "Tags": {}}, 404, "ResourceNotFoundException"),
    ("/untagStream", {"StreamName": "nobody"}, 400, "InvalidArgumentException"),
    ("/getDataEndpoint", {"StreamName": "nobody"}, 400, "InvalidArgumentException"),
    ("/getDataEndpoint", {"StreamName": "nobody", "APIName": "GET_COFFEE"}, 400, "InvalidArgumentException"),
    ("/getDataEndpoint", {"StreamName": "nobody", "APIName": "PUT_MEDIA"}, 404, "ResourceNotFoundException"),
    ("/listEdgeAgentConfigurations", {"HubDeviceArn": "hub"}, 400, "InvalidArgumentException"),
    ("/getMedia", {"StreamName": "nobody"}, 400, "InvalidArgumentException"),
    (
        "/getMedia",
        {"StreamName": "nobody", "StartSelector": {"StartSelectorType": "NOW"}},
        404,
        "ResourceNotFoundException",
    ),
    (
        "/getMedia",
        {"StreamName": "nobody", "StartSelector": {"StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": "now"}},
        400,
        "InvalidArgumentException",
    ),
    ("/listFragments", {"StreamName": "nobody"}, 400, "InvalidArgumentException"),
    ("/getMediaForFragmentList", {"StreamName": "nobody"}, 400, "InvalidArgumentException"),
    ("/getMediaForFragmentList", {"StreamName": "nobody", "Fragments": "1"}, 400, "InvalidArgumentException"),
]


@pytest.mark.parametrize(
    ("path", "body", "status", "exception"), BODIES, ids=[f"{case[0]}-{number}" for number, case in enumerate(BODIES)]
)
def test_a_wrong_body_is_refused_by_the_operation(
    kvs: Service, path: str, body: Any, status: int, exception: str
) -> None:
    headers, data = signed_json(kvs, path, body)
    answer = refusal(kvs, head(path, headers) + data)
    assert (answer.status, answer.exception, answer.by_operation) == (status, exception, True), answer
    assert answer.message and "src/" not in answer.message


def test_a_body_beyond_the_limit_is_refused(kvs: Service) -> None:
    headers, data = signed_json(kvs, DESCRIBE, {"StreamName": "x" * (2 << 20)})
    with Call(kvs, head(DESCRIBE, headers)) as call:
        try:
            call.socket.sendall(data)
        except OSError:
            pass
        answer = call.head()
    assert answer.status == 400 and answer.headers["x-amzn-errortype"].startswith("InvalidArgumentException")


@pytest.mark.parametrize(
    "path", ["/", "/DescribeStream", "/describestream", "/putmedia", "/getMedia/", "/createSignalingChannel2"]
)
def test_an_operation_that_there_is_not_is_answered_with_200(kvs: Service, path: str) -> None:
    headers, data = signed_json(kvs, path, {})
    with Call(kvs, head(path, headers) + data) as call:
        answer = call.head()
        said = call.body(answer)
    assert (answer.status, len(said)) == (200, 90)
    assert json.loads(said) == {
        "Output": {"__type": "com.amazon.coral.service#UnknownOperationException"},
        "Version": "1.0",
    }


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"POST / HTTP/9.9\r\n\r\n", b"400"),
        (b"POST /putMedia HTTP/1.1\r\nA: " + b"x" * 200_000, b"431"),
        (b"POST /putMedia HTTP/1.1\r\n" + b"A: x\r\n" * 1_000 + b"\r\n", b"431"),
    ],
    ids=["no-target", "tls", "no-version", "a-long-header", "many-headers"],
)
def test_what_is_not_http_is_refused_and_harms_nobody(kvs: Service, raw: bytes, status: bytes) -> None:
    with Call(kvs, raw) as call:
        call.socket.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: call.socket.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert kvs.ask("GET", "/health") == (200, "ok\n")


@pytest.mark.parametrize("garbage", [b"zz\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"5\r\nabcdefgh\r\n"])
def test_chunks_that_are_none_end_the_session(kvs: Service, stream: str, garbage: bytes) -> None:
    with Call(kvs, signed(kvs, media_headers(stream))) as call:
        assert call.head().status == 200
        call.send_raw(garbage)
        call.socket.shutdown(socket.SHUT_WR)
        while call.socket.recv(65_536):
            pass


def test_many_calls_go_over_one_connection(kvs: Service) -> None:
    with Call(kvs, described(kvs)) as call:
        for _ in range(5):
            answer = call.head()
            assert (answer.status, "content-length" in answer.headers) == (404, True)
            call.body(answer)
            call.send_raw(described(kvs))
        # A refusal before the body was read must not make the body the next request.
        call.body(call.head())
        call.send_raw(described(kvs, without("Authorization")))
        assert call.head().status == 403


def test_a_call_with_json_may_expect_to_be_told_to_continue(kvs: Service, stream: str) -> None:
    headers, data = signed_json(kvs, DESCRIBE, {"StreamName": stream}, headers={"Expect": "100-continue"})
    with Call(kvs, head(DESCRIBE, headers)) as call:
        while b"\r\n\r\n" not in call.buffer:
            call.buffer += call.socket.recv(1_000)
        call.send_raw(data)
        assert (call.head().status, call.interim) == (200, [100])


def test_json_is_answered_in_the_services_own_form(kvs: Service, stream: str) -> None:
    headers, data = signed_json(kvs, DESCRIBE, {"StreamName": stream})
    with Call(kvs, head(DESCRIBE, headers) + data) as call:
        answer = call.head()
        info = json.loads(call.body(answer))["StreamInfo"]
    assert answer.headers["content-type"] == "application/json" and "date" in answer.headers
    assert list(info) == sorted(info) and info["DeviceName"] is None
    assert isinstance(info["CreationTime"], float)
    assert host_of(kvs) in kvs.url
