"""Where the spools are."""

import contextlib
import os
import pathlib
import subprocess
import tempfile
import time


@contextlib.contextmanager
def folder():
    """
    (folder, in words): a file system of its own in a file, where that can be mounted, so that the machine's does not
    matter: ext4 without a journal, for one, takes ever longer to make a file the more were deleted lately.
    """
    with tempfile.TemporaryDirectory(prefix="mxgate-bench-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o755)  # Postfix's processes run as another user
        top = pathlib.Path(name) / "disk"
        top.mkdir()
        if not mounted(pathlib.Path(name) / "image", top):
            yield str(top), f"the file system of {name}"
            return
        try:
            yield str(top), "ext4 with a journal, in a file"
        finally:
            unmount(top)


def unmount(top):
    for options in ([], [], ["--lazy"]):
        done = subprocess.run(["umount", *options, str(top)], check=False, stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            return
        time.sleep(1)  # somebody has a last look at his files


def mounted(image, top):
    if os.geteuid() != 0:
        return False
    with open(image, "wb") as f:
        f.truncate(4 << 30)
    make = ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image)]
    for command in (make, ["mount", "-o", "loop", str(image), str(top)]):
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if done.returncode != 0:
            return False
    return True
