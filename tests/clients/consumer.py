"""What boto3 reads back."""

from __future__ import annotations

from typing import Any

from matroska import Chunk, chunks
from service import Service


def get_media(service: Service, stream: str, kind: str = "EARLIEST", **more: Any) -> list[Chunk]:
    """All that GetMedia answers until it ends by itself."""
    client = service.data_client("GET_MEDIA", stream)
    answer = client.get_media(StreamName=stream, StartSelector={"StartSelectorType": kind, **more})
    assert answer["ContentType"] == "video/webm"
    with answer["Payload"] as payload:
        return chunks(payload.read())


def get_fragments(service: Service, stream: str, numbers: list[str]) -> list[Chunk]:
    """What GetMediaForFragmentList answers."""
    client = service.data_client("GET_MEDIA_FOR_FRAGMENT_LIST", stream)
    answer = client.get_media_for_fragment_list(StreamName=stream, Fragments=numbers)
    assert answer["ContentType"] == "video/webm"
    with answer["Payload"] as payload:
        return chunks(payload.read())


def list_fragments(service: Service, stream: str, **more: Any) -> list[dict[str, Any]]:
    """All pages of ListFragments, by number."""
    pages = (
        service.data_client("LIST_FRAGMENTS", stream)
        .get_paginator("list_fragments")
        .paginate(**{"StreamName": stream, "FragmentSelector": between("SERVER_TIMESTAMP", 0, 4_000_000_000), **more})
    )
    return sorted((row for page in pages for row in page["Fragments"]), key=lambda row: row["FragmentNumber"])


def between(kind: str, start: float, end: float) -> dict[str, Any]:
    return {"FragmentSelectorType": kind, "TimestampRange": {"StartTimestamp": start, "EndTimestamp": end}}
