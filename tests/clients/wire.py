"""HTTP as it is on the wire: requests whose every byte a test decides, responses read as they come."""

from __future__ import annotations

import datetime
import hashlib
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from service import PATIENCE, REGION, Service


def host_of(service: Service) -> str:
    return "{}:{}".format(*service.address)


@contextmanager
def signing_at(offset: float) -> Iterator[None]:
    """botocore signs with a clock that is so many seconds ahead."""

    def now(remove_tzinfo: bool = True) -> datetime.datetime:
        there = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=offset)
        return there.replace(tzinfo=None) if remove_tzinfo else there

    with mock.patch("botocore.auth.get_current_datetime", now):
        yield


def signed_json(
    service: Service,
    path: str,
    body: Any,
    credentials: Credentials | None = None,
    headers: dict[str, str] | None = None,
    signs_for: tuple[str, str] = ("kinesisvideo", REGION),
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a call with JSON, signed."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    all_headers = {"Host": host_of(service), "Content-Type": "application/json", **(headers or {})}
    request = AWSRequest("POST", f"http://{host_of(service)}{path}", headers=all_headers, data=data)
    SigV4Auth(credentials or service.credentials, *signs_for).add_auth(request)
    return {**dict(request.headers.items()), "Content-Length": str(len(data))}, data


def presigned_json(service: Service, path: str, body: Any, expires: int = 600) -> bytes:
    """A whole call with JSON whose signature is in the query and covers the host and the body."""
    data = json.dumps(body).encode()

    class WithBody(SigV4QueryAuth):
        """botocore would move the body into the query, as a browser's form does."""

        def payload(self, request: AWSRequest) -> str:
            return hashlib.sha256(data).hexdigest()

    request = AWSRequest("POST", f"http://{host_of(service)}{path}", headers={"Host": host_of(service)}, data=b"")
    WithBody(service.credentials, "kinesisvideo", REGION, expires=expires).add_auth(request)
    target = request.url.removeprefix(f"http://{host_of(service)}")
    return head(target, {"Host": host_of(service), "Content-Length": str(len(data))}) + data


@dataclass
class Refusal:
    """What a refused call is answered with."""

    status: int
    exception: str
    message: str
    #: Whether the operation wrote it (`Message`) or the front end did (`message`).
    by_operation: bool


def refusal(service: Service, request: bytes) -> Refusal:
    """Sends a request that is refused."""
    with Call(service, request) as call:
        answer = call.head()
        said = json.loads(call.body(answer))
    assert len(said) == 1, said
    (key,) = said
    assert key in ("Message", "message"), said
    assert answer.headers["content-type"] == "application/json" and answer.headers["x-amzn-requestid"]
    return Refusal(answer.status, answer.headers["x-amzn-errortype"].split(":")[0], said[key], key == "Message")


def head(target: str, headers: dict[str, str]) -> bytes:
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


@dataclass
class Head:
    status: int
    headers: dict[str, str]


class Call:
    """A request on a connection of its own, with the response read as it comes."""

    def __init__(self, service: Service, request: bytes) -> None:
        self.socket: socket.socket = socket.create_connection(service.address, PATIENCE)
        if service.ca:
            context = ssl.create_default_context(cafile=service.ca)
            self.socket = context.wrap_socket(self.socket, server_hostname=service.address[0])
        else:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        #: Interim responses, such as 100.
        self.interim: list[int] = []
        self.socket.sendall(request)

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    # --- out -----------------------------------------------------------------------------------------------------

    def send(self, media: bytes, piece: int | None = None) -> None:
        """Media, in HTTP chunks of a size."""
        piece = piece or max(1, len(media))
        self.socket.sendall(b"".join(http_chunk(media[at : at + piece]) for at in range(0, len(media), piece)))

    def send_raw(self, data: bytes, piece: int | None = None) -> None:
        """Bytes as they are, each piece in a segment of its own."""
        for at in range(0, len(data), piece or len(data)):
            self.socket.sendall(data[at : at + (piece or len(data))])

    def finish(self) -> None:
        self.socket.sendall(LAST_CHUNK)

    # --- in ------------------------------------------------------------------------------------------------------

    def head(self) -> Head:
        while True:
            while b"\r\n\r\n" not in self.buffer:
                self._more()
            text, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            first, *lines = text.decode().split("\r\n")
            status = int(first.split(" ")[1])
            if status >= 200:
                pairs = (line.split(":", 1) for line in lines)
                return Head(status, {name.lower(): value.strip() for name, value in pairs})
            self.interim.append(status)

    def chunk(self) -> bytes:
        """The next HTTP chunk of the response; empty at its end."""
        length = int(self._line(), 16)
        while len(self.buffer) < length + 2:
            self._more()
        data, end, self.buffer = self.buffer[:length], self.buffer[length : length + 2], self.buffer[length + 2 :]
        assert end == b"\r\n"
        return data

    def _line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _more(self) -> None:
        received = self.socket.recv(65536)
        if not received:
            raise EOFError(f"the connection ends after {self.buffer!r}")
        self.buffer += received

    def chunks(self) -> bytes:
        """The rest of a response that is chunked."""
        return b"".join(iter(self.chunk, b""))

    def body(self, answer: Head) -> bytes:
        """The rest of a response that is not chunked."""
        length = int(answer.headers["content-length"])
        while len(self.buffer) < length:
            self._more()
        data, self.buffer = self.buffer[:length], self.buffer[length:]
        return data
