"""HLS, DASH and clips through boto3, and what a plain HTTP client finds behind the URLs."""

from __future__ import annotations

import itertools
import pathlib
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree
from typing import Any

import botocore.exceptions
import pytest

from consumer import between
from matroska import Fragment, Frame, Track, body
from producer import numbers, put
from service import ROOT, Service

START = 1_750_000_000_000
SECONDS = 4
DATA = pathlib.Path(ROOT) / "crates/kvs-media/tests/data/codec"
VIDEO = Track(1, 1, "V_MPEG4/ISO/AVC", (DATA / "h264-high.avcC").read_bytes())
SOUND = Track(2, 2, "A_AAC", bytes.fromhex("1190"))
RANGE = between("PRODUCER_TIMESTAMP", START / 1_000, START / 1_000 + 60)


def second(at: int) -> Fragment:
    """A second of pictures and sound, in the order of time."""
    pictures = [Frame(1, at + 40 * n, f"picture {at} {n}".encode(), key=n == 0) for n in range(25)]
    sound = [Frame(2, at + 1_000 * n // 48, f"sound {at} {n}".encode()) for n in range(47)]
    return Fragment(at, tuple(sorted(pictures + sound, key=lambda frame: (frame.time, frame.track))))


@pytest.fixture
def recorded(kvs: Service, stream: str) -> list[str]:
    """The numbers of some seconds of the stream."""
    fragments = [second(START + 1_000 * n) for n in range(SECONDS)]
    return numbers(put(kvs, stream, body(fragments, (VIDEO, SOUND))))


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def hls(kvs: Service, stream: str, **how: Any) -> str:
    client = kvs.data_client("GET_HLS_STREAMING_SESSION_URL", stream)
    return client.get_hls_streaming_session_url(StreamName=stream, **how)["HLSStreamingSessionURL"]


def dash(kvs: Service, stream: str, **how: Any) -> str:
    client = kvs.data_client("GET_DASH_STREAMING_SESSION_URL", stream)
    return client.get_dash_streaming_session_url(StreamName=stream, **how)["DASHStreamingSessionURL"]


def playlists(url: str) -> list[str]:
    """The media playlists that a master names, of sound first."""
    master = fetch(url)
    names = [line.split('URI="')[1].split('"')[0] for line in master.splitlines() if "URI=" in line]
    names += [line for line in master.splitlines() if not line.startswith("#")]
    return [fetch(url.rsplit("/", 1)[0] + "/" + name) for name in names]


@pytest.mark.parametrize(
    ("container", "discontinuity", "display"),
    list(
        itertools.product(
            ["FRAGMENTED_MP4", "MPEG_TS"], ["ALWAYS", "NEVER", "ON_DISCONTINUITY"], ["ALWAYS", "NEVER"]
        )
    ),
)
def test_hls_takes_every_parameter(
    kvs: Service, stream: str, recorded: list[str], container: str, discontinuity: str, display: str
) -> None:
    common = {"ContainerFormat": container, "DiscontinuityMode": discontinuity, "DisplayFragmentTimestamp": display}
    modes: list[dict[str, Any]] = [
        {"PlaybackMode": "ON_DEMAND", "HLSFragmentSelector": RANGE, "MaxMediaPlaylistFragmentResults": 3},
        {"PlaybackMode": "LIVE", "HLSFragmentSelector": {"FragmentSelectorType": "PRODUCER_TIMESTAMP"}},
        {"PlaybackMode": "LIVE_REPLAY", "HLSFragmentSelector": RANGE, "Expires": 43_200},
    ]
    for mode, shown, ended in zip(modes, [3, 4, 3], [True, False, False], strict=True):
        url = hls(kvs, stream, **common, **mode)
        assert "/hls/v1/getHLSMasterPlaylist.m3u8?SessionToken=Ci" in url
        found = playlists(url)
        assert len(found) == (2 if container == "FRAGMENTED_MP4" else 1)
        for playlist in found:
            assert playlist.count("#EXTINF:1,\n") == shown
            assert playlist.count("#EXT-X-DISCONTINUITY\n") == (shown if discontinuity == "ALWAYS" else 0)
            assert playlist.count("#EXT-X-PROGRAM-DATE-TIME:2025-06-15T15:06:4") == (shown if display == "ALWAYS" else 0)
            assert playlist.endswith("#EXT-X-ENDLIST\n") == ended
            named = [line for line in playlist.splitlines() if "FragmentNumber=" in line]
            numbered = [line.split("FragmentNumber=")[1].split("&")[0] for line in named]
            assert numbered == recorded[:shown]


@pytest.mark.parametrize(("times", "fragments"), list(itertools.product(["ALWAYS", "NEVER"], repeat=2)))
def test_dash_takes_every_parameter(
    kvs: Service, stream: str, recorded: list[str], times: str, fragments: str
) -> None:
    common = {"DisplayFragmentTimestamp": times, "DisplayFragmentNumber": fragments, "Expires": 300}
    modes: list[tuple[dict[str, Any], str]] = [
        ({"PlaybackMode": "ON_DEMAND", "DASHFragmentSelector": RANGE, "MaxManifestFragmentResults": 3}, "static"),
        ({"PlaybackMode": "LIVE", "DASHFragmentSelector": {"FragmentSelectorType": "PRODUCER_TIMESTAMP"}}, "dynamic"),
        ({"PlaybackMode": "LIVE_REPLAY", "DASHFragmentSelector": RANGE}, "dynamic"),
    ]
    for mode, kind in modes:
        url = dash(kvs, stream, **common, **mode)
        assert "/dash/v1/getDASHManifest.mpd?SessionToken=Ci" in url
        root = ElementTree.fromstring(fetch(url))
        name = "{urn:mpeg:dash:schema:mpd:2011}"
        assert root.get("type") == kind and root.get("availabilityStartTime")
        sets = root.findall(f"{name}Period/{name}AdaptationSet")
        assert [found.get("contentType") for found in sets] == ["video", "audio"]
        for found in sets:
            segments = found.findall(f".//{name}S")
            assert len(segments) == (4 if mode["PlaybackMode"] == "LIVE" else 3)
            assert all(segment.get("r") is None and segment.get("d") == "1000" for segment in segments)
            told = [segment.get("{urn:kinesisvideo}fn") for segment in segments]
            assert told == (recorded[: len(told)] if fragments == "ALWAYS" else [None] * len(told))
            assert all((segment.get("{urn:kinesisvideo}ts") is not None) == (times == "ALWAYS") for segment in segments)


def test_a_clip_is_one_file(kvs: Service, stream: str, recorded: list[str]) -> None:
    client = kvs.data_client("GET_CLIP", stream)
    answer = client.get_clip(StreamName=stream, ClipFragmentSelector=RANGE)
    assert answer["ContentType"] == "video/mp4"
    with answer["Payload"] as payload:
        clip = payload.read()
    assert clip[4:8] == b"ftyp"
    media = clip[clip.index(b"mdat") + 4 :]
    frames = [frame for n in range(SECONDS) for frame in second(START + 1_000 * n).frames]
    assert media == b"".join(frame.payload for frame in frames)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_clip(StreamName=stream, ClipFragmentSelector=between("PRODUCER_TIMESTAMP", 1, 2))


def test_what_cannot_be_played_is_an_exception_of_the_model(kvs: Service, stream: str) -> None:
    put(kvs, stream, body([second(START)], (Track(1, 1, "V_VP9", b""), SOUND)))
    clips = kvs.data_client("GET_CLIP", stream)
    with pytest.raises(clips.exceptions.UnsupportedStreamMediaTypeException):
        clips.get_clip(StreamName=stream, ClipFragmentSelector=RANGE)
    for call in [hls, dash]:
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            call(kvs, stream)
        assert refused.value.response["Error"]["Code"] == "UnsupportedStreamMediaTypeException"


def test_a_forged_token_opens_nothing(kvs: Service, stream: str, recorded: list[str]) -> None:
    url = hls(kvs, stream, PlaybackMode="ON_DEMAND", HLSFragmentSelector=RANGE)
    for forged in [url[:-5] + "AAAA~", url.rstrip("~"), url + "~"]:
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetch(forged)
        assert refused.value.code == 403
