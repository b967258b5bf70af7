#!/usr/bin/env bash
# Every check that needs no running program: tools/lint.sh [CHECK...] (default: all of them, in this order)
#
#   warnings   gcc's warnings as errors, tests included
#   format     clang-format
#   headers    each .h compiles alone
#   purity     pure modules (PURE in the Makefile) reach no uv.h, bearssl.h, ares.h through any include
#   floors     an include points to its own folder or to one below (docs/ARCHITECTURE.md)
#   tidy       clang-tidy over src and healthcheck
#   cppcheck   over src, healthcheck and tests
#   analyzer   gcc -fanalyzer over src and healthcheck; tools/analyze.suppress has what is not so, and why
#   scripts    shellcheck; python compiles
#   docs       docs/SETTINGS.md and docs/POSTFIX-PARAMETERS.md are what src/config/*.def say; names in ARCHITECTURE, FAILURES, SECURITY and
#              TESTING exist
#
# All checks run even if one fails. What passed and did not change is not checked again (build/lint).
set -uo pipefail
cd "$(dirname "$0")/.." || exit
unset MAKEFLAGS MFLAGS # the calling make's job server is not ours

jobs=$(nproc)
mkdir -p build/lint
flags=(-std=c11 -Isrc -D_GNU_SOURCE '-DMXGATE_VERSION="lint"')
export lint_flags="${flags[*]}"

c_files() { find "$@" -name '*.c' 2>/dev/null | sort; }
h_files() { find "$@" -name '*.h' 2>/dev/null | sort; }

# each COMMAND: runs it for every name on standard input, as many at once as there are cores.
each() { xargs -r -P "$jobs" -I {} bash -c "$1 {}"; }

lint_warnings() { make -k --no-print-directory programs unit-programs io-programs; }

lint_format() { { c_files src healthcheck tests; h_files src healthcheck tests; } | xargs -r clang-format --dry-run -Werror; }

header_alone() {
    # shellcheck disable=SC2086 # several flags
    gcc $lint_flags -Wall -Wextra -Wno-unused-parameter -Werror -fsyntax-only -include "$1" -x c /dev/null ||
        { echo "$1: does not compile alone"; return 1; }
}
lint_headers() { h_files src healthcheck | each header_alone; }

# Through any chain of includes, by asking the compiler.
pure_includes() {
    local found
    # shellcheck disable=SC2086 # several flags
    found=$(gcc $lint_flags -M "$1" | grep -oE '[^ ]*/(uv|bearssl[a-z_]*|ares)\.h' | head -n 1)
    [ -z "$found" ] || { echo "$1: pure, but includes $found"; return 1; }
}
lint_purity() { make -s --no-print-directory print-PURE | tr ' ' '\n' | each pure_includes; }

# src's folders from the top floor down. main.c is above them all.
floors='commands control server intake queue relay message observe net config smtp tls sandbox base'
lint_floors() {
    grep -rHnE '^[ \t]*#[ \t]*include[ \t]*"' src --include='*.[ch]' --include='*.def' | awk -v floors="$floors" '
        BEGIN { n = split(floors, f, " "); for (i = 1; i <= n; i++) rank[f[i]] = i }
        {
            split($0, part, ":")
            from = part[1]; sub(/^src\//, "", from); sub(/\/.*/, "", from)
            to = $0; sub(/^[^"]*"/, "", to); sub(/".*/, "", to); file = to; sub(/\/.*/, "", to)
            if (file !~ /\// || from ~ /\./) next # its own folder, or src/main.c
            if (!(from in rank) || !(to in rank) || rank[to] < rank[from]) {
                print part[1] ":" part[2] ": " from "/ may not include " file; bad = 1
            }
        }
        END { exit bad }'
}

# clang-tidy is the slow one: a file is checked again only if it, a header (comments included) or the rules changed.
tidy_one() {
    local key
    # shellcheck disable=SC2086 # several flags
    key=$({ clang-tidy --version; cat .clang-tidy; gcc $lint_flags -E -CC "$1"; } 2>&1 | sha256sum | cut -c1-32)
    [ ! -e "build/lint/tidy/$key" ] || return 0
    # shellcheck disable=SC2086 # several flags
    clang-tidy --quiet "$1" -- $lint_flags 2>&1 | grep -vE '^[0-9]+ warnings?( treated as errors?| generated)|^Suppressed |^Use -header-filter'
    [ "${PIPESTATUS[0]}" -eq 0 ] && touch "build/lint/tidy/$key"
}
lint_tidy() {
    mkdir -p build/lint/tidy
    c_files src healthcheck | each tidy_one
}

lint_cppcheck() {
    # Its loop macros must be known; the rest of /usr/include only slows cppcheck down.
    mkdir -p build/lint/cppcheck build/lint/include
    ln -sf /usr/include/uthash.h /usr/include/utlist.h build/lint/include/
    c_files src healthcheck tests >build/lint/cppcheck.files
    [ -s build/lint/cppcheck.files ] || return 0
    cppcheck --quiet -j "$jobs" --error-exitcode=1 --enable=warning,performance,portability --inline-suppr \
        --suppressions-list=tools/cppcheck.suppress --cppcheck-build-dir=build/lint/cppcheck \
        --std=c11 -Isrc -Ibuild/lint/include -D_GNU_SOURCE '-DMXGATE_VERSION="lint"' --template=gcc --file-list=build/lint/cppcheck.files
}

# Each file's findings are kept until it or a header changes: "FILE FUNCTION WARNING", then gcc's words.
# gcc 12 never comes to an end with some files (now src/queue/scheduler.c): after 20 s of processor time it looks less closely.
gcc_analyzer() {
    # shellcheck disable=SC2086 # several flags
    (ulimit -t 20 && LC_ALL=C exec gcc $lint_flags -DCARES_NO_DEPRECATED -O1 -fanalyzer -fdiagnostics-plain-output "${@:2}" -c -o /dev/null "$1")
}
analyze_one() {
    local key found
    # shellcheck disable=SC2086 # several flags
    key=$({ gcc --version; gcc $lint_flags -E "$1"; } 2>&1 | sha256sum | cut -c1-32)
    found=build/lint/analyzer/$key
    if [ ! -e "$found" ]; then
        gcc_analyzer "$1" >"$found.$$" 2>&1 || gcc_analyzer "$1" --param=analyzer-max-enodes-per-program-point=4 >"$found.$$" 2>&1 ||
            { cat "$found.$$"; rm -f "$found.$$"; return 1; }
        awk '/: In function / { f = $NF; gsub(/[^A-Za-z0-9_]/, "", f) }
             /\[-Wanalyzer-/ {
                 w = $0; sub(/.*\[-Wanalyzer-/, "", w); sub(/\].*/, "", w)
                 file = $0; sub(/:.*/, "", file); print file, f, w, $0
             }' "$found.$$" >"$found.new.$$" && mv "$found.new.$$" "$found"
        rm -f "$found.$$"
    fi
    cat "$found"
}
lint_analyzer() {
    local all=build/lint/analyzer.found
    # Another version finds other things; CI has this one.
    [ "$(gcc -dumpversion)" = 12 ] || { echo "lint: analyzer: not looked at, this is no gcc 12"; return 0; }
    mkdir -p build/lint/analyzer
    c_files src healthcheck | each analyze_one >"$all" || { cat "$all"; return 1; }
    awk 'NR == FNR { if ($0 !~ /^(#|$)/) reason[$1 " " $2 " " $3] = 0; next }
         ($1 " " $2 " " $3) in reason { reason[$1 " " $2 " " $3]++; next }
         { $1 = $2 = $3 = ""; print; bad = 1 }
         END {
             for (r in reason) if (!reason[r]) { print "tools/analyze.suppress: found no more: " r; bad = 1 }
             exit bad
         }' tools/analyze.suppress "$all"
}

lint_scripts() {
    local bad=0
    find . -path ./build -prune -o -path ./.git -prune -o -path ./var -prune -o -name '*.sh' -print0 |
        xargs -r0 shellcheck .ci/run || bad=1
    find tests -name '*.py' -print0 | PYTHONPYCACHEPREFIX=build/lint/pycache xargs -r0 /usr/bin/python3 -m py_compile || bad=1
    return $bad
}

# What looks like a name of ours in backticks (it has an underscore, or a slash) must be in the tree; a setting's name may have
# its value behind it.
names_exist() {
    local bad=0 name
    # shellcheck disable=SC2016 # backticks of Markdown
    while read -r name; do
        case $name in
        */*) [ -e "$name" ] || [ -e "src/$name" ] || [ -e "src/$name.h" ] || { echo "$1: there is no $name"; bad=1; } ;;
        *) grep -rqw -e "$name" src healthcheck tests Makefile tools || { echo "$1: nothing is called $name"; bad=1; } ;;
        esac
    done < <(grep -oE '`[A-Za-z0-9_./-]*[_/][A-Za-z0-9_./-]*(\(\)|=[a-z]+)?`' "$1" | tr -d '`()' | sed 's/=.*//' | sort -u)
    return $bad
}

lint_docs() {
    local bad=0 doc
    tools/settings-doc.sh | diff -u docs/SETTINGS.md - || { echo 'tools/settings-doc.sh >docs/SETTINGS.md makes it anew'; bad=1; }
    tools/postfix-doc.sh | diff -u docs/POSTFIX-PARAMETERS.md - ||
        { echo 'tools/postfix-doc.sh >docs/POSTFIX-PARAMETERS.md makes it anew'; bad=1; }
    for doc in docs/ARCHITECTURE.md docs/FAILURES.md docs/SECURITY.md docs/TESTING.md; do
        [ ! -e "$doc" ] || names_exist "$doc" || bad=1
    done
    return $bad
}

export -f header_alone pure_includes tidy_one gcc_analyzer analyze_one
failed=()
[ $# -gt 0 ] || set -- warnings format headers purity floors tidy cppcheck analyzer scripts docs
for check in "$@"; do
    started=$SECONDS
    if "lint_$check"; then
        echo "lint: $check ok ($((SECONDS - started)) s)"
    else
        echo "lint: $check FAILED"
        failed+=("$check")
    fi
done
[ ${#failed[@]} -eq 0 ] || { echo "lint: FAILED: ${failed[*]}"; exit 1; }
echo "lint: clean"
