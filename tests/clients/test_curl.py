"""curl, which signs by itself and does HTTP as it sees fit."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import producer
from consumer import get_fragments, list_fragments
from matroska import body, chunks, media
from producer import media_headers, now_ms, numbers
from service import PATIENCE, REGION, Service, environment


def curl(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", str(int(PATIENCE)), *arguments],
        input=stdin,
        capture_output=True,
        env=environment(),
        timeout=PATIENCE + 5,
    )


def signing(kvs: Service, secret: str | None = None, service: str = "kinesisvideo") -> list[str]:
    assert kvs.credentials
    who = f"{kvs.credentials.access_key}:{secret or kvs.credentials.secret_key}"
    return ["--aws-sigv4", f"aws:amz:{REGION}:{service}", "--user", who]


def call(kvs: Service, path: str, ask: object, *arguments: str) -> tuple[int, bytes]:
    """A call with JSON; gives the status and the body."""
    done = curl(
        *arguments,
        "--header",
        "Content-Type: application/json",
        "--data-binary",
        json.dumps(ask),
        "--write-out",
        "%{stderr}%{http_code}",
        kvs.url + path,
    )
    assert done.returncode == 0, done
    return int(done.stderr), done.stdout


def headers_of(headers: dict[str, str]) -> list[str]:
    return [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]


def test_curl_makes_describes_and_deletes_a_stream(kvs: Service, name: str) -> None:
    status, said = call(kvs, "/createStream", {"StreamName": name, "DataRetentionInHours": 1}, *signing(kvs))
    assert status == 200
    arn = json.loads(said)["StreamARN"]
    status, said = call(kvs, "/describeStream", {"StreamName": name}, *signing(kvs))
    assert (status, json.loads(said)["StreamInfo"]["StreamARN"]) == (200, arn)
    assert call(kvs, "/deleteStream", {"StreamARN": arn}, *signing(kvs))[0] == 200
    assert call(kvs, "/describeStream", {"StreamName": name}, *signing(kvs))[0] == 404


@pytest.mark.parametrize(
    ("signature", "exception"),
    [
        ("none", "Missing Authentication Token"),
        ("secret", "signature we calculated does not match"),
        ("service", "Credential should be scoped to correct service: 'kinesisvideo'."),
    ],
)
def test_curl_is_refused_as_aws_refuses(kvs: Service, stream: str, signature: str, exception: str) -> None:
    how = {"none": [], "secret": signing(kvs, secret="x" * 40), "service": signing(kvs, service="s3")}[signature]
    status, said = call(kvs, "/describeStream", {"StreamName": stream}, *how)
    assert status == 403 and exception in json.loads(said)["message"]


def test_curl_sends_a_file_as_it_comes(kvs: Service, stream: str) -> None:
    sent = media(now_ms() - 60_000, 20, size_of=5_000)
    done = curl(
        *signing(kvs),
        *headers_of(media_headers(stream)),
        "--request",
        "POST",
        "--upload-file",
        "-",
        "--verbose",
        "--write-out",
        "%{stderr}took %{time_starttransfer}",
        kvs.url + producer.PATH,
        stdin=body(sent),
    )
    assert done.returncode == 0, done
    log = done.stderr.decode(errors="replace")
    assert "Expect: 100-continue" in log and "HTTP/1.1 100 Continue" in log
    # Without the interim response curl waits a second for it.
    assert float(log.rsplit("took ", 1)[1]) < 0.9
    acks = [json.loads(line) for line in done.stdout.splitlines()]
    assert [chunk.fragment for chunk in get_fragments(kvs, stream, numbers(acks))] == sent


def test_curl_sends_a_file_of_known_length(kvs: Service, stream: str, tmp_path: Path) -> None:
    file = tmp_path / "media.mkv"
    sent = media(now_ms(), 3)
    file.write_bytes(body(sent))
    done = curl(
        *signing(kvs),
        *headers_of(media_headers(stream)),
        "--request",
        "POST",
        "--upload-file",
        str(file),
        kvs.url + producer.PATH,
    )
    assert done.returncode == 0, done
    assert len(numbers(json.loads(line) for line in done.stdout.splitlines())) == 3
    assert len(list_fragments(kvs, stream)) == 3


def test_curl_reads_what_curl_sent(kvs: Service, stream: str) -> None:
    sent = media(now_ms() - 10_000, 5)
    curl(
        *signing(kvs),
        *headers_of(media_headers(stream)),
        "--request",
        "POST",
        "--upload-file",
        "-",
        kvs.url + producer.PATH,
        stdin=body(sent),
    )
    status, said = call(
        kvs, "/getMedia", {"StreamName": stream, "StartSelector": {"StartSelectorType": "EARLIEST"}}, *signing(kvs)
    )
    assert status == 200
    assert [chunk.fragment for chunk in chunks(said)] == sent


def test_curl_with_a_wrong_secret_sends_no_media(kvs: Service, stream: str) -> None:
    done = curl(
        *signing(kvs, secret="x" * 40),
        *headers_of(media_headers(stream)),
        "--request",
        "POST",
        "--upload-file",
        "-",
        "--write-out",
        "%{stderr}%{http_code}",
        kvs.url + producer.PATH,
        stdin=body(media(now_ms(), 1)),
    )
    assert done.stderr.decode().endswith("403") and b"does not match" in done.stdout
    assert list_fragments(kvs, stream) == []
