"""GetImages through boto3: pictures of a track of JPEGs, each of a grey of its own."""

from __future__ import annotations

import base64
import datetime
import subprocess
from typing import Any

import pytest

from matroska import Fragment, Frame, Track, body
from producer import put
from service import Service

START = 1_750_000_000_000
JPEGS = (Track(codec="V_MJPEG", private=b""),)
SIZE = (64, 48)


def ffmpeg(*arguments: str, data: bytes = b"") -> bytes:
    command = ["ffmpeg", "-v", "error", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=20).stdout


def grey(level: int) -> bytes:
    """A picture of one grey, from 0 to 255."""
    source = f"color=0x{level:02x}{level:02x}{level:02x}:size={SIZE[0]}x{SIZE[1]}"
    return ffmpeg("-f", "lavfi", "-i", source, "-frames:v", "1", "-f", "mjpeg", "-q:v", "2", "-")


def seen(picture: bytes) -> tuple[int, int, int]:
    """Width, height and grey of a picture."""
    probe = ["-select_streams", "v", "-show_entries", "stream=width,height", "-of", "csv=p=0", "-"]
    text = subprocess.run(["ffprobe", "-v", "error", *probe], input=picture, capture_output=True, check=True, timeout=20)
    width, height = map(int, text.stdout.split(b","))
    pixels = ffmpeg("-i", "-", "-f", "rawvideo", "-pix_fmt", "rgb24", "-", data=picture)
    return width, height, round(sum(pixels) / len(pixels))


@pytest.fixture
def recorded(kvs: Service, stream: str) -> str:
    """Two fragments of five pictures 100 ms apart: greys from 50 on, in steps of 15."""
    pictures = [grey(50 + 15 * number) for number in range(10)]
    fragments = [
        Fragment(
            START + first * 100,
            tuple(Frame(1, START + (first + at) * 100, pictures[first + at]) for at in range(5)),
        )
        for first in (0, 5)
    ]
    put(kvs, stream, body(fragments, JPEGS))
    return stream


def asking(stream: str, start: int = 0, end: int = 900, **more: Any) -> dict[str, Any]:
    return {
        "StreamName": stream,
        "ImageSelectorType": "PRODUCER_TIMESTAMP",
        "StartTimestamp": (START + start) / 1000,
        "EndTimestamp": (START + end) / 1000,
        "SamplingInterval": 200,
        "Format": "JPEG",
        **more,
    }


def near(grey: int, number: int) -> bool:
    return abs(grey - (50 + 15 * number)) <= 4


def test_each_instant_has_its_picture(kvs: Service, recorded: str) -> None:
    client = kvs.data_client("GET_IMAGES", recorded)
    answer = client.get_images(**asking(recorded))
    assert "NextToken" not in answer
    for place, image in enumerate(answer["Images"]):
        at: datetime.datetime = image["TimeStamp"]
        assert round(at.timestamp() * 1000) == START + 200 * place
        assert "Error" not in image
        width, height, level = seen(base64.b64decode(image["ImageContent"], validate=True))
        assert (width, height) == SIZE and near(level, 2 * place), (place, level)
    assert len(answer["Images"]) == 5


@pytest.mark.parametrize(
    ("more", "size", "magic"),
    [
        ({"Format": "PNG"}, SIZE, b"\x89PNG"),
        ({"FormatConfig": {"JPEGQuality": "30"}}, SIZE, b"\xff\xd8"),
        ({"WidthPixels": 32}, (32, 24), b"\xff\xd8"),
        ({"HeightPixels": 96, "Format": "PNG"}, (128, 96), b"\x89PNG"),
        ({"WidthPixels": 100, "HeightPixels": 10}, (100, 10), b"\xff\xd8"),
    ],
)
def test_pictures_come_as_they_are_asked_for(
    kvs: Service, recorded: str, more: dict[str, Any], size: tuple[int, int], magic: bytes
) -> None:
    answer = kvs.data_client("GET_IMAGES", recorded).get_images(**asking(recorded, end=200, **more))
    for image, number in zip(answer["Images"], (0, 2), strict=True):
        picture = base64.b64decode(image["ImageContent"])
        width, height, level = seen(picture)
        assert picture.startswith(magic) and (width, height) == size and near(level, number)


def test_the_paginator_gives_all_pages(kvs: Service, recorded: str) -> None:
    client = kvs.data_client("GET_IMAGES", recorded)
    whole = client.get_images(**asking(recorded))["Images"]
    pages = list(client.get_paginator("get_images").paginate(**asking(recorded), PaginationConfig={"PageSize": 2}))
    assert [len(page["Images"]) for page in pages] == [2, 2, 1]
    assert [image for page in pages for image in page["Images"]] == whole


def test_where_nothing_is_is_said(kvs: Service, recorded: str) -> None:
    client = kvs.data_client("GET_IMAGES", recorded)
    images = client.get_images(**asking(recorded, start=-200, end=0))["Images"]
    assert [image.get("Error") for image in images] == ["NO_MEDIA", None]
    assert "ImageContent" not in images[0]


def test_refusals_are_exceptions_of_the_client(kvs: Service, recorded: str) -> None:
    client = kvs.data_client("GET_IMAGES", recorded)
    with pytest.raises(client.exceptions.InvalidArgumentException, match="300 seconds"):
        client.get_images(**asking(recorded, end=300_001))
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_images(**asking("nobody"))
    sound = kvs.create("sound-only")
    put(kvs, "sound-only", body([Fragment(START, (Frame(1, START, b"x"),))], (Track(1, 2, "A_AAC", b"\x12\x10"),)))
    with pytest.raises(client.exceptions.UnsupportedStreamMediaTypeException):
        client.get_images(**asking("sound-only"))
    kvs.control.delete_stream(StreamARN=sound)
