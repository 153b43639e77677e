"""A disk that is full: producers are told, readers go on, and all is well again when there is space."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer import get_media, list_fragments
from matroska import body, media
from producer import now_ms, numbers, open_session, put
from service import PATIENCE, RAISED, Service

ARCHIVAL_ERROR = 5001
MB = 1_000_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 96 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", folder], capture_output=True, text=True, timeout=PATIENCE
    )
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True, timeout=PATIENCE)


def test_a_full_disk_is_an_error_ack_and_passes(small_disk: Path, tmp_path: Path, name: str) -> None:
    # Its log is elsewhere.
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "data").symlink_to(small_disk)
    service = Service(folder, config=RAISED).start()
    try:
        service.create(name)
        start = now_ms() - 600_000
        kept = numbers(put(service, name, body(media(start, 3))))
        assert len(kept) == 3
        # All that is left goes to somebody else.
        ballast = small_disk / "ballast"
        with ballast.open("wb") as file:
            try:
                while True:
                    file.write(bytes(MB))
                    file.flush()
            except OSError:
                pass
        failed, large = False, body(media(start + 100_000, 1, frames=1, size_of=MB))
        for _ in range(200):
            with open_session(service, name) as session:
                session.send(large)
                session.finish()
                acks = list(session.acks())
            if acks[-1]["EventType"] == "ERROR":
                assert acks[-1]["ErrorId"] == ARCHIVAL_ERROR
                failed = True
                break
            kept += numbers(acks)
        assert failed, "the disk never filled"
        # What was acknowledged can be read while nothing can be written.
        assert [row["FragmentNumber"] for row in list_fragments(service, name)] == kept
        assert [chunk.number for chunk in get_media(service, name, "EARLIEST")] == kept
        ballast.unlink()
        # It goes on by itself: writers try again from time to time.
        for attempt in range(1_000):
            acks = put(service, name, body(media(start + 300_000 + attempt * 1_000, 1)))
            if acks[-1]["EventType"] == "PERSISTED":
                break
        kept += numbers(acks)
        assert [row["FragmentNumber"] for row in list_fragments(service, name)] == kept
    finally:
        service.stop()
    # And nothing is wrong with what is there.
    service.start()
    assert [row["FragmentNumber"] for row in list_fragments(service, name)] == kept
    service.stop()
