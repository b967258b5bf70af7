#!/usr/bin/env bash
# Installs the Debian packages the project needs: tools/setup.sh MODE...
#
#   build   compiler and -dev libraries (`make`)
#   run     a mail client to try it with (`make run`)
#   test    everything the tests and `make lint` use
#   static  what tools/build-static.sh needs; TARGET=arm64 (or amd64) adds that cross compiler
#   image   what else goes into the container image (certificates, time zones): used by the Dockerfile
#   container  a Docker engine, docker-compose, and what makes base images where no registry answers
#   arm64   the emulator in which the programs for arm64 are tested
#
# Says what it is about to install, does nothing (in well under a second) when all of it is there, never
# removes a package, and leaves no mail server running that was not running before.
set -euo pipefail

[ $# -gt 0 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 64; }
command -v apt-get >/dev/null || {
    echo "setup: no apt-get here; the package lists in $0 say what is needed" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "setup: neither root nor sudo; run as root: $*" >&2
        return 1
    fi
}

# clang's run-time library and llvm-symbolizer carry the version in the package name.
clang_version() {
    apt-cache show --no-all-versions clang 2>/dev/null | sed -n 's/^Depends:.*\bclang-\([0-9]\+\).*/\1/p'
}
clang_packages() {
    local v
    v=$(clang_version)
    if [ -z "$v" ]; then # a fresh machine has no package lists yet
        as_root apt-get -qq update
        v=$(clang_version)
    fi
    echo "clang clang-tidy clang-format libclang-rt-$v-dev llvm-$v"
}

cross_packages() {
    local host
    host=$(dpkg --print-architecture)
    case "${TARGET:-$host}" in
    "$host") ;;
    arm64) echo gcc-aarch64-linux-gnu libc6-dev-arm64-cross ;;
    amd64) echo gcc-x86-64-linux-gnu libc6-dev-amd64-cross ;;
    *) echo "setup: no cross compiler known for TARGET=$TARGET" >&2; return 1 ;;
    esac
}

build="gcc libc6-dev make pkg-config libuv1-dev libinih-dev libc-ares-dev libbearssl-dev uthash-dev"
wanted=
for mode in "$@"; do
    case "$mode" in
    build) wanted+=" $build" ;;
    run) wanted+=" swaks netcat-openbsd" ;;
    test)
        wanted+=" $build $(clang_packages) libcmocka-dev cppcheck shellcheck valgrind libc6-dbg strace"
        wanted+=" dovecot-core dovecot-lmtpd dovecot-imapd postfix pflogsumm swaks libnet-ssleay-perl fail2ban"
        wanted+=" curl openssl testssl.sh msmtp netcat-openbsd haproxy procps file binutils"
        wanted+=" python3 python3-pytest python3-pytest-timeout python3-pytest-xdist"
        # of tests/deploy: judges of YAML, JSON, AWS's and Kubernetes' APIs; Go with Helm's template functions and HCL
        wanted+=" yamllint jq python3-yaml python3-jsonschema python3-botocore python3-kubernetes"
        wanted+=" golang-go golang-github-masterminds-sprig-dev golang-github-hashicorp-hcl-v2-dev golang-k8s-sigs-yaml-dev"
        ;;
    static) wanted+=" gcc libc6-dev make cmake xz-utils uthash-dev binutils lld $(cross_packages)" ;;
    image) wanted+=" ca-certificates libc-bin tzdata" ;;
    container) wanted+=" docker.io docker-compose mmdebstrap busybox-static ca-certificates e2fsprogs iproute2 iptables mount" ;;
    arm64) wanted+=" qemu-user-static" ;;
    *) echo "setup: unknown mode $mode" >&2; exit 64 ;;
    esac
done

wanted=$(tr -s ' ' '\n' <<<"$wanted" | sort -u)
# shellcheck disable=SC2086 # one word per package
have=$({ dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null || true; } | sed -n 's/^installed //p' | sort)
mapfile -t missing < <(comm -23 <(sed '/^$/d' <<<"$wanted") <(echo "$have"))
[ ${#missing[@]} -gt 0 ] || exit 0

echo "setup: installing: ${missing[*]}"

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Postfix and Dovecot are here for their tools and for private instances: the packages must not open port
# 25 or 143 on this machine, now or at the next boot.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
    trap 'as_root rm -f $policy; rm -f "$log"' EXIT
fi

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1; }
apt update || true # one stale repository among the machine's own need not stop us; the next line tells
# --no-remove: on a machine with another mail server this stops here rather than replace it with Postfix.
if ! apt install --no-install-recommends --no-remove "${missing[@]}"; then
    cat "$log" >&2
    exit 1
fi

for p in postfix dovecot fail2ban; do
    case " ${missing[*]} " in *" $p "* | *" $p-core "*)
        [ ! -d /run/systemd/system ] || as_root systemctl disable --quiet "$p" || true ;;
    esac
done
echo "setup: done"
