#!/bin/sh
# root.sh LAYER KEPT COMMAND...: runs COMMAND as root of what looks like this machine, whose changes go to LAYER alone: an
# overlay on /, in a mount namespace of its own, gone with it. KEPT is seen there as it is here, under the same name.
# So programs that cannot be installed beside Postfix are installed, and run, without a trace on the machine.
set -eu
layer=$1 kept=$2
shift 2
mkdir -p "$layer/up" "$layer/work" "$layer/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$layer/up,workdir=$layer/work" "$layer/root"
mount --bind /dev "$layer/root/dev"
mount -t proc proc "$layer/root/proc"
mkdir -p "$layer/root$kept"
mount --bind "$kept" "$layer/root$kept"
exec chroot "$layer/root" "$@"
