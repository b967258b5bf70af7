#!/usr/bin/env bash
# Lays out the files that the container images get: tools/image-tree.sh BASE TREE   (run by the Dockerfile)
#
#   BASE           passwd and group of the image that TREE/runtime is copied over; our user is added to them
#   TREE/runtime   programs, their other names, entrypoint.sh, certificates, time zones, the spool's folder
#   TREE/scratch   the same without entrypoint.sh, with a passwd and group of its own
#   TARGET=...     as for tools/build-static.sh, which has been run
#
# Every file gets the time SOURCE_DATE_EPOCH, so that the same input makes the same layer.
set -euo pipefail
cd "$(dirname "$0")/.."
base=$1 tree=$2

host=$(dpkg --print-architecture)
built=build/static
[ "${TARGET:-$host}" = "$host" ] || built=build/static/$TARGET
links=$(make -s --no-print-directory print-LINKS)

uid=10025 # of the user that the gateway runs as and the spool belongs to; a number that no distribution gives out

# add_user FOLDER: to the passwd and group in it, made if missing.
add_user() {
    mkdir -p "$1"
    [ -e "$1/passwd" ] || echo 'root:x:0:0:root:/:/sbin/nologin' >"$1/passwd"
    [ -e "$1/group" ] || echo 'root:x:0:' >"$1/group"
    echo "mxgate:x:$uid:$uid:mxgate:/var/spool/mxgate:/sbin/nologin" >>"$1/passwd"
    echo "mxgate:x:$uid:" >>"$1/group"
}

# Small files: rules for the future instead of a line for each change in it.
time_zones() {
    zic -b slim -d "$1" /usr/share/zoneinfo/tzdata.zi
    cp /usr/share/zoneinfo/{zone1970,iso3166}.tab "$1/"
}

fill() { # fill FOLDER: all that both images have
    local bin=$1/usr/local/bin link
    install -d "$bin" "$1/usr/sbin" "$1/usr/lib" "$1/etc/ssl/certs" "$1/etc/mxgate" "$1/usr/share/zoneinfo" "$1/var/spool"
    install -m 755 "$built/mxgate" "$built/healthcheck" "$bin/"
    for link in $links; do
        ln -s mxgate "$bin/$link"
    done
    # Where programs look for it that do not search PATH.
    ln -s ../local/bin/mxgate "$1/usr/sbin/sendmail"
    ln -s ../sbin/sendmail "$1/usr/lib/sendmail"
    install -m 644 /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
    time_zones "$1/usr/share/zoneinfo"
    # A new volume takes owner and mode from here.
    install -d -m 700 -o $uid -g $uid "$1/var/spool/mxgate"
}

fill "$tree/runtime"
install -m 755 entrypoint/entrypoint.sh "$tree/runtime/usr/local/bin/"
install -m 644 "$base/passwd" "$base/group" "$tree/runtime/etc/"
add_user "$tree/runtime/etc"

fill "$tree/scratch"
add_user "$tree/scratch/etc"
install -d -m 1777 "$tree/scratch/tmp"
install -d "$tree/scratch/run"

find "$tree" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
