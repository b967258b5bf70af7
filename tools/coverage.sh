#!/usr/bin/env bash
# Which lines and branches of src/ the tests run, by file: tools/coverage.sh [--report]
#
# Builds everything with clang's counters (build/coverage), runs unit, io, the kept corpus of each fuzz target, and the
# end-to-end tests for COVERAGE_E2E_SECONDS (480; 0: none), and prints a table: files below 90 % of lines or 80 % of
# branches have a mark. What none of them runs, line by line: build/coverage/uncovered. docs/TESTING.md says why.
# --report: only the table, from the last run.
#
# The counters are in a file that each process maps from its first moment on, so those of one that is killed count, and
# the sandbox does not matter. A test that fails is said, and no reason to stop: `make test` judges, not this.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
unset MAKEFLAGS MFLAGS

out=$PWD/build/coverage
raw=$out/raw
counters="-fprofile-instr-generate=$raw/%m%c.profraw -fcoverage-mapping -mllvm -runtime-counter-relocation -Wno-unused-command-line-argument"
seconds=${COVERAGE_E2E_SECONDS:-480}
export PYTHONDONTWRITEBYTECODE=1

run_one() { # PROGRAM [ARGUMENT...]
    timeout -k 5 180 "$@" >"$out/log/${1##*/}" 2>&1 || echo "coverage: failed: ${1##*/} (build/coverage/log)"
}
export -f run_one
export out

run_all() {
    local name file
    make --no-print-directory BUILD=build/coverage CC=clang OPT="-O1 -g $counters" HARD='-fno-common -fPIE' HARD_LD=-pie WERROR= \
        programs unit-programs io-programs fuzz-programs || return 1
    # Some tests run the program as another user, who must be able to count.
    rm -rf "$raw" "$out/log"
    mkdir -p "$raw" "$out/log"
    chmod 1777 "$raw"
    for file in "$out"/mxgate "$out"/healthcheck; do "$file" version >/dev/null 2>&1; done
    chmod -f 666 "$raw"/*
    printf '%s\n' "$out"/tests/unit/test_* | xargs -P "$(nproc)" -I {} bash -c 'run_one {}'
    for file in "$out"/tests/io/test_*; do run_one "$file"; done
    for file in tests/fuzz/fuzz_*.c; do
        name=${file##*/fuzz_}
        name=${name%.c}
        [ ! -d "tests/fuzz/corpus/$name" ] || run_one "$out/fuzz_$name" -runs=0 "tests/fuzz/corpus/$name"
    done
    [ "$seconds" -gt 0 ] || return 0
    MXGATE_BIN=$out/mxgate HEALTHCHECK_BIN=$out/healthcheck timeout -s INT -k 30 "$seconds" /usr/bin/python3 -m pytest -q \
        -p no:cacheprovider --timeout=300 -n 3 --dist loadfile tests/e2e >"$out/log/e2e" 2>&1
    tail -n 1 "$out/log/e2e"
}

report() {
    local objects=() file
    for file in "$out"/healthcheck "$out"/tests/unit/test_* "$out"/tests/io/test_* "$out"/fuzz_*; do
        [ ! -x "$file" ] || objects+=(-object "$file")
    done
    llvm-profdata merge -sparse "$raw"/*.profraw -o "$out/all.profdata" || return 1
    llvm-cov export "$out/mxgate" "${objects[@]}" -instr-profile="$out/all.profdata" src healthcheck 2>"$out/log/export" \
        >"$out/all.json" || { cat "$out/log/export"; return 1; }
    /usr/bin/python3 tools/coverage_table.py "$out/all.json" "$out/uncovered"
}

[ "${1:-}" = --report ] || run_all || exit 1
report
