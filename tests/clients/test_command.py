"""The command beside the service: what people and scripts type."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import service as services
from consumer import get_fragments, list_fragments
from matroska import body, cluster, header, media, tags
from producer import now_ms, numbers, open_session, put
from service import BINARY, PATIENCE, RAISED, REGION, ROOT, Service, environment


def env_of(kvs: Service) -> dict[str, str]:
    """What a shell has after `eval "$(kvs env)"`."""
    script = f'eval "$({shlex.quote(BINARY)} env --data {shlex.quote(str(kvs.data))} --shell sh)" && env -0'
    start = environment(AWS_PROFILE="other", AWS_SESSION_TOKEN="old", AWS_CA_BUNDLE="/of/another/tls-ca.pem")
    done = subprocess.run(["sh", "-c", script], env=start, capture_output=True, timeout=PATIENCE, check=True)
    return dict(pair.split("=", 1) for pair in done.stdout.decode().split("\0") if pair)


def test_env_points_a_shell_at_the_service(kvs: Service) -> None:
    env = env_of(kvs)
    assert kvs.credentials
    assert env["AWS_ENDPOINT_URL"] == kvs.url
    assert (env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]) == (
        kvs.credentials.access_key,
        kvs.credentials.secret_key,
    )
    assert env["AWS_REGION"] == env["AWS_DEFAULT_REGION"] == REGION
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"} & set(env)


def test_boto3_needs_nothing_but_that_environment(kvs: Service, stream: str) -> None:
    program = (
        "import boto3, sys; described = boto3.client('kinesisvideo').describe_stream(StreamName=sys.argv[1]);"
        "print(described['StreamInfo']['Status'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, stream], env=env_of(kvs), capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout) == (0, "ACTIVE\n"), done.stderr


def test_streams_are_made_shown_and_deleted(kvs: Service, name: str) -> None:
    env = env_of(kvs)
    arn = services.kvs(
        "streams", "create", name, "--retention", "3h", "--media-type", "video/h264", env=env
    ).stdout.strip()
    info = kvs.control.describe_stream(StreamName=name)["StreamInfo"]
    assert (info["StreamARN"], info["DataRetentionInHours"], info["MediaType"]) == (arn, 3, "video/h264")
    assert name in services.kvs("streams", env=env).stdout
    shown = json.loads(services.kvs("streams", "--json", env=env).stdout)
    assert name in json.dumps(shown)
    assert services.kvs("streams", "delete", name, env=env, check=False).returncode != 0
    services.kvs("streams", "delete", name, "--yes", env=env)
    assert name not in services.kvs("streams", env=env).stdout


def test_fragments_are_shown_with_their_gaps(kvs: Service, stream: str) -> None:
    env, start = env_of(kvs), now_ms() - 60_000
    persisted = numbers(put(kvs, stream, body(media(start, 3)))) + numbers(
        put(kvs, stream, body(media(start + 20_000, 2)))
    )
    shown = json.loads(services.kvs("fragments", stream, "--json", env=env).stdout)
    assert [row["FragmentNumber"] for row in shown["Fragments"]] == persisted
    rows = list_fragments(kvs, stream)
    assert (shown["Count"], shown["Bytes"]) == (5, sum(row["FragmentSizeInBytes"] for row in rows))
    assert len(shown["Gaps"]) == 1
    some = json.loads(services.kvs("fragments", stream, "--json", "--from", str(start // 1000 + 10), env=env).stdout)
    assert [row["FragmentNumber"] for row in some["Fragments"]] == persisted[3:]
    assert persisted[0] in services.kvs("fragments", stream, env=env).stdout
    refused = services.kvs("fragments", stream + ".other", env=env, check=False)
    assert (
        refused.returncode == 1
        and "ResourceNotFoundException" in refused.stderr
        and len(refused.stderr.splitlines()) == 1
    )


def test_what_was_stored_is_verified_after_a_stop_and_served_after_a_start(
    serve: Callable[..., Service], name: str
) -> None:
    service = serve()
    service.create(name)
    persisted = numbers(put(service, name, body(media(now_ms(), 10, size_of=50_000))))
    assert services.kvs("verify", "--data", service.data, check=False).returncode == 1
    service.stop()
    report = json.loads(services.kvs("verify", "--data", service.data, "--json").stdout)
    assert (report["Sound"], report["Fragments"]) == (True, 10)
    service.start()
    assert [row["FragmentNumber"] for row in list_fragments(service, name)] == persisted


def test_a_stop_finishes_what_is_open(serve: Callable[..., Service], name: str) -> None:
    service = serve(config=RAISED + 'stop_timeout = "1s"\n')
    service.create(name)
    (fragment,) = media(now_ms(), 1)
    with open_session(service, name) as session:
        session.send(header() + tags(fragment.tags) + cluster(fragment))
        session.until("BUFFERING")
        service.terminate()
        acks = list(session.acks())
    assert [ack["EventType"] for ack in acks] == ["RECEIVED", "PERSISTED"]
    service.stop()
    service.start()
    assert [chunk.fragment for chunk in get_fragments(service, name, numbers(acks))] == [fragment]


def test_a_stop_waits_for_the_end_of_what_is_open_and_begins_nothing(serve: Callable[..., Service], name: str) -> None:
    service = serve()
    service.create(name)
    first, second = media(now_ms(), 2)
    with open_session(service, name) as session:
        session.send(header() + tags(first.tags) + cluster(first)[:-100])
        session.until("BUFFERING")
        service.terminate()
        service.wait_until_stopping()
        session.send(cluster(first)[-100:] + tags(second.tags) + cluster(second))
        acks = list(session.acks())
    assert [ack["EventType"] for ack in acks] == ["RECEIVED", "PERSISTED"]
    service.stop()
    service.start()
    assert [row["FragmentNumber"] for row in list_fragments(service, name)] == numbers(acks)
    assert [chunk.fragment for chunk in get_fragments(service, name, numbers(acks))] == [first]


def test_a_killed_service_has_what_it_said_it_has(serve: Callable[..., Service], name: str) -> None:
    service = serve()
    service.create(name)
    with open_session(service, name) as session:
        session.send(body(media(now_ms(), 5)) + cluster(media(now_ms() + 10_000, 1)[0])[:-10])
        persisted = [session.until("PERSISTED")[-1]["FragmentNumber"] for _ in range(5)]
        service.kill()
    service.start()
    assert [row["FragmentNumber"] for row in list_fragments(service, name)] == persisted


def test_health_and_metrics_are_there_for_who_is_on_this_machine(kvs: Service, stream: str) -> None:
    assert kvs.ask("GET", "/health") == (200, "ok\n")
    put(kvs, stream, body(media(now_ms(), 2)))
    status, said = kvs.ask("GET", "/metrics")
    assert status == 200 and stream in said and "PutMedia" in said.replace("_", "")


def test_the_lines_of_the_readme_put_media_and_read_it_back(kvs: Service, stream: str, tmp_path: Path) -> None:
    blocks = re.findall(r"(?:^    .+\n)+", (ROOT / "README.md").read_text(), re.MULTILINE)
    (lines,) = [textwrap.dedent(block) for block in blocks if "/putMedia" in block]
    # As it is there, but for a test's time.
    for there, here in [(" -re ", " "), (" -t 20 ", " -t 3 "), ("front-door", stream)]:
        assert there in lines
        lines = lines.replace(there, here)
    env = env_of(kvs)
    env["PATH"] = f"{Path(BINARY).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(
        ["sh", "-euc", lines], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=2 * PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    acks = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    # A fragment for each second, which is from key frame to key frame.
    persisted = numbers(acks)
    assert len(persisted) == 3 and not numbers(acks, "ERROR")
    assert [row["FragmentNumber"] for row in list_fragments(kvs, stream)] == persisted
    assert all(f"\n{number} " in done.stdout for number in persisted)
    counting = "ffprobe -v fatal -count_frames -show_entries stream=codec_name,nb_read_frames -of csv=p=0".split()
    counted = subprocess.run(
        [*counting, tmp_path / f"{stream}.mkv"], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert counted.stdout == "h264,90\n"
