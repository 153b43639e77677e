"""`kvs serve` as a child of the tests, and the clients that call it."""

from __future__ import annotations

import http.client
import json
import os
import queue
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.credentials import Credentials

REGION = "us-west-2"
ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("KVS_BINARY", str(ROOT / "target/debug/kvs"))
#: Longer than anything here takes on a busy machine, shorter than a test may.
PATIENCE = 20.0

#: Calls are not counted, and readers that have read everything need not wait for long.
RAISED = """
[limits]
control_calls_per_stream = 100000
control_calls = 100000
describe_calls = 100000
put_media_calls = 100000
put_media_fragments = 100000
get_media_calls = 100000
fragment_metadata_points = 10000000
fragment_media_points = 10000000
playback_calls = 100000
playback_lists = 100000
playback_media = 100000
put_media_bytes = "1GB"
get_media_bytes = "1GB"
get_media_idle = "1s"
"""

#: The client of boto3 for each API of the data plane.
CLIENT_OF = {
    "GET_MEDIA": "kinesis-video-media",
    "LIST_FRAGMENTS": "kinesis-video-archived-media",
    "GET_MEDIA_FOR_FRAGMENT_LIST": "kinesis-video-archived-media",
    "GET_HLS_STREAMING_SESSION_URL": "kinesis-video-archived-media",
    "GET_DASH_STREAMING_SESSION_URL": "kinesis-video-archived-media",
    "GET_CLIP": "kinesis-video-archived-media",
    "GET_IMAGES": "kinesis-video-archived-media",
}

#: One call, one request: a test sees each answer itself.
ONCE = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=PATIENCE)
#: The same, and it sends what botocore would refuse by itself.
UNCHECKED = ONCE.merge(Config(parameter_validation=False))

# Loading a service's model takes longer than most calls: one session keeps them.
_boto = boto3.Session(region_name=REGION)


def environment(**more: str) -> dict[str, str]:
    """The environment of this process, without what it says of AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KVS_"))}
    return {**kept, "AWS_EC2_METADATA_DISABLED": "true", **more}


def kvs(
    *arguments: str | Path, env: dict[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    done = subprocess.run(
        [BINARY, *map(str, arguments)],
        env=env or environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert not check or done.returncode == 0, f"kvs {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


class Service:
    """A service on a folder of its own. Between `start` and `stop` it is ready."""

    running: set[Service] = set()

    def __init__(self, folder: Path, *flags: str, config: str = RAISED) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.data, self.log = folder, folder / "data", folder / "stderr"
        file = folder / "kvs.toml"
        file.write_text(config)
        self.command = [
            BINARY,
            "serve",
            "--data",
            str(self.data),
            "--listen",
            "127.0.0.1:0",
            "--config",
            str(file),
            *flags,
        ]
        self.credentials: Credentials | None = None
        self.clients: list[Any] = []
        self.ca: str | None = None

    def start(self) -> Service:
        # Its port is another one, from start to start.
        self.__dict__.pop("_control", None)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.terminated = False
        Service.running.add(self)
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

        def pump() -> None:
            assert self.process.stdout
            for line in self.process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=pump, daemon=True).start()
        said = ""
        while "eval " not in said:
            line = lines.get(timeout=PATIENCE)
            assert line is not None, f"kvs serve ended: {said}{self.log.read_text()}"
            said += line

        def word(name: str) -> str | None:
            found = re.search(rf"^ +{name} +(\S+)$", said, re.MULTILINE)
            return found and found[1]

        self.said, self.url, self.ca = said, word("URL") or "", word("CA")
        if word("AWS_ACCESS_KEY_ID"):
            self.credentials = Credentials(word("AWS_ACCESS_KEY_ID"), word("AWS_SECRET_ACCESS_KEY"))
        return self

    def terminate(self) -> None:
        """Asks it to end, as an init system would. A second time it would end at once."""
        if not self.terminated:
            self.terminated = True
            self.process.send_signal(signal.SIGTERM)

    def wait_until_stopping(self) -> None:
        """Waits until it takes no connection any more: then all sessions know that it stops."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                socket.create_connection(self.address, timeout=PATIENCE).close()
            except ConnectionError:
                return
        raise AssertionError("it still takes connections")

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self.process.kill()
        self.process.wait()
        Service.running.discard(self)

    def stop(self) -> None:
        """Ends it, and insists on code 0."""
        if self not in Service.running:
            return
        Service.running.discard(self)
        # A connection that is kept alive is lingered upon.
        while self.clients:
            self.clients.pop().close()
        self.terminate()
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("it does not end after SIGTERM") from None
        assert code == 0, f"it ended with {code}: {self.log.read_text()[-2000:]}"

    @property
    def address(self) -> tuple[str, int]:
        url = urlsplit(self.url)
        return url.hostname or "", url.port or 0

    # --- clients -------------------------------------------------------------------------------------------------

    def client(self, name: str, credentials: Credentials | None = None, **more: Any) -> Any:
        """A client of boto3."""
        who = credentials or self.credentials
        assert who
        options: dict[str, Any] = {"endpoint_url": self.url, "config": ONCE}
        if self.ca:
            options["verify"] = self.ca
        client = _boto.client(
            name,
            aws_access_key_id=who.access_key,
            aws_secret_access_key=who.secret_key,
            aws_session_token=who.token,
            **{**options, **more},
        )
        self.clients.append(client)
        return client

    @property
    def control(self) -> Any:
        if not hasattr(self, "_control"):
            self._control = self.client("kinesisvideo")
        return self._control

    def data_client(self, api: str, stream: str, credentials: Credentials | None = None) -> Any:
        """The client for an API of a stream, at the address that the service gives."""
        endpoint = self.control.get_data_endpoint(StreamName=stream, APIName=api)["DataEndpoint"]
        return self.client(CLIENT_OF[api], credentials, endpoint_url=endpoint)

    def create(self, name: str, hours: int = 24, **more: Any) -> str:
        """A stream; gives its ARN."""
        return self.control.create_stream(StreamName=name, DataRetentionInHours=hours, **more)["StreamARN"]

    # --- what is no operation of AWS -----------------------------------------------------------------------------

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
        """A plain request."""
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def fault(self, what: Any, **more: Any) -> None:
        """Commands a fault."""
        status, said = self.ask("POST", "/faults", json.dumps({"what": what, **more}))
        assert status == 200, said
