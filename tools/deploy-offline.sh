#!/usr/bin/env bash
# Runs tests/deploy/offline (a chart renderer and an HCL parser; see its head), built first if need be.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/build/deploy/offline
if [ ! -x "$out" ] || [ "$root/tests/deploy/offline/main.go" -nt "$out" ]; then
    mkdir -p "$root/build/deploy"
    # Debian's Go packages are a GOPATH; nothing is fetched.
    (cd "$root" && GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$root/build/deploy/go-cache GOFLAGS='' \
        go build -o "$out" tests/deploy/offline/main.go)
fi
exec "$out" "$@"
