#!/usr/bin/env bash
# Runs the test suites and ends with one line over all of them: "N passed, N failed".
#
#   tools/test.sh [SUITE...]
#     unit      tests/unit  pure modules                                      (sanitizers)
#     io        tests/io    modules on a real loop and real files             (sanitizers)
#     tsan      tests/io    those of modules with threads, under ThreadSanitizer
#     e2e       tests/e2e   the program between real clients and real servers (sanitizers)
#     starttls  tests/e2e   how mail goes, with every client inside TLS       (sanitizers)
#     valgrind  tests/e2e -m smoke, the normal build under valgrind
#     static    tests/e2e -m smoke, the static program as user 10025 in its sandbox
#     crash     tests/crash the normal build, CRASH_ROUNDS (200) kills, or CRASH_MINUTES; every crash point; power loss
#     load      tests/load  the normal build, LOAD_SCALE (10) percent: many sessions, a long queue, nothing to be had, clocks
#     deploy    tests/deploy  deploy/ and .github/: charts, Terraform, user data, workflows (the normal build)
#     arm64     tests/unit and tests/e2e -m smoke, the static program for arm64 in an emulator
#     container tests/container  the images and the compose files, in a Docker engine of their own; as root
#     fuzz      tests/fuzz  FUZZ_SECONDS (60; with all the others 30) for each target
#     smoke     valgrind and static
#
# Logs are in build/test-logs. A suite that cannot be built, finds no test, runs out of time or ends without a count
# is a failure, and so is any report of a sanitizer or of valgrind, whatever the tests themselves made of it.
# PYTEST_ARGS="-k name" narrows the pytest suites.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
unset MAKEFLAGS MFLAGS # the calling make's job server is not ours

san=address,undefined
logs=$PWD/build/test-logs
passed=0
failed=0
table=()
mkdir -p "$logs"

export PYTHONDONTWRITEBYTECODE=1 CMOCKA_MESSAGE_OUTPUT=stdout CRASH_ROUNDS=${CRASH_ROUNDS:-${CRASH_MINUTES:+1000000}}
export CRASH_ROUNDS=${CRASH_ROUNDS:-200}

# sanitize REPORTS: stop at the first fault; reports go to files of that name, or to stderr.
sanitize() {
    local to=${1:+:log_path=$1}
    export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1$to
    export UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:print_stacktrace=1$to
}

# result SUITE PASSED FAILED [NOTE]
result() {
    passed=$((passed + $2))
    failed=$((failed + $3))
    table+=("$(printf '%-9s %5d passed %4d failed %5d s  %s' "$1" "$2" "$3" $((SECONDS - started)) "${4:-}")")
    [ "$3" -eq 0 ] || echo "$1: FAILED, see build/test-logs/$1.log"
}

show_log() { echo "--- the end of build/test-logs/$1.log"; tail -n "${2:-60}" "$logs/$1.log"; echo "---"; }

# built SUITE MAKE-ARGUMENTS...: builds, or says that the suite failed.
built() {
    local suite=$1
    shift
    if ! make --no-print-directory "$@" >"$logs/$suite.log" 2>&1; then
        show_log "$suite"
        result "$suite" 0 1 'did not build'
        return 1
    fi
}

# have_tests SUITE PATTERN: no folder is no suite (yet); a folder without tests is a mistake.
have_tests() {
    [ -d "$(dirname "$2")" ] || { table+=("$(printf '%-9s -' "$1")"); return 1; }
    compgen -G "$2" >/dev/null || { result "$1" 0 1 "no $2"; return 1; }
}

# --- cmocka ---------------------------------------------------------------------------------------

# cmocka_programs SUITE JOBS FOLDER: runs FOLDER's programs; their results are SUITE's. $emulator, if set, is what
# runs them; $cmocka_slow are names to leave out, $cmocka_only, if set, all there are.
run_cmocka() { # SUITE PROGRAM
    local log=$logs/$1/${2##*/}
    # shellcheck disable=SC2086 # a command and its options
    timeout -k 5 "${cmocka_limit:-120}" ${emulator:-} "$2" >"$log.log" 2>&1
    echo $? >"$log.rc"
}
cmocka_programs() {
    local suite=$1 jobs=$2 folder=$3 file name log rc good bad sum_good=0 sum_bad=0 left_out=0
    rm -rf "${logs:?}/$suite"
    mkdir -p "$logs/$suite"
    export -f run_cmocka
    export logs emulator cmocka_limit
    for file in "tests/${folder##*/}"/test_*.c; do
        name=$(basename "$file" .c)
        case " ${cmocka_only:-$name} " in *" $name "*) ;; *) continue ;; esac
        case " ${cmocka_slow:-} " in *" $name "*) left_out=$((left_out + 1)) ;; *) echo "$folder/$name" ;; esac
    done >"$logs/$suite/programs"
    xargs -P "$jobs" -I {} bash -c "run_cmocka $suite {}" <"$logs/$suite/programs"

    while read -r file; do
        name=${file##*/}
        log=$logs/$suite/$name.log
        rc=$(cat "$logs/$suite/$name.rc" 2>/dev/null || echo 'not run')
        # A program may run several groups, each with its own lines.
        good=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
        bad=$(sed -n 's/^\[  FAILED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
        if [ "$bad" -eq 0 ] && { [ "$rc" != 0 ] || [ "$good" -eq 0 ]; }; then
            bad=1 # it died, or ran nothing
        fi
        if [ "$bad" -gt 0 ]; then
            echo "FAILED $suite/$name (exit status $rc)"
            tail -n 40 "$log" | sed 's/^/    /'
        fi
        { echo "== $name: $good passed, $bad failed, exit status $rc"; cat "$log"; } >>"$logs/$suite.log"
        sum_good=$((sum_good + good))
        sum_bad=$((sum_bad + bad))
    done <"$logs/$suite/programs"
    result "$suite" $sum_good $sum_bad "$([ $left_out -eq 0 ] || echo "$left_out programs left out: slow")"
}

cmocka_suite() { # SUITE JOBS
    have_tests "$1" "tests/$1/test_*.c" || return
    built "$1" BUILD=build/asan SAN=$san "$1-programs" || return
    sanitize ''
    cmocka_programs "$1" "$2" "build/asan/tests/$1"
}

# --- pytest ---------------------------------------------------------------------------------------

# pytest_suite SUITE FOLDER SECONDS PYTEST-ARGUMENTS...
# $reports is a command that prints which report files mean a fault; each counts as a failure.
reports=true
pytest_suite() {
    local suite=$1 folder=$2 limit=$3 rc counts good bad skipped note='' file
    shift 3
    rm -f "$logs/$suite.xml"
    echo "$suite: running (build/test-logs/$suite.log)"
    # Debian's interpreter by name: the one on PATH may not see Debian's modules. INT lets pytest still write its counts.
    # shellcheck disable=SC2086 # several arguments
    timeout -s INT -k 30 "$limit" /usr/bin/python3 -m pytest -q -p no:cacheprovider -ra --junitxml="$logs/$suite.xml" \
        "$@" "$folder" ${PYTEST_ARGS:-} >"$logs/$suite.log" 2>&1
    rc=$?
    counts=$(/usr/bin/python3 - "$logs/$suite.xml" 2>/dev/null <<'PY'
import sys, xml.etree.ElementTree as tree
suites = list(tree.parse(sys.argv[1]).getroot().iter("testsuite"))
total, bad, skipped = (sum(int(s.get(k, 0)) for s in suites for k in keys)
                       for keys in (["tests"], ["failures", "errors"], ["skipped"]))
print(max(total - bad - skipped, 0), bad, skipped)
PY
    )
    read -r good bad skipped <<<"${counts:-0 0 0}"
    [ "$skipped" -eq 0 ] || note="$skipped skipped"
    case $rc in
    0 | 1) ;;
    5) note="no test ran" ;;
    124 | 137) note="out of time ($limit s)" ;;
    *) note="pytest ended with $rc" ;;
    esac
    if [ "$bad" -eq 0 ] && { [ "$rc" -ne 0 ] || [ "$good" -eq 0 ]; }; then
        bad=1
    fi
    for file in $($reports); do
        bad=$((bad + 1))
        note="see ${file#"$PWD/"}"
        echo "--- ${file#"$PWD/"}"
        head -n 25 "$file"
    done
    result "$suite" "$good" "$bad" "$note"
    [ "$bad" -eq 0 ] || show_log "$suite"
}

# --- suites ---------------------------------------------------------------------------------------

suite_unit() { cmocka_suite unit "$(nproc)"; }
suite_io() { cmocka_suite io 2; }

# Where threads meet the loop: the pool's lanes, the threads of handshakes, the log's thread, and what goes through them (body,
# spool, maildir, custody, certificates). A report ends its program with status 66.
tsan_tests='test_lane test_log_writer test_stream_tls test_body test_body_faults test_spool test_spool_commit'
tsan_tests+=' test_spool_commit_faults test_maildir test_intake test_scheduler test_server_tls test_gateway'
suite_tsan() {
    local name programs=()
    have_tests tsan 'tests/io/test_*.c' || return
    for name in $tsan_tests; do programs+=("build/tsan/tests/io/$name"); done
    built tsan BUILD=build/tsan SAN=thread "${programs[@]}" || return
    TSAN_OPTIONS=second_deadlock_stack=1 cmocka_only=$tsan_tests cmocka_programs tsan 2 build/tsan/tests/io
}

# Tests run the program under strace too, where the leak checker cannot work and says so: that is no finding.
sanitizer_reports() { find "$logs" -name 'sanitizer-e2e.*' -exec grep -L 'does not work under ptrace' {} +; }
suite_e2e() {
    have_tests e2e 'tests/e2e/test_*.py' || return
    built e2e BUILD=build/asan SAN=$san programs || return
    rm -f "$logs"/sanitizer-e2e.*
    sanitize "$logs/sanitizer-e2e"
    MXGATE_BIN=$PWD/build/asan/mxgate HEALTHCHECK_BIN=$PWD/build/asan/healthcheck reports=sanitizer_reports \
        pytest_suite e2e tests/e2e 1800 --timeout=300 -n 5 --dist loadfile
}

# The same tests of how mail goes, with every client inside TLS. MXGATE_E2E_STARTTLS=1 does so for any others.
suite_starttls() {
    have_tests starttls 'tests/e2e/test_*.py' || return
    built starttls BUILD=build/asan SAN=$san programs || return
    rm -f "$logs"/sanitizer-e2e.*
    sanitize "$logs/sanitizer-e2e"
    MXGATE_E2E_STARTTLS=1 MXGATE_BIN=$PWD/build/asan/mxgate HEALTHCHECK_BIN=$PWD/build/asan/healthcheck \
        reports=sanitizer_reports pytest_suite starttls tests/e2e/test_delivery.py 600 --timeout=300 -n 5 --dist loadfile \
        tests/e2e/test_{custody,conformance,dialogues,limits,recipients}.py
}

# A process that was killed leaves no summary; but if not one did, valgrind was not in it.
valgrind_reports() {
    grep -lE 'ERROR SUMMARY: [1-9]' "$logs"/memcheck.* ||
        grep -qs 'ERROR SUMMARY: 0' "$logs"/memcheck.* || echo "$logs/valgrind.log"
}
suite_valgrind() {
    have_tests valgrind 'tests/e2e/test_*.py' || return
    built valgrind programs || return
    rm -f "$logs"/memcheck.*
    MXGATE_BIN=$PWD/build/mxgate HEALTHCHECK_BIN=$PWD/build/healthcheck reports=valgrind_reports \
        MXGATE_WRAPPER="valgrind --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=99 --log-file=$logs/memcheck.%p" \
        pytest_suite valgrind tests/e2e 900 --timeout=300 -n "$(nproc)" -m smoke
}

suite_static() {
    have_tests static 'tests/e2e/test_*.py' || return
    built static static || return
    # As the container runs it: not as root, and in the sandbox, which no sanitizer can live in.
    MXGATE_RUN_AS_USER=10025:10025 MXGATE_BIN=$PWD/build/static/mxgate HEALTHCHECK_BIN=$PWD/build/static/healthcheck \
        pytest_suite static tests/e2e 600 --timeout=120 -n 3 -m smoke
}

# The other machine's programs, emulated: whatever depends on the machine (the sign of a char, alignment, the libraries'
# own assembler) shows here. Slow, so a part of the tests; the rest would test the same code again.
suite_arm64() {
    local run=$PWD/build/static/arm64/run program
    have_tests arm64 'tests/unit/test_*.c' || return
    if ! (tools/setup.sh arm64 && export TARGET=arm64 && tools/setup.sh static && tools/build-static.sh &&
        tools/build-static.sh unit) >"$logs/arm64.log" 2>&1; then
        show_log arm64
        result arm64 0 1 'did not build'
        return
    fi
    emulator=qemu-aarch64-static cmocka_limit=300 cmocka_slow='test_dialogues test_policy_property' \
        cmocka_programs arm64 "$(nproc)" build/static/arm64/tests/unit

    # A program that can be started like any other, and under any name.
    started=$SECONDS
    mkdir -p "$run"
    for program in mxgate healthcheck; do
        # shellcheck disable=SC2016 # the launcher's own
        printf '#!/bin/sh\nexec qemu-aarch64-static -0 "$0" %s "$@"\n' "$PWD/build/static/arm64/$program" >"$run/$program"
        chmod +x "$run/$program"
    done
    # The sandbox is the kernel's, and the emulator passes none of it on.
    MXGATE_BIN=$run/mxgate HEALTHCHECK_BIN=$run/healthcheck MXGATE_TIME_SCALE=4 \
        pytest_suite arm64-e2e tests/e2e 600 --timeout=240 -n 3 -m smoke --ignore=tests/e2e/test_confinement.py
}

suite_container() {
    have_tests container 'tests/container/test_*.py' || return
    if ! tools/setup.sh container; then
        result container 0 1 'packages are missing'
        return
    fi
    MXGATE_HARNESS_ONLY=1 pytest_suite container tests/container 1500 --timeout=900
}

suite_crash() {
    have_tests crash 'tests/crash/test_*.py' || return
    built crash programs crash-programs || return
    local limit=$((300 + 3 * CRASH_ROUNDS))
    [ -z "${CRASH_MINUTES:-}" ] || limit=$((600 + 200 * ${CRASH_MINUTES%.*})) # three tests of so long
    # No limit for one test: it may be all the rounds.
    MXGATE_BIN=$PWD/build/mxgate HEALTHCHECK_BIN=$PWD/build/healthcheck \
        pytest_suite crash tests/crash "${CRASH_SECONDS:-$limit}" --timeout=0 -n 2 --dist loadfile
}

suite_load() {
    have_tests load 'tests/load/test_*.py' || return
    built load programs || return
    MXGATE_BIN=$PWD/build/mxgate HEALTHCHECK_BIN=$PWD/build/healthcheck \
        pytest_suite load tests/load $((300 + 10 * ${LOAD_SCALE:-10})) --timeout=600 -rP
}

suite_deploy() {
    have_tests deploy 'tests/deploy/test_*.py' || return
    built deploy programs || return
    MXGATE_BIN=$PWD/build/mxgate HEALTHCHECK_BIN=$PWD/build/healthcheck \
        pytest_suite deploy tests/deploy 300 --timeout=150 -n 2
}

# Beside the end-to-end tests, which mostly wait; what is fuzzed gets what they leave of the processors.
fuzz_pid=
fuzz_seconds=60
start_fuzz() {
    compgen -G 'tests/fuzz/fuzz_*.c' >/dev/null || return
    echo "fuzz: running (build/test-logs/fuzz.log)"
    FUZZ_SECONDS=${FUZZ_SECONDS:-$fuzz_seconds} setsid nice -n 19 tools/fuzz.sh >"$logs/fuzz.log" 2>&1 & # a group of its own, to be stopped as one
    fuzz_pid=$!
    trap 'kill -- "-$fuzz_pid" 2>/dev/null' EXIT
}

suite_fuzz() {
    local good bad
    have_tests fuzz 'tests/fuzz/fuzz_*.c' || return
    [ -n "$fuzz_pid" ] || start_fuzz
    wait "$fuzz_pid"
    good=$(grep -c '^ok ' "$logs/fuzz.log")
    bad=$(grep -c '^FAILED ' "$logs/fuzz.log")
    [ $((good + bad)) -gt 0 ] || bad=1
    [ "$bad" -eq 0 ] || show_log fuzz 100
    result fuzz "$good" "$bad"
}

[ $# -gt 0 ] || set -- unit io tsan deploy e2e starttls valgrind static arm64 container crash load fuzz
suites=()
for suite in "$@"; do
    case $suite in
    unit | io | tsan | deploy | e2e | starttls | valgrind | static | arm64 | container | crash | load | fuzz) suites+=("$suite") ;;
    smoke) suites+=(valgrind static) ;;
    *) echo "test: unknown suite $suite" >&2; exit 64 ;;
    esac
done
for suite in "${suites[@]}"; do
    started=$SECONDS
    unset ASAN_OPTIONS UBSAN_OPTIONS # of the suite before; tests ask for them to know what they run on
    case " $suite ${suites[*]} " in
    ' e2e '*' fuzz '*) fuzz_seconds=30 start_fuzz ;;
    esac
    "suite_$suite"
done

printf '\n'
printf '%s\n' "${table[@]}" 'logs: build/test-logs' "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
