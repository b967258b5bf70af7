"""What is left to somebody who takes the daemon over: no privilege, no other program, no file but its own."""

import errno
import os
import pathlib
import signal
import socket
import stat
import subprocess

import pytest

from harness import intruder, mail, smtp_client, wait
from harness.gateway import clean_environment, healthcheck_binary

USER = 10025
LANDLOCK = (444, 445, 446)
SECCOMP = (317,)
FEW = "-all,+chown,+net_bind_service,+setgid,+setuid"

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
              pytest.mark.skipif(bool(os.environ.get("MXGATE_WRAPPER")), reason="valgrind cannot be confined")]
no_sanitizer = pytest.mark.skipif(bool(os.environ.get("ASAN_OPTIONS")), reason="a sanitizer cannot be confined")
intruders = pytest.mark.skipif(not intruder.works, reason="needs x86-64")


def send(gateway):
    token = mail.new_token()
    reply = smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com"], mail.message(token))
    assert reply.code == 250, reply
    return token


def status_of(task):
    return dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)


def tasks(gateway):
    return list(pathlib.Path(f"/proc/{gateway.pid}/task").iterdir())


@pytest.fixture
def confined(gateways, peer):
    """One that has used its threads: mail went through its queue."""
    def make(**settings):
        gateway = gateways(relay_transport=peer.transport, delivery_mode="queue",
                           **{"run_as_user": f"{USER}:{USER}", "sandbox": "yes", **settings})
        token = send(gateway)
        wait.until(lambda: peer.count(token) == 1, "the mail")
        return gateway
    return make


# --- what the kernel says of it

@pytest.mark.smoke
@no_sanitizer
@pytest.mark.parametrize("user", [USER, 0])
def test_no_thread_has_anything_left(user, confined):
    gateway = confined(run_as_user=f"{user}:{user}")
    assert len(tasks(gateway)) > 5, "the thread pool is at work"
    for task in tasks(gateway):
        status = status_of(task)
        assert status["Uid"].split() == status["Gid"].split() == [str(user)] * 4, status
        assert not status["Groups"].strip() or user == 0, status
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[name], 16) == 0, (name, status)
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status
    assert os.stat(f"/proc/{gateway.pid}/maps").st_uid == 0, "its own user may not look into its memory"
    limits = pathlib.Path(f"/proc/{gateway.pid}/limits").read_text()
    assert any(line.startswith("Max core file size") and line.split()[4:6] == ["0", "0"] for line in limits.splitlines())
    if user:
        owners = {path.lstat().st_uid for path in [gateway.spool, *gateway.spool.rglob("*")]}
        assert owners == {user}


# --- from inside

REFUSED = [
    (errno.EACCES, "open", b"/etc/shadow", os.O_RDONLY),
    (errno.EACCES, "open", b"/etc/passwd", os.O_RDONLY),
    (errno.EACCES, "open", b"/proc/self/environ", os.O_RDONLY),
    (errno.EACCES, "open", b"/", os.O_RDONLY | os.O_DIRECTORY),
    (errno.EACCES, "open", b"OUTSIDE/readable", os.O_RDONLY),
    (errno.EACCES, "open", b"OUTSIDE/new", os.O_WRONLY | os.O_CREAT, 0o600),
    (errno.EACCES, "openat", -100, b"SPOOL/../../../etc/passwd", os.O_RDONLY),
    (errno.EACCES, "mkdir", b"OUTSIDE/folder", 0o700),
    (errno.EACCES, "unlink", b"OUTSIDE/readable"),
    (errno.EACCES, "rename", b"SPOOL/overrides.lock", b"OUTSIDE/lock"),
    (errno.ENOSYS, "symlink", b"/etc", b"SPOOL/link"),
    (errno.ENOSYS, "chmod", b"OUTSIDE/readable", 0o4755),
    (errno.ENOSYS, "chmod", b"SPOOL/lock", 0o777),
    (errno.ENOSYS, "chown", b"SPOOL/lock", 0, 0),
    (errno.ENOSYS, "setuid", 0),
    (errno.ENOSYS, "kill", os.getpid(), 0),
    (errno.ENOSYS, "io_uring_setup", 8, 0),
    (errno.EPERM, "socket", socket.AF_INET, socket.SOCK_RAW, 1),
    (errno.EPERM, "socket", socket.AF_PACKET, socket.SOCK_RAW, 3),
    (errno.EPERM, "socket", socket.AF_NETLINK, socket.SOCK_RAW, 0),
    (errno.EPERM, "prctl", 4, 1),  # PR_SET_DUMPABLE
    (errno.EPERM, "mmap", 0, 4096, 7, 0x22, -1, 0),  # memory to write and to execute
]


def in_place(arguments, gateway, outside):
    return [a.replace(b"OUTSIDE", str(outside).encode()).replace(b"SPOOL", str(gateway.spool).encode())
            if isinstance(a, bytes) else a for a in arguments]


@pytest.mark.smoke
@no_sanitizer
@intruders
@pytest.mark.parametrize("user", [USER, 0])
def test_an_intruder_in_any_thread_is_refused(user, confined, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    for folder in outside.parents[:-2]:
        folder.chmod(0o755)
    (outside / "readable").write_text("for everybody")
    (outside / "readable").chmod(0o666)
    gateway = confined(run_as_user=f"{user}:{user}")
    gateway.run("postconf", "-e", "smtpd_banner=x", check=0)  # overrides.lock
    for tid in intruder.threads(gateway.pid):
        with intruder.Intruder(gateway.pid, tid) as thread:
            mine = thread.call("open", str(gateway.spool / "lock").encode(), os.O_RDONLY)
            assert mine >= 0, "what is its own it may open"
            assert thread.call("close", mine) == 0
            tcp = thread.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
            assert tcp >= 0 and thread.call("close", tcp) == 0
            for error, name, *arguments in REFUSED:
                got = thread.call(name, *in_place(arguments, gateway, outside))
                assert got == -error, f"{name} {arguments} in thread {tid}: {got}, {errno.errorcode[error]} wanted"
    assert sorted(os.listdir(outside)) == ["readable"]
    send(gateway)


DEADLY = [
    ("execve", b"/bin/true", 0, 0), ("execveat", -100, b"/bin/true", 0, 0, 0), ("fork",), ("vfork",),
    ("clone", signal.SIGCHLD, 0, 0, 0, 0), ("clone", 0x10000000 | 0x10f00, 0, 0, 0, 0),  # with CLONE_NEWUSER
    ("ptrace", 16, 1, 0, 0), ("process_vm_readv", 1, 0, 0, 0, 0, 0), ("unshare", 0x10000000), ("chroot", b"/tmp"),
    ("mount", b"none", b"/tmp", b"tmpfs", 0, 0), ("bpf", 0, 0, 0),
]


@no_sanitizer
@intruders
@pytest.mark.parametrize("call", DEADLY, ids=lambda call: call[0])
def test_an_intruder_who_starts_something_is_the_end(call, gateways, peer):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", run_as_user=str(USER), sandbox="yes")
    peer.down()
    token = send(gateway)
    process = gateway.process
    with pytest.raises(intruder.Killed) as end, intruder.Intruder(gateway.pid) as thread:
        thread.call(*call)
    assert end.value.args == (signal.SIGSYS,)
    process.returncode = -signal.SIGSYS  # the intruder's wait took it
    gateway._reap()
    peer.up()
    gateway.start()
    wait.until(lambda: peer.count(token) == 1, "the mail that was in custody")


# --- who starts it, and with what

def few_capabilities(gateway):
    """Root as a container has it that dropped all capabilities but the few that README names."""
    gateway.wrapper = ["setpriv", f"--bounding-set={FEW}", "--inh-caps=-all"]


@pytest.mark.smoke
def test_a_container_with_few_capabilities(gateways, peer):
    gateway = gateways(start=False, relay_transport=peer.transport, run_as_user=f"{USER}:{USER}", delivery_mode="queue",
                       listen=f"127.0.0.1:{low_port()}")
    few_capabilities(gateway)
    gateway.start()
    for _ in range(2):  # the second time the spool is not root's any more
        assert status_of(pathlib.Path(f"/proc/{gateway.pid}"))["Uid"].split() == [str(USER)] * 4
        peer.down()
        token = send(gateway)
        assert len(gateway.postqueue()) == 1
        assert b"accepts" in gateway.run("check", env=gateway.settings).stdout
        gateway.run("postconf", "-e", "smtpd_banner = $myhostname ESMTP few", check=0)
        gateway.run("sendmail", "alice@example.com", input=b"Subject: x\n\nlocal\n", check=0)
        for file in gateway.spool.rglob("*"):
            assert file.lstat().st_uid == USER, file
        assert "few" in smtp_client.Smtp(gateway.address).greeting.text
        done = subprocess.run([*gateway.wrapper, healthcheck_binary()], capture_output=True,
                              env=clean_environment({"queue_directory": gateway.spool}))
        peer.up()
        wait.until(lambda: peer.count(token) == 1, "the mail")
        gateway.wait_queue_empty()
        gateway.stop()
        assert done.returncode == 0, done
        gateway.start()


def low_port():
    """One that only root may take."""
    for port in range(1023, 600, -1):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no port below 1024 is free")


@pytest.mark.smoke
def test_started_as_that_user(gateways, peer, tmp_path):
    gateway = gateways(start=False, relay_transport=peer.transport, run_as_user=f"{USER}:{USER}")
    gateway.spool.mkdir()
    os.chown(gateway.spool, USER, USER)
    gateway.wrapper = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    gateway.start()
    token = send(gateway)
    assert peer.count(token) == 1
    gateway.run("postconf", "-e", "smtpd_banner=x", check=0)
    assert b"queue" in gateway.run("status", check=0).stdout


def test_another_user_cannot_become_it(gateways, peer):
    gateway = gateways(start=False, relay_transport=peer.transport, run_as_user=f"{USER}:{USER}")
    gateway.wrapper = ["setpriv", "--reuid=10026", "--regid=10026", "--clear-groups"]
    gateway.start(ready=False)
    assert gateway.wait_exit() == os.EX_OSERR
    assert gateway.grep("run_as_user is 10025:10025, but uid 10026 cannot become anybody else")


def test_root_is_told(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, run_as_user="")
    assert gateway.grep("WARN .*Running as root: set RUN_AS_USER=10025:10025")


@pytest.mark.parametrize("value", ["mail", "10025:", "-1", "4294967295", "10025:10025:1"])
def test_a_user_by_number_only(value, gateways, peer):
    gateway = gateways(start=False, relay_transport=peer.transport, run_as_user=value)
    gateway.start(ready=False)
    assert gateway.wait_exit() == os.EX_CONFIG
    assert gateway.grep("run_as_user.*is not a user by number")


# --- a spool of root's

def test_mail_in_a_spool_of_roots(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", run_as_user="")
    peer.down()
    tokens = [send(gateway) for _ in range(3)]
    gateway.run("postconf", "-e", "smtpd_banner=x", check=0)
    gateway.stop()
    gateway.settings["run_as_user"] = f"{USER}:{USER}"
    gateway.start()
    assert gateway.grep(r"‣ INFO  \d+ files and folders in \S+ now belong to uid 10025")
    peer.up()
    gateway.wait_queue_empty()
    assert all(peer.count(token) == 1 for token in tokens)
    gateway.stop()
    mark = len(gateway.lines)
    gateway.start()
    assert not any("now belong" in line for line in gateway.lines[mark:]), "there is nothing left to give"


@pytest.mark.parametrize("owner", [USER, 10026])
def test_names_that_lead_elsewhere_give_nothing_away(owner, gateways, peer, tmp_path):
    """Whoever could write into the spool put links into it; root must not give him what they lead to."""
    gateway = gateways(start=False, relay_transport=peer.transport, run_as_user=f"{USER}:{USER}")
    outside = gateway.directory / "outside"
    outside.mkdir()
    secret = outside / "secret"
    secret.write_text("root's")
    for folder in (gateway.spool, gateway.spool / "queue"):
        folder.mkdir()
        os.chown(folder, owner, owner)
    os.link(secret, gateway.spool / "queue" / "06401F3A9C2E7001")
    (gateway.spool / "corrupt").symlink_to(outside)
    (gateway.spool / "link").symlink_to(secret)
    os.mkfifo(gateway.spool / "fifo")
    deep = gateway.spool / "1" / "2" / "3" / "4"
    deep.mkdir(parents=True)
    mounted = gateway.spool / "mounted"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", mounted], check=True)
    try:
        (mounted / "file").write_text("another file system")
        gateway.start(ready=False)
        gateway.wait_log("names in .* keep their owner")
        assert gateway.wait_exit() == os.EX_OSERR  # corrupt/ is no folder of ours
        for path in (secret, outside, gateway.spool / "link", gateway.spool / "fifo", mounted, mounted / "file", deep):
            assert path.lstat().st_uid == 0, path
        assert gateway.spool.stat().st_uid == USER
        assert (gateway.spool / "1").stat().st_uid == USER
    finally:
        subprocess.run(["umount", "-l", mounted], check=True)


def test_a_spool_that_is_in_use_is_left_alone(gateways, peer):
    first = gateways(relay_transport=peer.transport, run_as_user="")
    second = gateways(start=False, directory=first.directory, relay_transport=peer.transport, run_as_user=str(USER))
    second.start(ready=False)
    assert second.wait_exit() == os.EX_OSERR
    assert {path.lstat().st_uid for path in first.spool.rglob("*")} == {0}
    send(first)


# --- the switch, and kernels that cannot

@no_sanitizer
def test_the_switch_is_loud(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, sandbox="no", run_as_user=str(USER))
    assert gateway.grep("WARN .*THE SANDBOX IS OFF")
    status = status_of(pathlib.Path(f"/proc/{gateway.pid}"))
    assert status["Seccomp"] == "0" and status["NoNewPrivs"] == "0" and int(status["CapEff"], 16) == 0


@no_sanitizer
@intruders
@pytest.mark.parametrize("missing,words", [(LANDLOCK, "no Landlock"), (SECCOMP, "seccomp")], ids=["landlock", "seccomp"])
def test_a_kernel_without(missing, words, gateways, peer):
    gateway = gateways(start=False, relay_transport=peer.transport, run_as_user=str(USER), sandbox="auto")
    gateway.before_exec = intruder.without(missing)
    gateway.start()
    assert gateway.grep(f"WARN .*The sandbox is not complete: .*{words}")
    assert peer.count(send(gateway)) == 1
    gateway.stop()
    gateway.settings["sandbox"] = "yes"
    gateway.start(ready=False)
    assert gateway.wait_exit() == os.EX_OSERR
    assert gateway.grep(f"ERROR sandbox=yes, but.*{words}")


# --- settings that change

@no_sanitizer
def test_reload_beyond_the_sandbox(gateways, peer, tmp_path):
    etc = tmp_path / "etc" / "mxgate"
    etc.mkdir(parents=True)
    ini = etc / "mxgate.ini"

    def replace(text):
        new = etc / "new"
        new.write_text(text)
        new.chmod(0o644)
        new.rename(ini)

    for folder in etc.parents[:-2]:
        folder.chmod(0o755)
    etc.chmod(0o755)
    replace(f"relay_transport = {peer.transport}\n")
    gateway = gateways(MXGATE_INI=ini, run_as_user=str(USER), sandbox="yes")
    replace(f"relay_transport = {peer.transport}\nsmtpd_banner = replaced\n")
    gateway.run("postfix", "reload", check=0)
    assert "replaced" in smtp_client.Smtp(gateway.address).greeting.text
    replace(f"relay_transport = maildir:{tmp_path}/maildir\n")
    done = gateway.run("postfix", "reload")
    assert done.returncode != 0
    gateway.wait_log("maildir is beyond the sandbox.*restart: the old settings stay in force")
    assert peer.count(send(gateway)) == 1
