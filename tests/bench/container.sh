#!/usr/bin/env bash
# Measures the container beside what runs in one of boky/postfix (supervisord, rsyslogd, Postfix; Debian's packages), in a
# Docker engine of its own: image, time to the first greeting, memory idle and under load. Needs root. Prints a table.
#
#   MESSAGES=3000   under load, by 100 sessions of smtp-source at a time
set -euo pipefail
cd "$(dirname "$0")/../.."
tools/setup.sh build test container
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=tests/container:tests/e2e:tests/bench
exec /usr/bin/python3 tests/bench/container.py
