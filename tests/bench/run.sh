#!/usr/bin/env bash
# `make bench`: measures mxgate (the static program) beside a private instance of Debian's Postfix, and beside OpenSMTPD, Exim and
# Haraka where they can be installed (in an overlay of this machine: nothing of them stays). Prints one table, and writes it to
# docs/bench: TABLE.md, bench.json, bench.svg. Half an hour.
#
#   QUICK=1     two minutes: one short round, small numbers, Postfix alone (to see that it works, not to quote); writes nothing
#   ROUNDS=3    rounds of the throughput rows; the table shows the median of each
#   MXGATE_BIN  another program to measure (default build/static/mxgate)
#
# Everything lives in one temporary folder, listens on ports that the system gave, and is gone at the end. Without root
# (or without Postfix) the Postfix columns stay empty: its master starts as root only.
set -euo pipefail
cd "$(dirname "$0")/../.."
unset MAKEFLAGS MFLAGS # the calling make's job server is not ours

tools/setup.sh build test static
if [ -z "${MXGATE_BIN:-}" ]; then
    make --no-print-directory programs static >/dev/null
    MXGATE_BIN=$PWD/build/static/mxgate
fi
export MXGATE_BIN PYTHONDONTWRITEBYTECODE=1
ulimit -n "$(ulimit -Hn)"
exec /usr/bin/python3 tests/bench/bench.py
