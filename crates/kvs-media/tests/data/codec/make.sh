#!/usr/bin/env bash
# Makes the samples beside this script. Needs ffmpeg (libx264, libx265, libaom-av1, libsvtav1, librav1e, libvpx) and python3.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
picture=(-f lavfi -i testsrc=size=132x98:rate=25)
sound=(-f lavfi -i sine=frequency=440:sample_rate=48000)
ff() { ffmpeg -hide_banner -loglevel error -y -fflags +bitexact "$@"; }

# H.264: B-frames in closed groups, open groups, constrained baseline.
ff "${picture[@]}" -frames:v 12 -pix_fmt yuv420p -c:v libx264 -profile:v high -preset veryfast -bf 3 -g 6 \
    -x264-params keyint=6:min-keyint=6:scenecut=0:b-adapt=0:bframes=3 -flags +bitexact h264-high.h264
ff "${picture[@]}" -frames:v 20 -pix_fmt yuv420p -c:v libx264 -profile:v main -preset veryfast \
    -x264-params keyint=8:min-keyint=8:scenecut=0:b-adapt=0:bframes=2:open-gop=1 -flags +bitexact h264-open.h264
ff "${picture[@]}" -frames:v 3 -pix_fmt yuv420p -c:v libx264 -profile:v baseline -preset veryfast -flags +bitexact h264-baseline.h264
ff "${picture[@]}" -frames:v 1 -pix_fmt yuv422p10le -c:v libx264 -profile:v high422 -preset veryfast -flags +bitexact h264-high422.h264

# H.265: open groups (CRA and leading pictures), Main and Main 10.
ff "${picture[@]}" -frames:v 20 -pix_fmt yuv420p -c:v libx265 -preset veryfast \
    -x265-params log-level=error:keyint=8:min-keyint=8:scenecut=0:bframes=2:b-adapt=0:open-gop=1:info=0 h265-main.h265
ff "${picture[@]}" -frames:v 1 -pix_fmt yuv420p10le -c:v libx265 -preset veryfast -x265-params log-level=error:info=0 h265-main10.h265

# AV1, VP8, VP9, JPEG.
ff "${picture[@]}" -frames:v 4 -pix_fmt yuv420p -c:v libaom-av1 -cpu-used 8 -g 4 -flags +bitexact -f obu av1.obu
ff "${picture[@]}" -frames:v 1 -pix_fmt yuv420p10le -c:v libaom-av1 -cpu-used 8 -flags +bitexact -f obu av1-10bit.obu
ff "${picture[@]}" -frames:v 3 -pix_fmt yuv420p -c:v libvpx -deadline realtime -flags +bitexact -f ivf vp8.ivf
ff "${picture[@]}" -frames:v 3 -pix_fmt yuv420p -c:v libvpx-vp9 -deadline realtime -flags +bitexact -f ivf vp9.ivf
ff "${picture[@]}" -frames:v 1 -pix_fmt yuvj420p -c:v mjpeg -q:v 20 -flags +bitexact -f mjpeg picture.jpg

# AAC in ADTS, mono and stereo.
ff "${sound[@]}" -t 0.15 -ac 1 -ar 16000 -c:a aac -flags +bitexact -f adts aac-mono-16k.aac
ff "${sound[@]}" -t 0.1 -ac 2 -c:a aac -flags +bitexact -f adts aac-stereo-48k.aac

# What ffmpeg writes as codec private data: the box of that name, without its head.
box() {
    python3 - "$1" "$2" "$3" <<'PY'
import sys
data = open(sys.argv[1], "rb").read()
at = data.index(sys.argv[2].encode())
size = int.from_bytes(data[at - 4:at], "big")
open(sys.argv[3], "wb").write(data[at + 4:at - 4 + size])
PY
}
for name in h264-high h264-open h264-baseline h264-high422; do
    ff -i $name.h264 -c copy -f mp4 "$work/$name.mp4" && box "$work/$name.mp4" avcC $name.avcC
done
for name in h265-main h265-main10; do
    ff -i $name.h265 -c copy -tag:v hvc1 -f mp4 "$work/$name.mp4" && box "$work/$name.mp4" hvcC $name.hvcC
done
for name in av1 av1-10bit; do
    ff -i $name.obu -c copy -f mp4 "$work/$name.mp4" && box "$work/$name.mp4" av1C $name.av1C
done

python3 variants.py "$work" > variants.txt
