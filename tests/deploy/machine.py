"""A make-believe Amazon Linux machine: a chroot with this machine's programs, and stand-ins for those that would change
a real one. Each stand-in writes its name and arguments to `calls`."""

import base64
import hashlib
import os
import pathlib
import shutil
import subprocess

from deployment import ROOT, read

STUBS = {
    "dnf": "", "mkswap": "", "systemctl": "",
    "swapon": 'echo "$1 file 1 0 -2" >>/proc/swaps',
    "mkfs.ext4": 'echo ext4 >/state/filesystem',
    "blkid": '[ ! -e /state/blkid ] || exit "$(cat /state/blkid)"; [ -e /state/filesystem ] || exit 2; cat /state/filesystem',
    "mountpoint": 'grep -qs " ${2} " /state/mounted',
    "mount": 'echo " $1 " >>/state/mounted',
    "uname": 'cat /state/architecture',
    "hostname": 'echo ip-192-0-2-1',
    # -o FILE URL, or URL to standard output; /web holds what there is
    "curl": '''out= url=
while [ $# -gt 0 ]; do case $1 in -o) out=$2; shift ;; http*) url=$1 ;; esac; shift; done
from=/web/${url##*/}; [ -e "$from" ] || { echo "curl: (22) 404" >&2; exit 22; }
if [ -n "$out" ]; then cp "$from" "$out"; else cat "$from"; fi''',
    "docker": '''case "$1 $2" in
"compose version") p=/usr/local/lib/docker/cli-plugins/docker-compose; [ -x $p ] && cat $p ;;
"inspect -f") cat /state/health ;;
"exec mxgate") cat /state/status ;;
esac''',
}


class Machine:
    def __init__(self, folder, architecture="aarch64"):
        self.root = pathlib.Path(folder)
        for name in ("stubs", "state", "web", "proc", "dev/disk/by-id", "tmp", "etc", "var", "usr/local", "usr/bin", "usr/sbin",
                     "usr/lib", "usr/lib64", "opt/aws/amazon-cloudwatch-agent/bin"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.root / name).symlink_to(f"usr/{name}")
        for name in ("calls", "proc/swaps", "etc/fstab", "dev/null", "dev/zero", "state/mounted"):
            (self.root / name).touch()
        for name, body in STUBS.items():
            self.stub(f"stubs/{name}", name, body)
        self.stub("opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl", "agent-ctl", "")
        self.set("architecture", architecture)
        self.publish("v2.40.0")

    def stub(self, path, name, body):
        (self.root / path).write_text(f'#!/bin/bash\necho "{name} $*" >>/calls\n{body}\n')
        (self.root / path).chmod(0o755)

    def set(self, name, text):
        (self.root / "state" / name).write_text(text)

    def publish(self, version, checksum=None):
        """Puts the plugin for both architectures into the web, with its checksum or another one."""
        for architecture in ("aarch64", "x86_64"):
            name = f"docker-compose-linux-{architecture}"
            text = version.removeprefix("v") + "\n"  # what the stand-in for docker prints of it
            (self.root / "web" / name).write_text(text)
            sha = checksum or hashlib.sha256(text.encode()).hexdigest()
            (self.root / "web" / f"{name}.sha256").write_text(f"{sha} *{name}\n")

    def attach(self, volume, filesystem=None):
        (self.root / f"dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume.replace('-', '')}").touch()
        if filesystem:
            self.set("filesystem", filesystem + "\n")

    def run(self, command):
        """In a mount namespace of its own; the machine's own folders are read only."""
        binds = " && ".join(f"mount --bind {p} {self.root}{p} && mount -o remount,bind,ro {self.root}{p}"
                            for p in ("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64") if os.path.isdir(p))
        devices = " && ".join(f"mount --bind {p} {self.root}{p}" for p in ("/dev/null", "/dev/zero"))
        return subprocess.run(
            ["unshare", "--mount", "/bin/bash", "-c", f'{binds} && {devices} && exec chroot {self.root} "$@"', "-", *command],
            env={"PATH": "/stubs:/usr/sbin:/usr/bin:/sbin:/bin", "RETRY_PAUSE": "0", "LC_ALL": "C.UTF-8"},
            capture_output=True, text=True, timeout=60, check=False)

    def boot(self, **settings):
        """Runs the user data that Terraform would make of these settings."""
        lines = ["#!/bin/bash"]
        for name, value in settings.items():
            lines.append(f"{name}=$(base64 -d <<<'{base64.b64encode(value.encode()).decode()}')")
        lines.append(read("deploy/ec2/user_data.sh"))
        (self.root / "user_data").write_text("\n".join(lines))
        (self.root / "calls").write_text("")
        return self.run(["/bin/bash", "/user_data"])

    def calls(self, word=""):
        return [line for line in (self.root / "calls").read_text().splitlines() if line.startswith(word)]

    def text(self, path):
        return (self.root / path.lstrip("/")).read_text(encoding="utf-8")

    def has(self, path):
        return (self.root / path.lstrip("/")).exists()


def usable():
    """Whether this machine lets us make such a chroot."""
    return os.geteuid() == 0 and shutil.which("unshare") is not None and \
        subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


assert (ROOT / "deploy/ec2/user_data.sh").exists()
