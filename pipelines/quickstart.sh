#!/usr/bin/env bash
# From nothing to a recorded stream: installs what is missing, builds, starts the service on a folder of its own, and
# records a test pattern with sound through kvssink.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

SECONDS_TO_RECORD=10 PROFILE=release STREAM=front-door
DATA="${KVS_QUICKSTART_DATA:-$PWD/kvs-quickstart}"

usage() {
    cat <<END
usage: pipelines/quickstart.sh [--seconds N] [--debug]

Records N seconds (default $SECONDS_TO_RECORD) of a test pattern into the stream "$STREAM" of a service on this machine.
The recording is kept in $DATA (KVS_QUICKSTART_DATA names another folder).

  --debug   build without optimization: sooner ready, slower to run
END
}
while (($#)); do
    case $1 in
    --seconds)
        [[ ${2:-} =~ ^[1-9][0-9]{0,3}$ ]] || { usage >&2 && exit 2; }
        SECONDS_TO_RECORD=$2
        shift
        ;;
    --debug) PROFILE=dev ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done

if [[ -t 1 ]]; then BOLD=$'\e[1m' PLAIN=$'\e[0m'; else BOLD='' PLAIN=''; fi
step() { printf '%s== %s%s\n' "$BOLD" "$*" "$PLAIN"; }
fail() {
    echo "quickstart: $*" >&2
    exit 1
}

# What the pipeline and the build need; the packages of Debian and what is derived from it.
PACKAGES=(
    gcc libc6-dev pkg-config jq
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
    gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
    gstreamer1.0-plugins-ugly gstreamer1.0-libav
)
install_missing() {
    local package missing=() as_root=()
    if ! command -v dpkg-query >/dev/null; then
        echo "not a Debian system: these, or what they are called here, have to be there: ${PACKAGES[*]}"
        return 0
    fi
    for package in "${PACKAGES[@]}"; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail "as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    echo "installing ${missing[*]}"
    { "${as_root[@]}" apt-get -q -y update &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}"; } \
        >"$WORK/apt.log" 2>&1 || {
        tail -n 20 "$WORK/apt.log" >&2
        fail "apt-get could not install: ${missing[*]}"
    }
}

SERVICE=''
WORK=$(mktemp -d)
finish() {
    local status=$?
    if [[ -n $SERVICE ]]; then
        kill "$SERVICE" 2>/dev/null || true
        wait "$SERVICE" 2>/dev/null || true
    fi
    rm -rf "$WORK"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step "1/5 what is needed"
install_missing
command -v cargo >/dev/null || fail "no Rust toolchain: install one (https://rustup.rs), then run this again"

step "2/5 build (minutes the first time)"
cargo build --locked --profile "$PROFILE" --package gst-plugin-kvs --package kvs-cli
TARGET=$(cargo metadata --locked --no-deps --format-version 1 | jq -r .target_directory)
if [[ $PROFILE == dev ]]; then BUILT=$TARGET/debug; else BUILT=$TARGET/release; fi
KVS=$BUILT/kvs
export GST_PLUGIN_PATH="$BUILT${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}"

step "3/5 a service on this machine, with its data in $DATA"
"$KVS" serve --data "$DATA" --listen 127.0.0.1:0 >"$WORK/service.log" 2>&1 &
SERVICE=$!
for _ in $(seq 100); do
    kill -0 "$SERVICE" 2>/dev/null || break
    # It writes where it is when it is ready.
    if [[ -e $DATA/service.json ]] && SCRIPT=$("$KVS" env --data "$DATA" --shell sh 2>/dev/null) &&
        grep -q "AWS_ENDPOINT_URL" <<<"$SCRIPT" && [[ $(jq -r .pid "$DATA/service.json") == "$SERVICE" ]]; then
        READY=yes
        break
    fi
    sleep 0.1
done
if [[ -z ${READY:-} ]]; then
    cat "$WORK/service.log" >&2
    fail "the service did not start"
fi
eval "$SCRIPT"
echo "at $AWS_ENDPOINT_URL"

step "4/5 $SECONDS_TO_RECORD s of a test pattern with sound, through kvssink"
BEFORE=$(date +%s)
timeout --foreground $((SECONDS_TO_RECORD + 40)) gst-launch-1.0 -q -e \
    videotestsrc is-live=true num-buffers=$((SECONDS_TO_RECORD * 30)) pattern=ball \
    ! video/x-raw,width=640,height=360,framerate=30/1 \
    ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=1000 ! h264parse ! sink.video_0 \
    audiotestsrc is-live=true num-buffers=$((SECONDS_TO_RECORD * 50)) samplesperbuffer=960 volume=0.1 wave=ticks \
    ! audio/x-raw,rate=48000,channels=1 ! avenc_aac ! aacparse ! sink.audio_0 \
    kvssink name=sink stream-name="$STREAM" retention-period=24 ||
    fail "the pipeline failed"

step "5/5 what the service has acknowledged"
"$KVS" fragments "$STREAM" --from "$BEFORE"
COUNT=$("$KVS" fragments "$STREAM" --from "$BEFORE" --json | jq '.Fragments | length')
if ((COUNT < SECONDS_TO_RECORD - 1)); then
    fail "only $COUNT fragments of $SECONDS_TO_RECORD s are stored"
fi

cat <<END

${BOLD}Recorded and stored.${PLAIN} To go on, in one terminal:
    $KVS serve --data $DATA
and in another:
    eval "\$($KVS env --data $DATA)"
    export GST_PLUGIN_PATH=$BUILT
    gst-inspect-1.0 kvssink
    gst-launch-1.0 -e v4l2src ! videoconvert ! x264enc tune=zerolatency key-int-max=60 ! kvssink stream-name=$STREAM
    $KVS fragments $STREAM
END
