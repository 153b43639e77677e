#!/usr/bin/env python3
"""Makes the seeds that are neither links to the samples of the crates nor written by hand.

    fuzz/seeds/make.py

What a target takes is said at the head of its source.
"""

import pathlib

SEEDS = pathlib.Path(__file__).resolve().parent
CODEC = SEEDS.parent.parent / "crates/kvs-media/tests/data/codec"


def sample(name):
    return (CODEC / name).read_bytes()


def seed(target, name, data):
    (SEEDS / target).mkdir(exist_ok=True)
    (SEEDS / target / name).write_bytes(data)


def annex_b(stream):
    return [unit.rstrip(b"\0") for unit in stream.split(b"\0\0\1") if unit.strip(b"\0")]


def prefixed(units, size):
    return b"".join(len(unit).to_bytes(size, "big") + unit for unit in units)


def ivf(name):
    """The first frame."""
    data = sample(name)[32:]
    return data[12 : 12 + int.from_bytes(data[:4], "little")]


def variants():
    for line in (CODEC / "variants.txt").read_text().splitlines():
        name, codec, private, *_ = line.split()
        yield f"{codec}-{name}", codec, bytes.fromhex(private)


def pieces(codec, *parts):
    return bytes([codec]) + b"".join(bytes([kind]) + len(data).to_bytes(2, "big") + data for kind, data in parts)


def described(head, private=b""):
    return head.encode() + b"\n" + private


OPUS = b"OpusHead\1\2\x38\1\x80\xbb\0\0\0\0\0"
SURROUND = b"OpusHead\1\6\x38\1\x80\xbb\0\0\0\0\1\4\2\0\4\1\2\3\5"
ALAW = bytes([6, 0, 1, 0, 0x40, 0x1F, 0, 0, 0x40, 0x1F, 0, 0, 1, 0, 8, 0, 0, 0])
H264, H265 = (annex_b(sample(name)) for name in ("h264-high.h264", "h265-main10.h265"))
PARAMETER_SETS = {7, 8}, {32, 33, 34}

for name, data in {"opus": OPUS, "surround": SURROUND, "alaw": ALAW, "caps": b"meta/x-klv, parsed=true"}.items():
    seed("codec_records", name, data)
for name, data in {"aac": "1210", "aac-rate": "1780226090", "aac-ps": "eb8a0800", "aac-sbr": "139056e5a0"}.items():
    seed("codec_records", name, bytes.fromhex(data))

for name in ("vp8", "vp9"):
    seed("codec_frames", name, ivf(f"{name}.ivf"))
seed("codec_frames", "opus", b"\xfb\3")
# Two raw data blocks with their positions and checksums.
seed("codec_frames", "adts-blocks", bytes.fromhex("fff8508002dffd00070000") + b"\1\2\3\4\5\0\0" + b"\6\7\0\0")

for size in (1, 2, 3, 4):
    seed("nal_units", f"prefixed-{size}", prefixed([unit[:200] for unit in H264[:4]], size) + b"\0" * size)

for name, codec, private in variants():
    if codec == "av1":
        seed("sequence_headers", name, private[6:])
    elif codec == "h264":
        length = int.from_bytes(private[6:8], "big")
        seed("sequence_headers", name, private[8 : 8 + length])
    else:
        arrays = private[23:]
        # An array of one unit each: VPS, SPS, PPS.
        length = int.from_bytes(arrays[3:5], "big")
        sps = arrays[5 + length :]
        seed("sequence_headers", name, sps[5 : 5 + int.from_bytes(sps[3:5], "big")])
seed("sequence_headers", "vps", H265[[unit[0] >> 1 & 63 for unit in H265].index(32)])

start = b"\0\0\0\1"
frame = start + start.join(unit[:60] for unit in H264[:4])
other = start + start.join(annex_b(sample("h264-baseline.h264"))[:2])
sets = [unit for unit in H264 if unit[0] & 31 in PARAMETER_SETS[0]][:2]
seed("parameter_sets", "h264", pieces(0, (0, frame), (0, other), (2, prefixed(sets, 2)), (5, sample("h264-high.avcC"))))
# A picture parameter set with each id from 1 to 6: more than may be held.
seed("parameter_sets", "large", pieces(0, (5, sample("h264-high.avcC")), *((6, bytes([0x68, head])) for head in (0x5F, 0x7F, 0x27, 0x2F, 0x37, 0x3F))))
frame = start + start.join(unit[:60] for unit in H265[:5])
sets = [unit for unit in H265 if unit[0] >> 1 & 63 in PARAMETER_SETS[1]][:3]
seed("parameter_sets", "h265", pieces(1, (5, sample("h265-main.hvcC")), (0, frame), (4, prefixed(sets, 4))))
av1 = sample("av1.obu")[:200]
seed("parameter_sets", "av1", pieces(2, (0, av1), (5, sample("av1-10bit.av1C")), (0, av1)))

for name, data in {
    "h264": described("V_MPEG4/ISO/AVC", sample("h264-high.avcC")),
    "h265": described("V_MPEGH/ISO/HEVC", sample("h265-main.hvcC")),
    "av1": described("V_AV1", sample("av1.av1C")),
    "vp9": described("V_VP9 0 0 0 1280 720 33333333", b"\1\1\0\2\1\x1f\3\1\x08"),
    "mjpeg": described("V_MS/VFW/FOURCC 0 0 0 640 480 40000000", b"\x28\0\0\0" + b"\0" * 12 + b"MJPG" + b"\0" * 20),
    "aac": described("A_AAC", b"\x12\x10"),
    "aac-old": described("A_AAC/MPEG4/LC 44100 2 16"),
    "opus": described("A_OPUS 48000 2", OPUS),
    "alaw": described("A_MS/ACM 8000 1 8", ALAW),
    "pcm": described("A_PCM/INT/LIT 48000 2 16"),
    "data": described("D_KVS/CAPS", b"application/x-json"),
}.items():
    seed("describe", name, data)
