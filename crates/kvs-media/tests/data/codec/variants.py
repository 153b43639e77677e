#!/usr/bin/env python3
"""Prints the private data of many encoder settings as ffmpeg's MP4 muxer writes it, and what ffprobe says of each.

Columns: name, codec, private data, width, height, pixel aspect, frame rate, reorder depth, pixel format, level.
"""
import subprocess
import sys

VARIANTS = [
    ("interlaced", "1920x1080", "30000/1001", "yuv420p", None, "libx264 -flags +ilme+ildct -x264-params tff=1:bframes=3"),
    ("hrd", "1280x720", "25", "yuv420p", None, "libx264 -x264-params nal-hrd=cbr:vbv-maxrate=2000:vbv-bufsize=2000 -b:v 2000k"),
    ("aspect", "720x576", "25", "yuv420p", "setsar=16/11", "libx264"),
    ("444", "322x242", "24000/1001", "yuv444p", None, "libx264"),
    ("422-interlaced", "322x242", "50", "yuv422p10le", None, "libx264 -flags +ilme+ildct"),
    ("gray", "320x240", "15", "gray", None, "libx264"),
    ("lossless", "320x240", "15", "yuv420p", None, "libx264 -qp 0"),
    ("intra", "320x240", "15", "yuv420p10le", None, "libx264 -profile:v high10 -g 1"),
    ("baseline", "640x480", "10", "yuv420p", None, "libx264 -profile:v baseline -bf 0"),
    ("zero-latency", "640x480", "7", "yuv420p", None, "libx264 -profile:v main -bf 0 -tune zerolatency"),
    ("matrices", "640x480", "30", "yuv420p", None, "libx264 -x264-params cqm=jvt"),
    ("hd", "1920x1080", "30000/1001", "yuv420p", None, "libx265 -x265-params info=0"),
    ("422", "1920x1080", "25", "yuv422p10le", None, "libx265 -x265-params info=0"),
    ("444-aspect", "322x242", "25", "yuv444p12le", "setsar=40/33", "libx265 -x265-params info=0"),
    ("gray", "640x360", "25", "gray", None, "libx265 -x265-params info=0"),
    ("hrd", "640x360", "25", "yuv420p", None, "libx265 -x265-params info=0:hrd=1:vbv-maxrate=1000:vbv-bufsize=1000:bitrate=900"),
    ("no-reorder", "640x360", "25", "yuv420p", None, "libx265 -x265-params info=0:bframes=0"),
    ("temporal-layers", "640x360", "25", "yuv420p", None, "libx265 -x265-params info=0:temporal-layers=1:bframes=4:b-pyramid=1"),
    ("scaling-interlaced", "640x360", "25", "yuv420p", None, "libx265 -x265-params info=0:scaling-list=default:interlace=tff"),
    ("high-tier", "640x360", "25", "yuv420p", None, "libx265 -x265-params info=0:high-tier=1:level-idc=5.1:display-window=2,2,2,2:colorprim=bt2020"),
    ("hd", "1920x1080", "30", "yuv420p", None, "libaom-av1 -cpu-used 8"),
    ("444", "640x360", "25", "yuv444p", None, "libaom-av1 -cpu-used 8"),
    ("422", "640x360", "25", "yuv422p10le", None, "libaom-av1 -cpu-used 8"),
    ("gray", "640x360", "25", "gray", None, "libaom-av1 -cpu-used 8"),
    ("svt", "1280x720", "25", "yuv420p10le", None, "libsvtav1 -preset 12"),
    ("rav1e", "1280x720", "25", "yuv420p", None, "librav1e -speed 10"),
    ("hdr-grain", "640x360", "25", "yuv420p12le", None,
     "libaom-av1 -cpu-used 8 -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -aom-params film-grain-test=3"),
    ("rgb", "640x360", "25", "gbrp", None, "libaom-av1 -cpu-used 8"),
]


def run(*args):
    return subprocess.run(args, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def main(work):
    for number, (name, size, rate, pixels, filters, encoder) in enumerate(VARIANTS):
        codec, tag, box = next(
            row[1:] for row in [("x264", "h264", "avc1", b"avcC"), ("x265", "h265", "hvc1", b"hvcC"), ("av1", "av1", "av01", b"av1C")]
            if row[0] in encoder
        )
        path = f"{work}/{number}.mp4"
        run("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc=size={size}:rate={rate}", "-frames:v", "8" if codec != "av1" else "2",
            *(["-vf", filters] if filters else []), "-pix_fmt", pixels, "-c:v", *encoder.split(), "-tag:v", tag, path)
        data = open(path, "rb").read()
        at = data.index(box)
        private = data[at + 4:at - 4 + int.from_bytes(data[at - 4:at], "big")]
        entries = "width,height,sample_aspect_ratio,r_frame_rate,has_b_frames,pix_fmt,level"
        said = dict(line.split("=") for line in run(
            "ffprobe", "-v", "error", "-show_entries", f"stream={entries}", "-of", "default=nw=1", path).split())
        print(name, codec, private.hex(), said["width"], said["height"], said["sample_aspect_ratio"], said["r_frame_rate"],
              said["has_b_frames"], said["pix_fmt"], said["level"])


main(sys.argv[1])
