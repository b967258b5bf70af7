#!/usr/bin/env bash
# Makes the local image debian:SUITE-slim from Debian packages, for machines that reach no registry of images:
#   debian.sh SUITE
# The packages come from the Debian archive that this machine's own apt uses. DOCKER_HOST says which engine.
set -euo pipefail
suite=$1
arch=$(dpkg --print-architecture)
# shellcheck source=/dev/null
here=$(. /etc/os-release && echo "$VERSION_CODENAME")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# shellcheck disable=SC2016 # apt's own variables
archive=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Identifier: Packages' |
    awk -v code="$here" '$2 == code && $3 == "main" { print $1; exit }')
[ -n "$archive" ] || { echo "debian.sh: no Debian archive among this machine's apt sources (apt-get update?)" >&2; exit 1; }

cat >"$folder/debian.sources" <<END
Types: deb
URIs: $archive
Suites: $suite
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
# shellcheck disable=SC2016 # mmdebstrap's own $1
mmdebstrap --quiet --variant=minbase --architectures="$arch" \
    --aptopt='Acquire::Languages "none"' --aptopt='Acquire::GzipIndexes "true"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --customize-hook='rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/resolv.conf "$1"/etc/hostname' \
    --customize-hook="upload '$folder/debian.sources' /etc/apt/sources.list.d/debian.sources" \
    "$suite" "$folder/rootfs.tar" "$folder/debian.sources"
printf 'FROM scratch\nADD rootfs.tar /\nCMD ["bash"]\n' >"$folder/Dockerfile"
DOCKER_BUILDKIT=1 docker build -q --platform "linux/$arch" -t "debian:$suite-slim" "$folder"
