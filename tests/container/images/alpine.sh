#!/usr/bin/env bash
# Makes a stand-in for an Alpine image from Debian's busybox, for machines that reach no registry of images:
#   alpine.sh TAG ARCH
# It has busybox under all its names, Alpine's users, and certificates; it has neither apk nor musl's loader.
# DOCKER_HOST says which engine.
set -euo pipefail
tag=$1 arch=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$folder/root

# Another machine's busybox: by private package lists, so that this machine's apt stays as it is.
foreign_busybox() {
    local state=(-o "APT::Architectures::=$arch" -o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache")
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    apt-get -qq "${state[@]}" update
    (cd "$folder" && apt-get -qq -o APT::Sandbox::User=root "${state[@]}" download "busybox-static:$arch" && dpkg-deb -x busybox-static_*.deb bb)
    mv "$folder"/bb/bin/busybox "$folder/busybox"
}
if [ "$arch" = "$(dpkg --print-architecture)" ]; then
    cp /bin/busybox "$folder/busybox"
else
    foreign_busybox >&2
fi

mkdir -p "$root"/{bin,sbin,dev,proc,sys,run,home,opt,srv,mnt,lib} "$root"/usr/{bin,sbin,lib,share} "$root"/usr/local/{bin,sbin} \
    "$root"/etc/ssl/certs "$root"/var/{cache,lib,log,spool}
mkdir -m 1777 "$root"/tmp "$root"/var/tmp
mkdir -m 700 "$root"/root
ln -s ../run "$root"/var/run
install -m 755 "$folder/busybox" "$root/bin/busybox"
for applet in $(/bin/busybox --list-full); do
    case $applet in bin/busybox | linuxrc | usr/bin/dpkg* | usr/bin/rpm*) continue ;; esac
    mkdir -p "$root/${applet%/*}"
    ln -sf /bin/busybox "$root/$applet"
done
cp /etc/ssl/certs/ca-certificates.crt "$root"/etc/ssl/certs/
ln -s certs/ca-certificates.crt "$root"/etc/ssl/cert.pem
printf 'NAME="Alpine Linux"\nID=alpine\nPRETTY_NAME="stand-in for Alpine Linux, made of Debian packages"\n' >"$root"/etc/os-release
printf '%s\n' root:x:0:0:root:/root:/bin/sh bin:x:1:1:bin:/bin:/sbin/nologin daemon:x:2:2:daemon:/sbin:/sbin/nologin \
    mail:x:8:12:mail:/var/mail:/sbin/nologin nobody:x:65534:65534:nobody:/:/sbin/nologin >"$root"/etc/passwd
printf '%s\n' root:x:0:root bin:x:1:root,bin,daemon daemon:x:2:root,bin,daemon tty:x:5: mail:x:12:mail \
    nogroup:x:65533: nobody:x:65534: >"$root"/etc/group
printf 'root:*::0:::::\nnobody:!::0:::::\n' >"$root"/etc/shadow
chmod 640 "$root"/etc/shadow
printf '127.0.0.1\tlocalhost\n::1\tlocalhost\n' >"$root"/etc/hosts
tar -C "$root" --numeric-owner --owner=0 --group=0 -cf "$folder/rootfs.tar" .
rm -rf "$root"
printf 'FROM scratch\nADD rootfs.tar /\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nCMD ["/bin/sh"]\n' \
    >"$folder/Dockerfile"
DOCKER_BUILDKIT=1 docker build -q --platform "linux/$arch" -t "$tag" "$folder"
