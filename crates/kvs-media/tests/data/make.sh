#!/usr/bin/env bash
# Makes the media samples of this folder with other people's encoders and muxers, and beside each one what
# other people's readers find in it (README.md has the form). What is committed is what the tests read: run this
# to add a sample or to change one, and look at the difference. UIDs and dates of GStreamer's muxers are new in
# each run; the rest stays, as long as the encoders do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export LC_ALL=C

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
rm -f -- *.mkv *.truth *.h264 *.h265 *.adts

# --- encoders ---------------------------------------------------------------------------------------------------

picture() { echo "testsrc2=size=160x120:rate=20:duration=$1"; }
tone() { echo "sine=frequency=440:sample_rate=$1:duration=$2"; }

# encode OUT ARGS...: one thread and no versions or dates, so that a second run gives the same bytes.
encode() {
    local out=$1
    shift
    ffmpeg -nostdin -v error -y "$@" -threads 1 -map_metadata -1 \
        -fflags +bitexact -flags:v +bitexact -flags:a +bitexact "$out"
}
X264=(-c:v libx264 -preset veryfast -crf 38 -pix_fmt yuv420p)
# Three B-frames between references; a key frame every 22 frames falls behind B-frames, which an open GOP then
# sends after it with earlier times.
CLOSED=("${X264[@]}" -x264-params "keyint=22:min-keyint=22:scenecut=0:bframes=3:b-adapt=0:open-gop=0")
OPEN=("${X264[@]}" -x264-params "keyint=22:min-keyint=22:scenecut=0:bframes=3:b-adapt=0:open-gop=1")
X265=(-c:v libx265 -preset fast -crf 38 -pix_fmt yuv420p
    -x265-params "log-level=error:info=0:pools=1:frame-threads=1:keyint=20:bframes=3:b-adapt=0:open-gop=0")
AAC=(-c:a aac -b:a 16k)
OPUS=(-c:a libopus -b:a 12k)

encode x264-closed-gop.mkv -f lavfi -i "$(picture 2)" -f lavfi -i "$(tone 48000 2)" "${CLOSED[@]}" "${AAC[@]}"
encode x264-open-gop.mkv -f lavfi -i "$(picture 2)" "${OPEN[@]}"
encode x265-b-frames-opus.mkv -f lavfi -i "$(picture 2)" -f lavfi -i "$(tone 48000 2)" "${X265[@]}" "${OPUS[@]}"
encode x265-open-gop.mkv -f lavfi -i "$(picture 2)" "${X265[@]/open-gop=0/open-gop=1}"
encode av1-aom.mkv -f lavfi -i "$(picture 1)" -c:v libaom-av1 -cpu-used 6 -crf 50 -g 20 -lag-in-frames 19
encode av1-svt.mkv -f lavfi -i "$(picture 1)" -c:v libsvtav1 -preset 12 -crf 55 -g 10 -svtav1-params lp=1 2>/dev/null
encode vp8-opus.mkv -f lavfi -i "$(picture 1)" -f lavfi -i "$(tone 48000 1)" -c:v libvpx -b:v 60k -g 10 "${OPUS[@]}"
# Hidden frames (alternate references) come with the second pass.
VP9=(-c:v libvpx-vp9 -b:v 40k -g 20 -lag-in-frames 16 -auto-alt-ref 1 -cpu-used 2 -passlogfile "$WORK/vp9")
encode - -f lavfi -i "$(picture 1)" "${VP9[@]}" -pass 1 -f null
encode vp9-opus.mkv -f lavfi -i "$(picture 1)" -f lavfi -i "$(tone 48000 1)" "${VP9[@]}" -pass 2 "${OPUS[@]}"
encode mjpeg-pcm.mkv -f lavfi -i "$(picture 0.5)" -f lavfi -i "$(tone 8000 0.5)" -c:v mjpeg -q:v 20 -c:a pcm_s16le
encode alaw.mkv -f lavfi -i "$(tone 8000 1)" -c:a pcm_alaw
encode mulaw-stereo.mkv -f lavfi -i "$(tone 8000 0.5)" -c:a pcm_mulaw -ac 2
encode aac-stereo-44100.mkv -f lavfi -i "$(tone 44100 1)" "${AAC[@]}" -ac 2

# --- ffmpeg's other layouts -------------------------------------------------------------------------------------

copy() {
    local out=$1 from=$2
    shift 2
    encode "$out" -i "$from" -map 0 -c copy "$@"
}
# Through a pipe the muxer cannot go back: no sizes, no Cues, no duration.
copy pipe:1 x264-closed-gop.mkv -f matroska -live 1 | cat >ffmpeg-live.mkv
copy pipe:1 x264-closed-gop.mkv -f matroska | cat >ffmpeg-pipe.mkv
copy ffmpeg-short-clusters.mkv x264-closed-gop.mkv -cluster_time_limit 200
copy ffmpeg-no-crc.mkv x264-open-gop.mkv -write_crc32 0 -cluster_size_limit 2000
# Cluster times of this century in milliseconds, as PutMedia carries them.
copy pipe:1 x264-closed-gop.mkv -output_ts_offset 1790000000 -avoid_negative_ts disabled -f matroska -live 1 |
    cat >ffmpeg-epoch.mkv

# --- mkvmerge ---------------------------------------------------------------------------------------------------

merge() {
    local out=$1
    shift
    mkvmerge --quiet --deterministic kvs --output "$out" "$@"
}
merge mkvmerge.mkv x264-closed-gop.mkv
merge mkvmerge-lacing-xiph.mkv --engage lacing_xiph x264-closed-gop.mkv
merge mkvmerge-lacing-ebml.mkv --engage lacing_ebml x265-b-frames-opus.mkv
merge mkvmerge-no-lacing.mkv --disable-lacing x264-closed-gop.mkv
merge mkvmerge-block-groups.mkv --engage no_simpleblocks x264-open-gop.mkv --no-video x264-closed-gop.mkv
merge mkvmerge-scale-100us.mkv --timestamp-scale 100000 x264-closed-gop.mkv
merge mkvmerge-scale-1us.mkv --timestamp-scale 1000 x265-b-frames-opus.mkv
merge mkvmerge-scale-10ms.mkv --timestamp-scale 10000000 x264-closed-gop.mkv
# Frames of one size are laced without sizes.
encode "$WORK/constant.ac3" -f lavfi -i "$(tone 48000 1)" -c:a ac3 -b:a 32k -f ac3
merge mkvmerge-lacing-fixed.mkv "$WORK/constant.ac3"

cat >"$WORK/chapters" <<'END'
CHAPTER01=00:00:00.000
CHAPTER01NAME=One
CHAPTER02=00:00:01.000
CHAPTER02NAME=Two
END
cat >"$WORK/tags.xml" <<'END'
<?xml version="1.0"?>
<Tags><Tag><Targets/><Simple><Name>SITE</Name><String>Zürich</String></Simple></Tag></Tags>
END
printf '1\n00:00:00,200 --> 00:00:00,900\nHello\n\n2\n00:00:01,000 --> 00:00:01,800\nGood bye\n' >"$WORK/text.srt"
head -c 3000 x264-open-gop.mkv >"$WORK/attachment.bin"
merge mkvmerge-everything.mkv --clusters-in-meta-seek --engage write_headers_twice --cluster-length 300ms \
    --chapters "$WORK/chapters" --global-tags "$WORK/tags.xml" --title "Everything at once" \
    --attachment-mime-type application/octet-stream --attach-file "$WORK/attachment.bin" \
    x264-closed-gop.mkv "$WORK/text.srt"

# --- GStreamer --------------------------------------------------------------------------------------------------

# gst OUT MUXER VIDEO AUDIO
gst() {
    local out=$1 muxer=$2 video=$3 audio=$4
    # shellcheck disable=SC2086  # the parts are pipelines of words
    gst-launch-1.0 -q \
        videotestsrc num-buffers=40 pattern=ball ! video/x-raw,format=I420,width=160,height=120,framerate=20/1 ! $video ! queue ! mux. \
        audiotestsrc num-buffers=46 samplesperbuffer=1024 freq=440 ! audio/x-raw,rate=24000,channels=1 ! $audio ! queue ! mux. \
        $muxer name=mux ! filesink location="$out" >/dev/null
}
H264='x264enc threads=1 bitrate=60 key-int-max=20 bframes=2 b-adapt=false speed-preset=veryfast ! h264parse'
GST_AAC='audioconvert ! avenc_aac bitrate=16000 ! aacparse'
gst gst-seekable.mkv "matroskamux streamable=false" "$H264" "$GST_AAC"
gst gst-streamable.mkv "matroskamux streamable=true offset-to-zero=true" "$H264" "$GST_AAC"
gst gst-webm.mkv "webmmux streamable=true" "vp8enc deadline=1 target-bitrate=60000 keyframe-max-dist=20" \
    "audioconvert ! audioresample ! audio/x-raw,rate=48000 ! opusenc bitrate=12000"
gst gst-alaw.mkv "matroskamux streamable=true" "jpegenc quality=4" \
    "audioconvert ! audioresample ! audio/x-raw,rate=8000 ! alawenc"

# --- elementary streams -----------------------------------------------------------------------------------------

encode x264-aud.h264 -f lavfi -i "$(picture 2)" "${CLOSED[@]}" -bsf:v h264_metadata=aud=insert -f h264
# The picture shrinks in the middle: new parameter sets in band.
encode "$WORK/small.h264" -f lavfi -i "testsrc2=size=128x96:rate=20:duration=0.5" "${CLOSED[@]}" -f h264
encode "$WORK/large.h264" -f lavfi -i "$(picture 0.5)" "${CLOSED[@]}" -f h264
cat "$WORK/large.h264" "$WORK/small.h264" >x264-size-change.h264
encode x265-aud.h265 -f lavfi -i "$(picture 2)" "${X265[@]}" -bsf:v hevc_metadata=aud=insert -f hevc
encode aac.adts -f lavfi -i "$(tone 48000 1)" "${AAC[@]}" -f adts

# --- what others read -------------------------------------------------------------------------------------------

# Blocks as mkvinfo sees them. Times are put together as text: a number in awk ends at 2^53.
blocks() {
    mkvinfo -v -v -c -z "$1" | awk '
        function nanos(text,   sign, part, whole) {
            sign = sub(/^-/, "", text) ? "-" : ""
            split(text, part, /[:.]/)
            whole = part[1] * 3600 + part[2] * 60 + part[3]
            return (whole ? sign whole part[4] : part[4] + 0 ? sign part[4] + 0 : 0)
        }
        function flush() { if (block != "") print block (group && !refers ? "K" : "") flags frames; block = "" }
        { size = $NF }
        /^\+ Segment: / { print "segment", /size unknown/ ? "unknown" : "known" }
        /Timestamp scale: / { print "scale", $5 }
        /\+ Cluster at / { flush(); cluster = /unknown/ ? "unknown" : "known" }
        /\+ Cluster timestamp: / { print "cluster", nanos($5), cluster }
        /^\| \+ Block group/ { flush(); group = 1; refers = 0 }
        /\+ Reference block: / { refers = 1 }
        /^\| \+ Simple block: / { flush(); group = 0 }
        /\+ (Simple block|Block): / {
            flags = (/block: key/ ? "K" : "") (/discardable/ ? "D" : "")
            match($0, /track number [0-9]+/); track = substr($0, RSTART + 13, RLENGTH - 13)
            match($0, /timestamp -?[0-9:.]+/); time = substr($0, RSTART + 10, RLENGTH - 10)
            block = (group ? "group " : "simple ") track " " nanos(time) " -"
            frames = ""
        }
        /\+ Frame \(adler: / { match($0, /0x[0-9a-f]+/); frames = frames " " size ":" substr($0, RSTART + 2, 8) }
        /^\|?\+/ && !/^\|\+ Cluster/ { flush() }
        END { flush() }'
}

tracks() {
    mkvmerge -J "$1" | jq -r '.tracks[] | .properties |
        "track \(.number) \(.codec_id) \(.codec_private_data // "-")"'
}

streams() {
    ffprobe -v error -show_streams -of json "$1" | jq -r '.streams[] | select(.codec_type != "attachment") |
        "stream \(.index) \(.codec_name)"
        + ([to_entries[] | select(.key | IN("profile", "level", "width", "height", "has_b_frames", "avg_frame_rate",
            "sample_rate", "channels", "pix_fmt")) | " \(.key)=\(.value | tostring | gsub(" "; "_"))"] | join(""))'
}

packets() {
    ffprobe -v error -show_packets -show_data_hash adler32 -of json "$1" | jq -r '.packets[] |
        "packet \(.stream_index) \(.pts // "-") \(.size) \(.flags[0:1] | sub("_"; "-")) \(.data_hash | sub("adler32:"; ""))"'
}

for sample in *.mkv; do
    { echo document && tracks "$sample" && blocks "$sample" && streams "$sample" && packets "$sample"; } \
        >"${sample%.mkv}.truth"
done
for sample in *.h264 *.h265 *.adts; do
    { streams "$sample" && packets "$sample"; } >"${sample%.*}.truth"
done

# A GetMedia answer is one whole document after another.
cat gst-streamable.mkv ffmpeg-epoch.mkv ffmpeg-epoch.mkv >documents.mkv
cat gst-streamable.truth ffmpeg-epoch.truth ffmpeg-epoch.truth >documents.truth

# --- what the samples are for must be in them -------------------------------------------------------------------

# has FILE PATTERN: a sample that lost its point is an error, not a smaller file.
has() { grep -qE -- "$2" "$1.truth" || { echo "make.sh: $1 has no /$2/" >&2 && exit 1; }; }
has ffmpeg-live '^segment unknown'
has gst-streamable '^cluster [0-9]+ unknown'
has gst-seekable '^cluster [0-9]+ known'
has mkvmerge-block-groups '^group 1 [0-9]+ -K '
has mkvmerge-block-groups '^group 1 [0-9]+ - '
has mkvmerge '^simple 2 [0-9]+ -K( [0-9]+:[0-9a-f]{8}){8}'
has ffmpeg-epoch '^cluster 17900000[0-9]{11} '
has x264-open-gop '^packet 0 [0-9]+ [0-9]+ K '
# Blocks before their cluster's time: leading pictures, and audio behind a key frame.
for sample in x264-open-gop gst-streamable; do
    awk '$1 == "cluster" { base = $2 } $1 == "simple" && $3 < base { n++ } END { exit !n }' "$sample.truth" ||
        { echo "make.sh: $sample has no negative block offset" >&2 && exit 1; }
done
# Hidden frames: more frames than packets.
hidden() { # FILE SPLITTER
    local frames packets
    frames=$(ffmpeg -nostdin -v error -i "$1.mkv" -map 0:v -c copy -bsf:v "$2" -f framecrc - | grep -vc '^#')
    packets=$(grep -c '^packet 0 ' "$1.truth")
    ((frames > packets)) || { echo "make.sh: $1 has no hidden frame" >&2 && exit 1; }
}
hidden vp9-opus vp9_superframe_split
hidden av1-aom av1_frame_split
hidden av1-svt av1_frame_split
# Two readers, one payload: what mkvinfo and ffprobe hash must be the same frames, whatever times they give them.
for sample in *.mkv; do
    truth=${sample%.mkv}.truth
    diff -q <(awk '$1 ~ /simple|group/ { for (i = 5; i <= NF; i++) print $i }' "$truth" | sort) \
        <(awk '$1 == "packet" { print $4 ":" $6 }' "$truth" | sort) >/dev/null ||
        echo "make.sh: mkvinfo and ffprobe see other payloads in $sample" >&2
done
du -cb -- *.mkv *.h264 *.h265 *.adts *.truth | tail -n 1
