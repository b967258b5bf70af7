#!/usr/bin/env bash
# Runs tests/deploy/offline (a chart renderer and an HCL parser; see its head), built first if need be.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/build/deploy/offline
main=$root/tests/deploy/offline/main.go
mkdir -p "$root/build/deploy"
(
    flock 9 # tests that run at the same time wait for the one that builds
    if [ ! -x "$out" ] || [ "$main" -nt "$out" ]; then
        # Debian's Go packages are a GOPATH; nothing is fetched.
        GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$root/build/deploy/go-cache GOFLAGS='' go build -o "$out" "$main"
    fi
) 9>"$root/build/deploy/offline.lock"
exec "$out" "$@"
