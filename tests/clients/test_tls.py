"""HTTPS with a certificate that the service makes for itself."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable

import pytest
from botocore.exceptions import SSLError

import service as services
from consumer import get_fragments
from matroska import body, media
from producer import now_ms, numbers, put
from service import Service
from test_command import env_of


@pytest.fixture(scope="module")
def kvs(serve: Callable[..., Service]) -> Service:
    return serve("--tls-self-signed")


def test_boto3_trusts_the_services_own_authority_and_no_other(kvs: Service, stream: str) -> None:
    assert kvs.url.startswith("https://") and kvs.ca
    assert kvs.control.get_data_endpoint(StreamName=stream, APIName="GET_MEDIA")["DataEndpoint"] == kvs.url
    with pytest.raises(SSLError):
        kvs.client("kinesisvideo", verify=True).describe_stream(StreamName=stream)


def test_media_goes_out_and_comes_back(kvs: Service, stream: str) -> None:
    sent = media(now_ms(), 5, size_of=50_000)
    acks = put(kvs, stream, body(sent))
    assert [chunk.fragment for chunk in get_fragments(kvs, stream, numbers(acks))] == sent


def test_curl_trusts_it_when_it_is_told_to(kvs: Service) -> None:
    assert kvs.ca
    for flags, code in ((["--cacert", kvs.ca], 0), ([], 60)):
        done = subprocess.run(["curl", "-sS", *flags, kvs.url + "/health"], capture_output=True, timeout=10)
        assert done.returncode == code, done
    for host in ("localhost", "127.0.0.1"):
        url = f"https://{host}:{kvs.address[1]}/health"
        assert (
            subprocess.run(["curl", "-sS", "--cacert", kvs.ca, url], capture_output=True, timeout=10).stdout == b"ok\n"
        )


def test_the_command_trusts_it_after_env(kvs: Service, stream: str) -> None:
    env = env_of(kvs)
    assert env["AWS_CA_BUNDLE"] == kvs.ca
    assert stream in services.kvs("streams", env=env).stdout


def test_a_connection_that_says_nothing_does_not_hold_up_the_stop(serve: Callable[..., Service]) -> None:
    service = serve("--tls-self-signed")
    with socket.create_connection(service.address):
        started = time.monotonic()
        service.stop()
    assert time.monotonic() - started < 3
