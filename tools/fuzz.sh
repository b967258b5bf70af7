#!/usr/bin/env bash
# Runs every fuzz target (tests/fuzz/fuzz_NAME.c) for FUZZ_SECONDS (60), as many at a time as there are cores.
#
#   tools/fuzz.sh [NAME...]         fuzz; one line "ok NAME" or "FAILED NAME" for each target
#   tools/fuzz.sh --keep [NAME...]  add to the kept corpus what earlier runs found that reaches new code
#
# Starts from tests/fuzz/corpus/NAME/ with tests/fuzz/NAME.dict, if they exist. What is found stays in
# build/fuzz/corpus/NAME/, inputs that crash in build/fuzz/crashes/. Replay one: build/fuzz/fuzz_NAME FILE
set -euo pipefail
cd "$(dirname "$0")/.."
unset MAKEFLAGS MFLAGS # the calling make's job server is not ours

export FUZZ_SECONDS=${FUZZ_SECONDS:-60}
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
# Debian's llvm-symbolizer has a version in its name, where the sanitizer does not look.
ASAN_SYMBOLIZER_PATH=$(find /usr/lib/llvm-*/bin -name llvm-symbolizer | tail -n 1)
export ASAN_SYMBOLIZER_PATH

keep=
[ "${1:-}" != --keep ] || { keep=yes; shift; }
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    for file in tests/fuzz/fuzz_*.c; do
        name=${file##*/fuzz_}
        [ ! -e "$file" ] || names+=("${name%.c}")
    done
fi
[ ${#names[@]} -gt 0 ] || { echo "fuzz: no tests/fuzz/fuzz_*.c" >&2; exit 1; }

make --no-print-directory BUILD=build/fuzz CC=clang SAN=fuzzer-no-link,address,undefined fuzz-programs
mkdir -p build/fuzz/crashes build/fuzz/log

fuzz_one() {
    local name=$1 log=build/fuzz/log/$1 args
    local found=build/fuzz/corpus/$name kept=tests/fuzz/corpus/$name
    mkdir -p "$found"
    args=(-max_total_time="$FUZZ_SECONDS" -timeout=30 -rss_limit_mb=2048 -print_final_stats=1
        "-artifact_prefix=build/fuzz/crashes/$name-")
    [ ! -e "tests/fuzz/$name.dict" ] || args+=("-dict=tests/fuzz/$name.dict")
    args+=("$found") # the first folder is the one that is written to
    [ ! -d "$kept" ] || args+=("$kept")
    if "build/fuzz/fuzz_$name" "${args[@]}" >"$log" 2>&1; then
        echo "ok $name ($(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs)"
    else
        echo "FAILED $name (build/fuzz/log/$name, build/fuzz/crashes/$name-*)"
        grep -vE '^#[0-9]+.*(NEW|REDUCE|pulse)' "$log" | tail -n 40 | sed 's/^/    /'
        return 1
    fi
}

if [ -n "$keep" ]; then
    for name in "${names[@]}"; do
        mkdir -p "tests/fuzz/corpus/$name" "build/fuzz/corpus/$name"
        "build/fuzz/fuzz_$name" -merge=1 "tests/fuzz/corpus/$name" "build/fuzz/corpus/$name"
    done
    exit 0
fi

export -f fuzz_one
printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I {} bash -c "fuzz_one {}"
