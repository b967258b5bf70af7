"""postfix, mxgate reload and mxgate stop: what an operator types, and what is answered."""

import os
import re
import signal
import subprocess
import time

import pytest

from harness import certificates, mail, smtp_client, wait
from harness.gateway import Gateway, binary, clean_environment

SCRIPT = "postfix/postfix-script: "


@pytest.fixture
def gateway(gateways, peer):
    return gateways(relay_transport=peer.transport)


def postfix(gateway, *arguments, env=None, **more):
    done = gateway.run(*arguments, argv0="postfix", env={**gateway.settings, **(env or {})}, **more)
    assert done.stdout == b"" or arguments == ("version",), done
    return done.returncode, done.stderr.decode()


@pytest.mark.smoke
def test_status(gateway):
    assert postfix(gateway, "status") == (0, f"{SCRIPT}the Postfix mail system is running: PID: {gateway.pid}\n")
    assert postfix(gateway, "-v", "-c", "/etc/postfix", "status")[0] == 0
    gateway.stop()
    assert postfix(gateway, "status") == (1, f"{SCRIPT}the Postfix mail system is not running\n")
    assert postfix(gateway, "status", env={"SYSLOG_NAME": "mx"}) == (1, "mx/postfix-script: the Postfix mail system is not running\n")


def test_without_the_daemon(gateway):
    gateway.stop()
    for command in ("stop", "abort", "reload", "quick-stop", "drain"):
        assert postfix(gateway, command) == (1, f"{SCRIPT}fatal: the Postfix mail system is not running\n")
    assert postfix(gateway, "flush") == (69, "postqueue: fatal: Cannot flush mail queue - mail system is down\n")
    code, said = postfix(gateway, "start")
    assert code == 1 and "mxgate serve" in said
    for command in ("reload", "stop"):
        done = gateway.run(command)
        assert done.returncode == 69 and done.stderr == b"mxgate: fatal: the mail system is down\n"


def test_usage(gateway):
    usage = ("Usage: postfix start (or stop, reload, abort, flush, check, status, set-permissions, upgrade-configuration, "
             "logrotate)\n")
    assert postfix(gateway, "nonsense") == (1, f"{SCRIPT}fatal: unknown command: 'nonsense'. {usage}")
    assert postfix(gateway) == (1, f"{SCRIPT}fatal: unknown command: ''. {usage}")
    assert postfix(gateway, "-Z")[0] == 1
    assert gateway.run("reload", "now").returncode == 64


def test_words_are_postfixs(gateway, tmp_path):
    """What does not need its daemon, typed at the real one, on a terminal: else it says nothing."""
    if os.geteuid() != 0 or not os.path.exists("/usr/sbin/postfix"):
        pytest.skip("needs Postfix, and root to run it")
    conf, spool = tmp_path / "conf", tmp_path / "spool"
    conf.mkdir()
    (spool / "pid").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (conf / "main.cf").write_text(f"compatibility_level = 3.6\nqueue_directory = {spool}\ndata_directory = {tmp_path}/data\n")
    (conf / "master.cf").write_text("")
    gateway.stop()
    for command in ("status", "stop", "abort", "reload", "nonsense"):
        terminal, tty = os.openpty()
        theirs = subprocess.run(["/usr/sbin/postfix", "-c", str(conf), command], stdin=subprocess.DEVNULL, stdout=tty, stderr=tty,
                                timeout=30, env={"PATH": os.environ["PATH"]})
        os.close(tty)
        words = os.read(terminal, 4096).decode().replace("\r\n", "\n")
        os.close(terminal)
        assert postfix(gateway, command) == (theirs.returncode, words)


def test_what_is_nothing_here(gateway):
    assert postfix(gateway, "set-permissions") == (0, "")
    assert postfix(gateway, "upgrade-configuration") == (0, "")
    assert postfix(gateway, "logrotate") == (1, f"{SCRIPT}fatal: not rotating '/dev/stdout'\n")
    done = gateway.run("version", argv0="postfix", check=0)
    assert done.stdout == gateway.run("version", check=0).stdout != b""


def test_check(gateway, tmp_path):
    pem = certificates.make(tmp_path, "ec")
    assert postfix(gateway, "check", env={"SMTPD_TLS_CHAIN_FILES": str(pem)}) == (0, "")
    code, said = postfix(gateway, "check", env={"MESSAGE_SIZE_LIMIT": "7", "POSTFIX_relay_domain": "x"})
    assert code == 1
    assert re.search(rf"^{SCRIPT}fatal: .*message_size_limit", said, re.M | re.I), said
    assert re.search(rf"^{SCRIPT}warning: POSTFIX_relay_domain is not a setting here", said, re.M), said
    assert postfix(gateway, "check", env={"MXGATE_INI": "/no/such/file"})[0] == 1


def test_flush(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no",
                       minimal_backoff_time="1h", maximal_backoff_time="1h")
    fault = peer.fail("dot", "4xx")
    smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com"], mail.message(mail.new_token()))
    gateway.wait_log("status=deferred")
    assert fault.hits == 1
    peer.lift()
    assert postfix(gateway, "flush") == (0, "")
    gateway.wait_queue_empty()


def test_not_for_everybody(gateway):
    """Another user of the container: no false word about a daemon that runs."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    os.chmod(gateway.directory, 0o755)

    def run(*command, text=b""):
        return subprocess.run([binary(), *command], env=clean_environment(gateway.settings), input=text, capture_output=True,
                              timeout=20, user=65534, group=65534)

    done = run("postfix", "status")
    assert done.returncode == 1 and b"cannot ask the Postfix mail system: " in done.stderr and b"Permission denied" in done.stderr, done
    done = run("sendmail", "alice@example.com", text=b"Subject: x\n\nhello\n")
    assert done.returncode == 75 and b"message not taken, try again later: " in done.stderr and b"Permission denied" in done.stderr, done
    done = run("sendmail", "-bs", text=b"QUIT\r\n")
    assert done.returncode == 75 and done.stdout.startswith(b"421 ") and b"Permission denied" in done.stderr, done


# --- reload

@pytest.fixture
def with_ini(gateways, peer, tmp_path):
    ini = tmp_path / "mxgate.ini"
    ini.write_text("smtpd_banner = first\n")
    return gateways(relay_transport=peer.transport, mxgate_ini=ini), ini


def banner(gateway):
    with smtp_client.Smtp(gateway.address, greeting=False) as client:
        return client.reply().text.removeprefix("220 ")


@pytest.mark.parametrize("name", ["postfix", "mxgate"])
def test_reload(name, with_ini):
    gateway, ini = with_ini
    assert banner(gateway) == "first"
    ini.write_text("smtpd_banner = second\n")
    if name == "postfix":
        assert postfix(gateway, "reload") == (0, f"{SCRIPT}refreshing the Postfix mail system\n")
    else:
        done = gateway.run("reload", env=gateway.settings, check=0)
        assert done.stdout == done.stderr == b""
    assert banner(gateway) == "second", "in force when the command ends"
    gateway.wait_log("postfix-script.*refreshing the Postfix mail system")


@pytest.mark.parametrize("name", ["postfix", "mxgate"])
def test_reload_that_fails_is_reported(name, with_ini):
    gateway, ini = with_ini
    # The command reads the settings, too, and takes no offence: they are the daemon's matter.
    ini.write_text("smtpd_banner = second\nmessage_size_limit = 7\n")
    if name == "postfix":
        code, said = postfix(gateway, "reload")
        assert code == 1
        assert re.fullmatch(f"{SCRIPT}refreshing the Postfix mail system\n{SCRIPT}fatal: the old settings stay in force: .*message_size_limit.*\n", said), said
    else:
        done = gateway.run("reload", env=gateway.settings)
        assert done.returncode == 78
        assert re.fullmatch(rb"mxgate: fatal: .*message_size_limit.*\n", done.stderr), done
    gateway.wait_log("the new settings cannot be used: the old ones stay in force")
    assert banner(gateway) == "first"


# --- stop

@pytest.mark.smoke
@pytest.mark.parametrize("command", ["stop", "abort", "mxgate stop"])
def test_stop(command, gateway):
    """The daemon is gone when the command ends, with exit code 0, as after SIGTERM."""
    if command == "mxgate stop":
        done = gateway.run("stop", check=0)
        assert done.stdout == done.stderr == b""
    else:
        assert postfix(gateway, command) == (0, f"{SCRIPT}stopping the Postfix mail system\n")
    assert gateway.wait_exit(2) == 0
    assert gateway.grep("postfix-script.*stopping the Postfix mail system")
    assert postfix(gateway, "status")[0] == 1


def test_stop_loses_nothing(gateways, peer):
    """A delivery that waits for the upstream's answer when the stop comes."""
    peer.delay["dot"] = 1.5
    gateway = gateways(relay_transport=peer.transport)
    token = mail.new_token()
    process = subprocess.Popen([binary(), "sendmail", "-i", "alice@example.com"], stdin=subprocess.PIPE,
                               env=clean_environment(gateway.settings))
    process.stdin.write(mail.message(token).replace(b"\r\n", b"\n"))
    process.stdin.close()
    wait.until(lambda: peer.open_connections(), "the delivery to begin")
    time.sleep(0.3)
    assert postfix(gateway, "stop")[0] == 0
    assert process.wait(10 * wait.SCALE) == 0, "it was taken"
    assert gateway.wait_exit(2) == 0
    peer.delay.clear()
    gateway.start()
    wait.until(lambda: peer.count(token) >= 1, "the mail")
    gateway.wait_queue_empty()


def test_stop_as_process_1(peer):
    """In a process namespace of its own, as in a container: the command says what ends with it."""
    wrapper = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0 or subprocess.run([*wrapper, "true"], capture_output=True).returncode != 0:
        pytest.skip("needs namespaces")
    gateway = Gateway(relay_transport=peer.transport)
    gateway.spool.mkdir(parents=True)
    # Inside, the shell is the first process and becomes the daemon; its child waits and types.
    script = f"(until {binary()} postfix status 2>/dev/null; do sleep 0.05; done; {binary()} postfix stop 2>{gateway.directory}/said) & exec {binary()} serve"
    process = subprocess.Popen([*wrapper, "sh", "-c", script], env=clean_environment(gateway.settings), stdout=subprocess.DEVNULL)
    try:
        assert process.wait(30 * wait.SCALE) == 0
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
    said = (gateway.directory / "said").read_text()
    assert said == (f"{SCRIPT}stopping the Postfix mail system\n"
                    f"{SCRIPT}warning: it is the main process of this container, which ends with it\n")
    gateway.remove()


# --- start

def test_start(gateway):
    assert postfix(gateway, "start") == (1, f"{SCRIPT}fatal: the Postfix mail system is already running\n")
    assert postfix(gateway, "start-fg") == (1, f"{SCRIPT}fatal: the Postfix mail system is already running\n")


def test_start_in_the_foreground(gateways, peer):
    """As compose files have it: command: postfix start-fg."""
    gateway = Gateway(relay_transport=peer.transport)
    link = gateway.directory / "postfix"
    link.symlink_to(binary())
    gateway.spool.mkdir(parents=True)
    process = subprocess.Popen([str(link), "start-fg"], env=clean_environment(gateway.settings), stdout=subprocess.PIPE)
    try:
        wait.until(lambda: b"daemon started" in process.stdout.readline(), "the daemon")
        assert postfix(gateway, "status") == (0, f"{SCRIPT}the Postfix mail system is running: PID: {process.pid}\n")
    finally:
        process.terminate()
        process.communicate(timeout=10 * wait.SCALE)
    assert process.returncode == 0
    gateway.remove()


def test_ps_shows_it(gateway):
    """`ps | grep mxgate` finds the daemon."""
    with open(f"/proc/{gateway.pid}/comm") as comm:
        assert comm.read() == "mxgate\n"
