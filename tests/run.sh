#!/usr/bin/env bash
# The one test command. `tests/run.sh --help` says how it is used.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Where rustup and `cargo install` put programs, also before the shell has been told.
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

# What is installed when it is missing: the package, the steps that need it, the reason.
PACKAGES=(
    "shellcheck                  scripts                                        reads the shell scripts for faults"
    "jq                          deps,clippy,fuzz,clients,players               reads what cargo says of the workspace"
    "gcc                         deny,clippy,test,doctest,doc,cost,fuzz,clients,players links Rust programs"
    "libc6-dev                   deny,clippy,test,doctest,doc,cost,fuzz,clients,players links Rust programs"
    "valgrind                    cost                                           counts instructions"
    "g++                         clippy,fuzz                                    compiles libFuzzer"
    "ffmpeg                      test,clients,players                           ffprobe, an independent reader and source"
    "mkvtoolnix                  test                                           mkvinfo and mkvmerge, independent readers"
    "libgstreamer1.0-dev         clippy,test,doctest,doc,meson,clients,players  the plugin is built with it"
    "libgstreamer-plugins-base1.0-dev clippy,test,doctest,doc,meson,clients,players the plugin is built with it"
    "pkg-config                  clippy,test,doctest,doc,meson,clients,players  finds those"
    "binutils                    test,clients                                   readelf: what programs are linked with"
    "python3-gi                  test                                           an application that is no C program"
    "gir1.2-gstreamer-1.0        test                                           what it sees of GStreamer"
    "gir1.2-gst-plugins-base-1.0 test                                           and of video"
    "python3-numpy               test                                           pictures as arrays, in an example"
    "gstreamer1.0-plugins-base-apps test                                        gst-play-1.0, gst-discoverer-1.0"
    "gstreamer1.0-tools          test,meson                                     gst-launch-1.0, gst-inspect-1.0"
    "gstreamer1.0-plugins-base   test,clients,players                           test sources, Opus, the converters of pictures"
    "gstreamer1.0-plugins-good   test,clients,players                           Matroska, VP8, VP9, JPEG, A-law, parsers of sound"
    "gstreamer1.0-plugins-bad    test                                           h264parse, h265parse, x265enc, av1enc, voaacenc"
    "gstreamer1.0-plugins-ugly   test                                           x264enc"
    "gstreamer1.0-libav          test,clients,players                           avenc_aac, decoders"
    "curl                        clients,players                                a client that signs by itself"
    "chromium                    players                                        the browser that pages and players run in"
    "nodejs                      players                                        drives it"
    "npm                         players                                        the players; without it where nodejs brings its own"
    "python3                     clients                                        boto3 and pytest"
    "python3-venv                clients                                        their virtual environment"
    "meson                       meson                                          builds and installs the plugin"
    "ninja-build                 meson                                          what meson drives"
)
# The same for cargo: the tool, its least version, the steps, the reason. Built from source, never downloaded ready.
CARGO_TOOLS=(
    "cargo-nextest   0.9.143 test  runs each test in a process of its own, with a time limit"
    "cargo-deny      0.20.2  deny  holds deny.toml"
    "cargo-fuzz      0.13.2  fuzz  builds the fuzz targets"
    "gungraun-runner 0.20.0  cost  runs a bench under valgrind; of the same version as the crate gungraun"
    "cargo-cbuild    0.10.24 meson builds a plugin as a C library, with its pkg-config file"
)
# nextest must not replace itself: the version above is the one in use.
CARGO_NEXTEST_OPTIONS=(--no-default-features --features default-no-update)

STEPS=(scripts fmt deps deny clippy test clients players doctest doc cost meson fuzz)
declare -A ABOUT=(
    [scripts]="shell scripts parse, pass shellcheck and carry the run bit"
    [fmt]="rustfmt has nothing to change"
    [deps]="the lock files are current, and no dependency needs a newer Rust than we promise"
    [deny]="bans, licences and sources of deny.toml"
    [clippy]="no warning, on all targets and features"
    [test]="cargo nextest"
    [clients]="boto3, curl and raw sockets against kvs serve"
    [players]="the page, hls.js and dash.js in Chromium"
    [doctest]="the examples in the documentation"
    [doc]="rustdoc without a warning"
    [cost]="no hot path takes more instructions than its limit"
    [meson]="the plugin and the command, built and installed by meson"
    [fuzz]="a few seconds of every fuzz target"
)

# libFuzzer: all targets together take this many seconds on the clock, each between the two bounds.
FUZZ_BUDGET=180 FUZZ_LEAST=3 FUZZ_MOST=10 FUZZ_LONG=600

usage() {
    cat <<'END'
usage: tests/run.sh [--long] [STEP | TEST]...

Installs what is missing, runs every step even when one fails, and ends with one line of counts.
Exit code: 0 all passed, 1 something failed, 2 this machine cannot run it.

  STEP      one of the steps (--list)
  TEST      a part of a test's name: only the tests that have it
  --long    soaks (KVS_LONG=1 in the tests), 10000 cases of each property, ten minutes of each fuzz target
  --list    the steps
  CI=true   a skip is a failure; nextest takes its profile `ci`
END
}

if [[ -t 1 ]]; then
    COLOUR=yes BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' YELLOW=$'\e[33m' PLAIN=$'\e[0m'
    export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-always}"
else
    COLOUR=no BOLD='' RED='' GREEN='' YELLOW='' PLAIN=''
    export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"
fi

cannot() {
    echo "${RED}tests/run.sh: $*${PLAIN}" >&2
    exit 2
}

in_ci() { [[ ${CI:-} == true ]]; }

# at_least 1.94.1 1.95.0: the second version is not older than the first.
at_least() { printf '%s\n' "$1" "$2" | sort -V -C; }

# --- what to run ------------------------------------------------------------------------------------------------

LONG=''
CHOSEN=()
FILTERS=()
for argument in "$@"; do
    case $argument in
    --long) LONG=1 ;;
    --list)
        for step in "${STEPS[@]}"; do printf '%-9s %s\n' "$step" "${ABOUT[$step]}"; done
        exit 0
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    -*)
        usage >&2
        cannot "no such option: $argument"
        ;;
    *) if [[ -n ${ABOUT[$argument]:-} ]]; then CHOSEN+=("$argument"); else FILTERS+=("$argument"); fi ;;
    esac
done
if ((${#FILTERS[@]})) && [[ " ${CHOSEN[*]} " != *" test "* ]]; then CHOSEN+=(test); fi
if ((${#CHOSEN[@]} == 0)); then CHOSEN=("${STEPS[@]}"); fi
# Property tests take the number of their cases from the environment.
if [[ -n $LONG ]]; then export KVS_LONG=1 PROPTEST_CASES="${PROPTEST_CASES:-10000}"; fi

# needed scripts,fmt: one of these steps was chosen.
needed() {
    local step
    for step in "${CHOSEN[@]}"; do
        if [[ ",$1," == *",$step,"* ]]; then return 0; fi
    done
    return 1
}

# --- what must be there -----------------------------------------------------------------------------------------

FLOOR=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

require_rust() {
    local have
    if ! { command -v cargo && command -v rustc; } >/dev/null; then
        cannot "no Rust toolchain: install Rust $FLOOR or newer (https://rustup.rs), then run this again"
    fi
    have=$(rustc --version 2>/dev/null | cut -d' ' -f2) || true
    at_least "$FLOOR" "${have%%-*}" ||
        cannot "Rust ${have:-?} is too old: $FLOOR or newer is needed (rustup update stable)"
    cargo fmt --version >/dev/null 2>&1 || cannot "rustfmt is missing: rustup component add rustfmt"
    cargo clippy --version >/dev/null 2>&1 || cannot "clippy is missing: rustup component add clippy"
}

package_is_there() {
    # A nodejs of its makers has npm in it, and conflicts with Debian's.
    if [[ $1 == npm ]] && command -v npm >/dev/null; then return 0; fi
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

install_packages() {
    local row package steps reason missing=() lines=() as_root=()
    for row in "${PACKAGES[@]}"; do
        read -r package steps reason <<<"$row"
        needed "$steps" || continue
        if ! command -v dpkg-query >/dev/null; then
            missing+=("$package")
        elif ! package_is_there "$package"; then
            missing+=("$package")
            lines+=("installing $package: $reason")
        fi
    done
    ((${#missing[@]})) || return 0
    if ! command -v apt-get >/dev/null; then
        PREPARATION_SKIP="not a Debian system, so not looked for: ${missing[*]}"
        return 0
    fi
    if ((EUID != 0)); then
        # Without a terminal sudo cannot ask for a password.
        as_root=(sudo)
        if [[ ! -t 0 ]]; then as_root+=(-n); fi
        "${as_root[@]}" true 2>/dev/null ||
            cannot "cannot install without root or sudo; as root: apt-get install ${missing[*]}"
    fi
    printf '%s\n' "${lines[@]}"
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
    { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${missing[@]}"; } >"$WORK/apt.log" 2>&1 || {
        tail -n 30 "$WORK/apt.log" >&2
        cannot "apt-get could not install: ${missing[*]}"
    }
}

tool_version() {
    local call=("$1")
    # Cargo calls its subcommands by their own name first.
    if [[ $1 == cargo-* ]]; then call+=("${1#cargo-}"); fi
    "${call[@]}" --version 2>/dev/null | sed -n '1s/^[^ ]* \([0-9.]*\).*/\1/p'
}

install_cargo_tools() {
    local row tool least steps reason have options
    for row in "${CARGO_TOOLS[@]}"; do
        read -r tool least steps reason <<<"$row"
        needed "$steps" || continue
        have=$(tool_version "$tool") || true
        if [[ -n $have ]] && at_least "$least" "$have"; then continue; fi
        echo "installing $tool $least (minutes, once): $reason"
        options=()
        if [[ $tool == cargo-nextest ]]; then options=("${CARGO_NEXTEST_OPTIONS[@]}"); fi
        # The crate of most tools has their name.
        cargo install --locked --force "${options[@]}" "${tool/#cargo-cbuild/cargo-c}@$least" >"$WORK/install.log" 2>&1 || {
            tail -n 30 "$WORK/install.log" >&2
            cannot "cargo could not install $tool $least"
        }
    done
}

# --- the steps --------------------------------------------------------------------------------------------------
# A step runs in a subshell under `set -e`. It is one check, unless it counts for itself with `count`.

count() { echo "$*" >>"$COUNTS"; }
skip() {
    echo "skipped: $*"
    count skipped 1 "$*"
}

step_scripts() {
    local script scripts=()
    mapfile -t scripts < <(find . \( -name target -o -name .git -o -name .venv -o -name node_modules \) -prune -o -type f -name '*.sh' -print)
    scripts+=(.ci/run)
    for script in "${scripts[@]}"; do
        bash -n "$script"
        [[ -x $script ]] || { echo "$script has no run bit" && return 1; }
    done
    if command -v shellcheck >/dev/null; then
        shellcheck "${scripts[@]}"
    else
        skip "shellcheck is not installed"
    fi
}

step_fmt() {
    cargo fmt --all --check
    cargo fmt --all --check --manifest-path fuzz/Cargo.toml
}

step_deps() {
    local manifest wrong
    for manifest in Cargo.toml fuzz/Cargo.toml; do
        cargo metadata --locked --all-features --format-version 1 --manifest-path "$manifest" >"$WORK/metadata"
        wrong=$(jq -r --arg floor "$FLOOR" '
            def version: split(".") | map(tonumber);
            (.workspace_members | map({key: ., value: true}) | from_entries) as $ours
            | .packages[]
            | if $ours[.id] then select(.rust_version != $floor)
              else select(.rust_version and (.rust_version | version) > ($floor | version)) end
            | "\(.name) \(.version) says rust-version \(.rust_version); ours is \($floor)"' "$WORK/metadata")
        if [[ -n $wrong ]]; then
            echo "$wrong"
            return 1
        fi
    done
}

step_deny() {
    cargo deny check bans licenses sources
    # What fuzzes is never shipped, so its licences bind nobody.
    cargo deny --config deny.toml --manifest-path fuzz/Cargo.toml check bans sources
}

step_clippy() {
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    if cargo metadata --no-deps --format-version 1 | jq -e 'any(.packages[]; .features != {})' >/dev/null; then
        cargo clippy --workspace --all-targets --no-default-features -- -D warnings
    fi
    cargo clippy --manifest-path fuzz/Cargo.toml --target-dir fuzz/target --all-targets -- -D warnings
}

step_test() {
    local status=0 options=() summary passed failed ignored
    if [[ -n $LONG ]]; then
        options+=(--profile long)
    elif in_ci; then
        options+=(--profile ci)
    fi
    if [[ ! -t 1 ]]; then options+=(--cargo-quiet); fi
    # Tests build and run it as they are run alone: with other features of the crates below it than the workspace has,
    # which takes minutes once, and more than a test may.
    cargo build --quiet --package kvs-media --example mkvdump
    # What pipelines/quickstart.sh builds.
    cargo build --quiet --package gst-plugin-kvs --package kvs-cli
    cargo nextest run --workspace --all-features "${options[@]}" "${FILTERS[@]}" 2>&1 | tee "$WORK/nextest" || status=$?
    # Without a summary nothing was run: not one test, but one failure.
    summary=$(sed 's/\x1b\[[0-9;]*m//g' "$WORK/nextest" | grep -E '^ *Summary \[' | tail -n 1) || return 1
    number() { grep -oE "[0-9]+ ($1)" <<<"$summary" | awk '{ n += $1 } END { print n + 0 }' || true; }
    passed=$(number passed) failed=$(number 'failed|timed out|exec failed') ignored=$(number skipped)
    count passed "$passed"
    if ((failed)); then count failed "$failed"; fi
    # With a filter, "skipped" is what was not asked for.
    if ((ignored && ${#FILTERS[@]} == 0)); then count skipped "$ignored" "ignored tests"; fi
    return "$status"
}

step_clients() {
    local status=0 tests errors failures skipped
    make_virtual_environment
    KVS_BINARY=$(cargo build --package kvs-cli --package kvs-picture --message-format json-render-diagnostics |
        jq -r 'select(.executable and .target.name == "kvs").executable')
    # What it is linked with needs no GStreamer on the machine: pictures are another program's.
    if readelf -d "$KVS_BINARY" | grep -E 'NEEDED.*(libgst|libglib)'; then
        echo "kvs is linked with GStreamer"
        return 1
    fi
    export KVS_BINARY
    timeout --foreground --kill-after=10 900 .venv/bin/python -m pytest --quiet --color="$COLOUR" \
        --junit-xml="$WORK/clients.xml" tests/clients || status=$?
    # Without a report, or with no test in it, the whole step is the one failure.
    [[ -e $WORK/clients.xml ]] || return 1
    number() { grep -oE "<testsuite [^>]*\b$1=\"[0-9]+\"" "$WORK/clients.xml" | grep -oE '[0-9]+"$' | tr -d '"'; }
    tests=$(number tests) errors=$(number errors) failures=$(number failures) skipped=$(number skipped)
    if ((tests == 0)); then return 1; fi
    count passed $((tests - errors - failures - skipped))
    if ((errors + failures)); then count failed $((errors + failures)); fi
    if ((skipped)); then count skipped "$skipped" "client tests"; fi
    return "$status"
}

# Made again when what is wanted in it has changed.
make_virtual_environment() {
    if cmp -s tests/clients/requirements.txt .venv/requirements.txt; then return 0; fi
    echo "making .venv for the Python clients"
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/clients/requirements.txt
    cp tests/clients/requirements.txt .venv/requirements.txt
}

step_players() {
    local status=0 tests passed skipped
    KVS_BINARY=$(cargo build --package kvs-cli --package kvs-picture --message-format json-render-diagnostics |
        jq -r 'select(.executable and .target.name == "kvs").executable')
    export KVS_BINARY
    install_players
    export WORK
    # They wait for time to pass more than they work: two files at a time, for which Node 18 has no option.
    # shellcheck disable=SC2016 # the inner shell reads WORK
    (cd tests/players && printf '%s\n' *.test.js |
        xargs -P 2 -I{} timeout --foreground --kill-after=10 300 \
            sh -c 'node --test {} >"$WORK/players-{}" 2>&1') || status=$?
    cat "$WORK"/players-* >"$WORK/players"
    number() { sed -n "s/^[^a-z]*$1 \([0-9]*\)\$/\1/p" "$WORK/players" | awk '{ n += $1 } END { print n + 0 }'; }
    tests=$(number tests) passed=$(number pass) skipped=$(number skipped)
    if ((status)); then cat "$WORK/players"; fi
    # Without a summary nothing was run: not one test, but one failure.
    if ((tests == 0)); then return 1; fi
    count passed "$passed"
    if ((tests > passed + skipped)); then count failed $((tests - passed - skipped)); fi
    if ((skipped)); then count skipped "$skipped" "tests in the browser"; fi
    return "$status"
}

# Installed again when what is wanted has changed.
install_players() {
    local folder=tests/players
    if cmp -s "$folder/package-lock.json" "$folder/node_modules/.wanted"; then return 0; fi
    echo "installing the players of $folder"
    (cd "$folder" && npm ci --prefer-offline --no-audit --no-fund --loglevel=error)
    cp "$folder/package-lock.json" "$folder/node_modules/.wanted"
}

step_doctest() {
    local status=0
    timeout --foreground --kill-after=10 900 cargo test --quiet --no-fail-fast --doc --workspace --all-features 2>&1 |
        tee "$WORK/doctest" || status=$?
    sed 's/\x1b\[[0-9;]*m//g' "$WORK/doctest" | awk -v counts="$COUNTS" '
        /^test result:/ { for (i = 2; i <= NF; i++) { n[$i] += $(i - 1) } }
        END {
            print "passed", n["passed;"] + 0 >>counts
            if (n["failed;"]) print "failed", n["failed;"] >>counts
            if (n["ignored;"]) print "skipped", n["ignored;"], "ignored examples" >>counts
        }'
    return "$status"
}

step_doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace --all-features
}

step_cost() {
    # Callgrind counts the same whatever else the machine does; each bench fails by itself above its limits.
    cargo bench --package kvs-media --bench instructions
}

step_meson() {
    local build=target/meson installed="$WORK/root" plugin
    if [[ -e $build/build.ninja ]]; then
        meson setup --reconfigure "$build"
    else
        meson setup --buildtype debug --prefix /usr "$build"
    fi
    meson compile -C "$build"
    meson test -C "$build" --no-rebuild
    DESTDIR="$installed" meson install -C "$build" --no-rebuild
    plugin=$(find "$installed" -name libgstkvs.so)
    # Where GStreamer of this system looks, and its pkg-config file beside it.
    [[ ${plugin#"$installed"} == "$(pkg-config --variable=pluginsdir gstreamer-1.0)/libgstkvs.so" ]]
    [[ -e ${plugin%/*}/pkgconfig/gstkvs.pc ]]
    "$installed/usr/bin/kvs" --version
    # It ends when nobody asks it for anything.
    "$installed/usr/bin/kvs-picture" </dev/null >/dev/null
    GST_REGISTRY="$WORK/registry" GST_PLUGIN_PATH="${plugin%/*}" gst-inspect-1.0 kvssink
}

step_fuzz() {
    local targets files seconds parallel
    mapfile -t targets < <(cargo metadata --no-deps --format-version 1 --manifest-path fuzz/Cargo.toml |
        jq -r '.packages[].targets[] | select(.kind == ["bin"]).name' | sort)
    files=$(cd fuzz/fuzz_targets && printf '%s\n' *.rs | sort)
    if [[ $(printf '%s.rs\n' "${targets[@]}") != "$files" ]]; then
        echo "fuzz/fuzz_targets and the [[bin]] entries of fuzz/Cargo.toml differ"
        return 1
    fi
    # Stable builds it: coverage counters need only `-C` flags. The sanitizers need nightly and look for what
    # `unsafe` does wrong, which these crates forbid. Debug assertions and overflow checks are on (fuzz/Cargo.toml).
    (cd fuzz && cargo fuzz build --sanitizer none --target-dir target) >"$WORK/fuzz-build" 2>&1 || {
        cat "$WORK/fuzz-build"
        return 1
    }
    parallel=$(nproc)
    seconds=$((FUZZ_BUDGET * parallel / ${#targets[@]}))
    seconds=$((seconds < FUZZ_LEAST ? FUZZ_LEAST : seconds > FUZZ_MOST ? FUZZ_MOST : seconds))
    if [[ -n $LONG ]]; then seconds=$FUZZ_LONG; fi
    FUZZ_SECONDS=$seconds FUZZ_BINARIES="fuzz/target/$(rustc -vV | sed -n 's/^host: //p')/release"
    export FUZZ_SECONDS FUZZ_BINARIES WORK COUNTS
    export -f fuzz_one count
    # xargs rather than `&`: an interrupt at the terminal reaches what it started.
    printf '%s\n' "${targets[@]}" | xargs -P "$parallel" -I{} bash -c 'fuzz_one {}'
}

fuzz_one() {
    local target=$1 status=0 log="$WORK/fuzz-$1" runs coverage
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    timeout --foreground --kill-after=10 $((FUZZ_SECONDS + 60)) "$FUZZ_BINARIES/$target" \
        -max_total_time="$FUZZ_SECONDS" -timeout=5 -rss_limit_mb=512 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="fuzz/artifacts/$target/" "fuzz/corpus/$target" "fuzz/seeds/$target" >"$log" 2>&1 || status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: //p' "$log")
    coverage=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1)
    # No coverage means that the fuzzer was blind.
    if ((status == 0 && ${runs:-0} > 0)) && [[ -n $coverage ]]; then
        printf '  %-24s %9d runs  %s\n' "$target" "$runs" "$coverage"
        count passed 1
    else
        tail -n 60 "$log"
        printf '  %-24s FAILED; again: cd fuzz && cargo fuzz run --sanitizer none %s FILE\n' "$target" "$target"
        count failed 1
        return 1
    fi
}

# --- running them -----------------------------------------------------------------------------------------------

PASSED=0 FAILED=0 SKIPPED=0 PREPARATION_SKIP=''
SUMMARY=()
REASONS=()

run_step() {
    local step=$1 status=0 started=$SECONDS verdict=ok colour=$GREEN kind number reason detail
    local -A counted=([passed]=0 [failed]=0 [skipped]=0)
    COUNTS="$WORK/$step.counts"
    : >"$COUNTS"
    echo "${BOLD}== $step${PLAIN}: ${ABOUT[$step]}"
    set +e
    case $step in
    test | clients | players | doctest | fuzz)
        (
            set -e
            "step_$step"
        )
        status=$?
        ;;
    *)
        (
            set -e
            "step_$step"
        ) >"$WORK/$step.log" 2>&1
        status=$?
        ;;
    esac
    set -e
    if ((status)) && [[ -e $WORK/$step.log ]]; then cat "$WORK/$step.log"; fi
    while read -r kind number reason; do
        counted[$kind]=$((counted[$kind] + number))
        if [[ $kind == skipped ]]; then REASONS+=("$step: $number skipped, $reason"); fi
    done <"$COUNTS"
    if ((status && counted[failed] == 0)); then counted[failed]=1; fi
    if ((status == 0)) && ! grep -qE '^(passed|failed)' "$COUNTS"; then counted[passed]=1; fi
    PASSED=$((PASSED + counted[passed])) FAILED=$((FAILED + counted[failed])) SKIPPED=$((SKIPPED + counted[skipped]))
    if ((counted[failed])); then
        verdict=FAILED colour=$RED
    elif ((counted[skipped])); then
        colour=$YELLOW
    fi
    detail="${counted[passed]} passed, ${counted[failed]} failed, ${counted[skipped]} skipped"
    SUMMARY+=("$(printf '%-9s %s%-7s%s %5d s  %s' "$step" "$colour" "$verdict" "$PLAIN" $((SECONDS - started)) "$detail")")
    echo "   $colour$verdict$PLAIN after $((SECONDS - started)) s"
}

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
require_rust
install_packages
install_cargo_tools
if [[ -n $PREPARATION_SKIP ]]; then
    REASONS+=("$PREPARATION_SKIP")
    SKIPPED=$((SKIPPED + 1))
fi
for step in "${STEPS[@]}"; do
    if needed "$step"; then run_step "$step"; fi
done

echo
printf '%s\n' "${SUMMARY[@]}"
if ((${#REASONS[@]})); then printf '%s\n' "${REASONS[@]}"; fi
if in_ci && ((SKIPPED)); then echo "${RED}CI=true: a skip is a failure${PLAIN}"; fi
echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
if ((FAILED)) || { in_ci && ((SKIPPED)); }; then exit 1; fi
