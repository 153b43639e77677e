"""PutMedia by a raw socket: signed by botocore, sent in whatever pieces a test wants."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from service import REGION, Service
from wire import Call, head, host_of

PATH = "/putMedia"
ACK = "x-amzn-fragment-acknowledgment-required"
KIND = "x-amzn-fragment-timecode-type"
START = "x-amzn-producer-start-timestamp"
NAME = "x-amzn-stream-name"
ARN = "x-amzn-stream-arn"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class CProducerAuth(SigV4Auth):
    """Signs what the C producer signs; botocore leaves some of it out (kvs-api 3.2)."""

    def headers_to_sign(self, request: AWSRequest) -> Any:
        headers = super().headers_to_sign(request)
        for name in ("transfer-encoding", "user-agent"):
            headers[name] = request.headers[name]
        return headers


def media_headers(stream: str, kind: str = "ABSOLUTE", start: str | None = None) -> dict[str, str]:
    """What says how the media is to be read."""
    start = f"{now_ms() / 1000:.3f}" if start is None else start
    return {NAME: stream, KIND: kind, START: start, ACK: "1"}


def signed(
    service: Service, headers: dict[str, str], credentials: Credentials | None = None, *, host: str | None = None
) -> bytes:
    """A request head, signed as the C producer does: with the hash of an empty body."""
    host = host or host_of(service)
    all_headers = {"Host": host, "Transfer-Encoding": "chunked", "User-Agent": "AWS-SDK-KVS/3.0.0", **headers}
    request = AWSRequest("POST", f"http://{host}{PATH}", headers=all_headers, data=b"")
    CProducerAuth(credentials or service.credentials, "kinesisvideo", REGION).add_auth(request)
    return head(PATH, dict(request.headers.items()))


def signed_as_java(service: Service, headers: dict[str, str]) -> bytes:
    """As the Java producer: the body is said not to be signed."""
    host = host_of(service)
    all_headers = {"Host": host, "Transfer-Encoding": "chunked", "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD", **headers}
    request = AWSRequest("POST", f"http://{host}{PATH}", headers=all_headers, data=b"")
    SigV4Auth(service.credentials, "kinesisvideo", REGION).add_auth(request)
    return head(PATH, dict(request.headers.items()))


def presigned(service: Service, headers: dict[str, str], expires: int = 600) -> bytes:
    """As the Go library: the signature is in the query, and of the headers it covers the host alone."""
    host = host_of(service)
    request = AWSRequest("POST", f"http://{host}{PATH}", headers={"Host": host}, data=b"")
    SigV4QueryAuth(service.credentials, "kinesisvideo", REGION, expires=expires).add_auth(request)
    target = request.url.removeprefix(f"http://{host}")
    return head(target, {"Host": host, "Transfer-Encoding": "chunked", **headers})


class Session(Call):
    """A PutMedia session that was let in."""

    def __init__(self, service: Service, request: bytes) -> None:
        super().__init__(service, request)
        self.answer = self.head()
        assert self.answer.status == 200, (self.answer, self.buffer)

    def __enter__(self) -> Session:
        return self

    def ack(self) -> dict[str, Any] | None:
        """The next ack; none at the end. Each is a line, and a chunk of its own (kvs-api 3.5)."""
        line = self.chunk()
        if not line:
            return None
        assert line.endswith(b"\n") and line.count(b"\n") == 1, line
        return json.loads(line)

    def acks(self) -> Iterator[dict[str, Any]]:
        while (ack := self.ack()) is not None:
            yield ack

    def until(self, event: str) -> list[dict[str, Any]]:
        """The acks up to the first of an event."""
        seen = []
        for ack in self.acks():
            seen.append(ack)
            if ack["EventType"] == event:
                return seen
        raise AssertionError(f"no {event} in {seen}")


def open_session(service: Service, stream: str, *, credentials: Credentials | None = None, **how: Any) -> Session:
    return Session(service, signed(service, media_headers(stream, **how), credentials))


def put(service: Service, stream: str, media: bytes, **how: Any) -> list[dict[str, Any]]:
    """Sends a whole body and gives all acks."""
    with open_session(service, stream, **how) as session:
        session.send(media)
        session.finish()
        return list(session.acks())


def numbers(acks: Iterable[dict[str, Any]], event: str = "PERSISTED") -> list[str]:
    """The numbers of the fragments that an event was told of."""
    return [ack["FragmentNumber"] for ack in acks if ack["EventType"] == event]
