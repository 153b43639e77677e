"""Matroska, as far as a producer writes it and GetMedia answers with it. Made without a look at the service's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

EBML, SEGMENT, INFO, TRACKS, CLUSTER, TAGS = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675, 0x1254C367
TRACK_ENTRY, TIMECODE, SIMPLE_BLOCK, BLOCK_GROUP, TAG, SIMPLE_TAG = 0xAE, 0xE7, 0xA3, 0xA0, 0x7373, 0x67C8
TAG_NAME, TAG_STRING, TRACK_NUMBER, CODEC_ID, CODEC_PRIVATE, SCALE = 0x45A3, 0x4487, 0xD7, 0x86, 0x63A2, 0x2AD7B1

#: Those that end a cluster or a segment of unknown size.
TOP = {EBML, SEGMENT}
LEVEL_1 = {INFO, TRACKS, CLUSTER, TAGS, 0x114D9B74, 0x1C53BB6B, 0x1941A469, 0x1043A770}


@dataclass(frozen=True)
class Frame:
    """A frame; its time is in ticks, from the epoch or from the producer's start."""

    track: int
    time: int
    payload: bytes
    key: bool = True
    discardable: bool = False


@dataclass(frozen=True)
class Track:
    number: int = 1
    kind: int = 1
    codec: str = "V_MPEG4/ISO/AVC"
    private: bytes = bytes.fromhex("014d401effe10000")


@dataclass(frozen=True)
class Fragment:
    """What becomes a cluster, and the tags in front of it."""

    timecode: int
    frames: tuple[Frame, ...]
    tags: tuple[tuple[str, str], ...] = ()


# --- writing ------------------------------------------------------------------------------------------------------


def identifier(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def size(length: int, width: int | None = None) -> bytes:
    width = width or next(width for width in range(1, 9) if length < (1 << 7 * width) - 1)
    return (length | 1 << 7 * width).to_bytes(width, "big")


def element(number: int, payload: bytes, width: int | None = None) -> bytes:
    return identifier(number) + size(len(payload), width) + payload


def open_element(number: int, width: int = 1) -> bytes:
    """An element whose size is not known: all bits of it are ones."""
    return identifier(number) + ((1 << 7 * width + 1) - 1).to_bytes(width, "big")


def unsigned(number: int, value: int) -> bytes:
    return element(number, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def text(number: int, value: str) -> bytes:
    return element(number, value.encode())


def header(tracks: tuple[Track, ...] = (Track(),), scale: int = 1_000_000) -> bytes:
    """Everything in front of the first cluster."""
    ebml = b"".join(
        [
            unsigned(0x4286, 1),
            unsigned(0x42F7, 1),
            unsigned(0x42F2, 4),
            unsigned(0x42F3, 8),
            text(0x4282, "matroska"),
            unsigned(0x4287, 2),
            unsigned(0x4285, 2),
        ]
    )
    info = b"".join(
        [element(0x73A4, bytes(range(16))), unsigned(SCALE, scale), text(0x4D80, "tests"), text(0x5741, "tests")]
    )
    entries = [
        element(
            TRACK_ENTRY,
            b"".join(
                [
                    unsigned(TRACK_NUMBER, track.number),
                    unsigned(0x73C5, 1000 + track.number),
                    unsigned(0x83, track.kind),
                    text(CODEC_ID, track.codec),
                    element(CODEC_PRIVATE, track.private),
                ]
            ),
        )
        for track in tracks
    ]
    return element(EBML, ebml) + open_element(SEGMENT) + element(INFO, info) + element(TRACKS, b"".join(entries))


def tags(pairs: tuple[tuple[str, str], ...]) -> bytes:
    """One Tags element with a Tag of all pairs; nothing for none."""
    if not pairs:
        return b""
    simple = [element(SIMPLE_TAG, text(TAG_NAME, name) + text(TAG_STRING, value)) for name, value in pairs]
    return element(TAGS, element(TAG, b"".join(simple)))


def block(frame: Frame, timecode: int) -> bytes:
    flags = (0x80 if frame.key else 0) | (0x01 if frame.discardable else 0)
    head = size(frame.track) + (frame.time - timecode).to_bytes(2, "big", signed=True) + bytes([flags])
    return element(SIMPLE_BLOCK, head + frame.payload)


def cluster(fragment: Fragment, known: bool = False) -> bytes:
    inside = unsigned(TIMECODE, fragment.timecode) + b"".join(
        block(frame, fragment.timecode) for frame in fragment.frames
    )
    return element(CLUSTER, inside) if known else open_element(CLUSTER) + inside


def body(
    fragments: list[Fragment], tracks: tuple[Track, ...] = (Track(),), known: bool = False, scale: int = 1_000_000
) -> bytes:
    """A whole PutMedia body."""
    return header(tracks, scale) + b"".join(tags(fragment.tags) + cluster(fragment, known) for fragment in fragments)


END_OF_FRAGMENT = tags((("AWS_KINESISVIDEO_END_OF_FRAGMENT", ""),))


# --- reading ------------------------------------------------------------------------------------------------------


@dataclass
class Chunk:
    """What GetMedia answers for a fragment."""

    header: bytes = b""
    tracks: list[Track] = field(default_factory=list)
    scale: int = 1_000_000
    #: Each Tags element, in order, as its pairs, and whether it came in front of the cluster.
    tags: list[tuple[bool, list[tuple[str, str]]]] = field(default_factory=list)
    timecode: int | None = None
    cluster: bytes = b""
    frames: list[Frame] = field(default_factory=list)
    #: Bytes of Tags elements, as they came.
    raw_tags: list[bytes] = field(default_factory=list)

    def own(self) -> dict[str, str]:
        """The tags that the service has put in."""
        return {name: value for _, pairs in self.tags for name, value in pairs if name.startswith("AWS_")}

    def sent(self) -> tuple[tuple[str, str], ...]:
        """The tags that the producer had in front of the fragment."""
        return tuple(pair for before, pairs in self.tags if before for pair in pairs if not pair[0].startswith("AWS_"))

    @property
    def number(self) -> str:
        return self.own()["AWS_KINESISVIDEO_FRAGMENT_NUMBER"]

    @property
    def fragment(self) -> Fragment:
        """What the producer must have sent."""
        assert self.timecode is not None
        return Fragment(self.timecode, tuple(self.frames), self.sent())


def chunks(data: bytes) -> list[Chunk]:
    """Reads an answer of GetMedia; each EBML header begins a chunk."""
    found: list[Chunk] = []
    position = 0
    while position < len(data):
        number, length, inside = _head(data, position)
        assert number == EBML, f"{number:x} at {position}"
        found.append(Chunk())
        segment, segment_length, first = _head(data, inside + (length or 0))
        assert segment == SEGMENT and data[inside + (length or 0) : first] == bytes.fromhex("1853806701FFFFFFFFFFFFFF")
        found[-1].header = data[position:first]
        position = _segment(data, first, found[-1]) if segment_length is None else first + segment_length
    return found


def _segment(data: bytes, position: int, chunk: Chunk) -> int:
    while position < len(data):
        number, length, inside = _head(data, position)
        if number in TOP:
            break
        if number == CLUSTER:
            end = _cluster(data, inside, length, chunk)
            chunk.cluster = data[position:end]
        else:
            assert length is not None, f"{number:x} at {position} has no size"
            end = inside + length
            content = data[inside:end]
            if number == TRACKS:
                chunk.tracks = [_track(entry) for kind, entry in children(content) if kind == TRACK_ENTRY]
            elif number == INFO:
                chunk.scale = next(
                    (int.from_bytes(value, "big") for kind, value in children(content) if kind == SCALE), 1_000_000
                )
            elif number == TAGS:
                chunk.tags.append((chunk.timecode is None, _pairs(content)))
                chunk.raw_tags.append(data[position:end])
        assert end <= len(data), f"{number:x} at {position} is cut off"
        position = end
    return position


def _cluster(data: bytes, position: int, length: int | None, chunk: Chunk) -> int:
    assert chunk.timecode is None, "a second cluster in a chunk"
    end = len(data) if length is None else position + length
    while position < end:
        number, size_inside, inside = _head(data, position)
        if length is None and number in TOP | LEVEL_1:
            break
        assert size_inside is not None
        content = data[inside : inside + size_inside]
        if number == TIMECODE:
            chunk.timecode = int.from_bytes(content, "big")
        elif number == SIMPLE_BLOCK:
            assert chunk.timecode is not None
            chunk.frames.append(_frame(content, chunk.timecode))
        position = inside + size_inside
    return position


def _frame(content: bytes, timecode: int) -> Frame:
    track, start = _number(content, 0, keep_marker=False)
    time = timecode + int.from_bytes(content[start : start + 2], "big", signed=True)
    flags = content[start + 2]
    return Frame(track, time, content[start + 3 :], bool(flags & 0x80), bool(flags & 0x01))


def _track(content: bytes) -> Track:
    values = dict(children(content))
    return Track(
        int.from_bytes(values[TRACK_NUMBER], "big"),
        int.from_bytes(values[0x83], "big"),
        values[CODEC_ID].decode(),
        values[CODEC_PRIVATE],
    )


def _pairs(content: bytes) -> list[tuple[str, str]]:
    pairs = []
    for kind, tag in children(content):
        for inner, simple in children(tag) if kind == TAG else ():
            if inner == SIMPLE_TAG:
                values = dict(children(simple))
                pairs.append((values[TAG_NAME].decode(), values.get(TAG_STRING, b"").decode()))
    return pairs


def children(content: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(content):
        number, length, inside = _head(content, position)
        assert length is not None
        yield number, content[inside : inside + length]
        position = inside + length


def _head(data: bytes, position: int) -> tuple[int, int | None, int]:
    """Id, size (none when it is open) and where the content begins."""
    number, position = _number(data, position, keep_marker=True)
    width = 9 - data[position].bit_length()
    length, position = _number(data, position, keep_marker=False)
    return number, None if length == (1 << 7 * width) - 1 else length, position


def _number(data: bytes, position: int, keep_marker: bool) -> tuple[int, int]:
    width = 9 - data[position].bit_length()
    assert 1 <= width <= 8 and position + width <= len(data), f"no number at {position}"
    value = int.from_bytes(data[position : position + width], "big")
    return value if keep_marker else value & ((1 << 7 * width) - 1), position + width


# --- media for tests ----------------------------------------------------------------------------------------------


def media(
    start: int, count: int, step: int = 1000, frames: int = 4, size_of: int = 300, tracks: tuple[int, ...] = (1,)
) -> list[Fragment]:
    """Fragments that can be told apart by every byte."""
    made = []
    for index in range(count):
        timecode = start + index * step
        inside = [
            Frame(
                track,
                timecode + order * (step // frames),
                bytes((index * 31 + order * 7 + track + byte) & 0xFF for byte in range(size_of + order)),
                order == 0,
                order == 2,
            )
            for order in range(frames)
            for track in tracks
        ]
        made.append(Fragment(timecode, tuple(inside), (("index", str(index)), ("Örtchen", "Tür " * (index % 3)))))
    return made
