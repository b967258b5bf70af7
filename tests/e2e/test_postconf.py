"""postconf: what it prints is what Postfix's prints (the installed one is run beside it), and what it sets is so at once,
over restarts, and not at all when it is wrong."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from harness import gateway as harness
from harness import mail, smtp_client, wait

ROOT = pathlib.Path(__file__).resolve().parents[2]
REFERENCE = next((p for p in ("/usr/sbin/postconf", "/usr/bin/postconf") if os.access(p, os.X_OK)), None)

# Parameters that both have, as an operator may write them.
VALUES = {
    "relay_domains": "example.com,  example.net\t.example.org",
    "relay_transport": "lmtp:[192.0.2.53]:2525",
    "smtpd_banner": "$myhostname   ESMTP ${mail_name} at $(mydomain) $$1",
    "myhostname": "mx.example.com",
    "mydomain": "example.com",
    "mynetworks": "",
    "syslog_name": "$mail_name",
    "mail_name": "a   b",
    "message_size_limit": "26214400",
}
LONG = " ".join(f"host{n}.example.com" for n in range(30)) + " " + "x" * 50 + "." + "x" * 50 + ".example.com example.org"
SAME_DEFAULT = ["smtpd_recipient_limit", "hopcount_limit", "line_length_limit", "minimal_backoff_time",
                "maximal_backoff_time", "maximal_queue_lifetime", "header_size_limit", "mail_name",
                "address_verify_positive_expire_time", "address_verify_negative_expire_time",
                "smtpd_helo_required", "lmtp_lhlo_name"]


class Postconf:
    """Both programs on the same values."""

    def __init__(self, directory):
        self.directory = directory
        self.values = {}

    def set(self, **values):
        self.values.update(values)
        text = "compatibility_level = 3.6\n" + "".join(f"{k} = {v}\n" for k, v in self.values.items())
        (self.directory / "main.cf").write_text(text)
        (self.directory / "master.cf").write_text("")

    def reference(self, *arguments):
        return subprocess.run(["postconf", "-c", str(self.directory), *arguments], executable=REFERENCE, capture_output=True,
                              text=True, timeout=20 * wait.SCALE)

    def ours(self, *arguments, name="postconf", **env):
        # empty: the ini file, since an empty variable is the default
        ini = self.directory / "mxgate.ini"
        ini.write_text("".join(f"{k} =\n" for k, v in self.values.items() if v == ""))
        environment = {f"POSTFIX_{k}": v for k, v in self.values.items() if v != ""}
        environment.update({"QUEUE_DIRECTORY": str(self.directory / "spool"), "MXGATE_INI": str(ini), **env})
        done = subprocess.run([name, *(["postconf"] if name == "mxgate" else []), *arguments], executable=harness.binary(),
                              env=harness.clean_environment(environment), capture_output=True, text=True,
                              timeout=20 * wait.SCALE)
        assert not harness.SANITIZER.search(done.stderr), done.stderr[-6000:]
        return done


@pytest.fixture
def both(tmp_path):
    if not REFERENCE:
        pytest.skip("Postfix is not installed")
    pair = Postconf(tmp_path)
    pair.set(**VALUES)
    return pair


@pytest.fixture
def alone(tmp_path):
    pair = Postconf(tmp_path)
    pair.set(relay_domains="example.com", relay_transport="lmtp:[192.0.2.53]:24")
    return pair


# ---- as the reference prints it

NAMES = list(VALUES)


@pytest.mark.parametrize("options", ["", "-h", "-H", "-p", "-x", "-xh", "-f", "-fh", "-fx", "-fH", "-C builtin", "-v"])
def test_shown_like_postfix(options, both):
    both.set(relay_domains=LONG)
    want = both.reference(*options.split(), *NAMES)
    got = both.ours(*options.split(), *NAMES)
    assert got.stdout == want.stdout and got.returncode == want.returncode == 0
    assert got.stderr == ""


@pytest.mark.parametrize("length", range(60, 70))
def test_folded_like_postfix(length, both):
    both.set(relay_domains="x" * 40 + "." + "x" * (length - 45) + ".org example.org")
    for options in ("-f", "-fh"):
        assert both.ours(options, "relay_domains").stdout == both.reference(options, "relay_domains").stdout


def test_only_what_is_set(both):
    """-n with names: those that are set; without: all that are, in the order of the alphabet."""
    asked = [*NAMES, "hopcount_limit", "smtpd_recipient_limit"]
    for options in ("-n", "-nh", "-nH", "-nx"):
        assert both.ours(options, *asked).stdout == both.reference(options, *asked).stdout
    ours = both.ours("-n").stdout.splitlines()
    assert [line for line in ours if not line.startswith("queue_directory")] == [
        line for line in both.reference("-n").stdout.splitlines()
        if line.split(" ")[0] not in ("compatibility_level", "config_directory")]


@pytest.mark.parametrize("options", ["-d", "-dh", "-dH", "-dx", "-df"])
def test_defaults_like_postfix(options, both):
    """Whatever is set."""
    both.set(smtpd_recipient_limit="7", hopcount_limit="8", mail_name="Postfix", myhostname="mx.example.com")
    names = [n for n in SAME_DEFAULT if n != "lmtp_lhlo_name" or "x" not in options]  # each has its own machine's name
    got = both.ours(options, *names)
    assert got.stdout == both.reference(options, *names).stdout
    assert got.stderr == "" and got.returncode == 0


def test_unknown_names(both):
    """A warning, and the exit code of success, with what is known between them."""
    asked = ["mail_name", "nosuch", "myhostname", "MAIL_NAME", "mail_name ", ""]
    for options in ((), ("-h",), ("-n",), ("-d",)):
        want, got = both.reference(*options, *asked), both.ours(*options, *asked)
        assert got.stderr == want.stderr and got.returncode == want.returncode == 0
        if options != ("-d",):  # each has its own idea of this machine's name
            assert got.stdout == want.stdout


def test_once_in_another_way(both):
    """-o: as if it were set."""
    for arguments in (["-o", "mail_name=x  y", "mail_name"], ["-xo", "mail_name = z", "syslog_name"],
                      ["-o", "mail_name=1", "-o", "mail_name=2", "mail_name"], ["-o", "mail_name", "mail_name"]):
        want, got = both.reference(*arguments), both.ours(*arguments)
        assert (got.stdout, got.stderr) == (want.stdout, want.stderr), arguments
        assert (got.returncode == 0) == (want.returncode == 0)
    assert not (both.directory / "spool").exists(), "nothing was kept"


@pytest.mark.parametrize("arguments", [
    ["-e"], ["-e", "foo"], ["-e", "foo bar = 3"], ["-e", "= 3"], ["-e", ""], ["-e", "#mail_name = 3"],
    ["-e", "mail_name = a\nb"], ["-e", "mail_name=a", "-h"], ["mail_name=a", "myhostname"],
    ["-X", ""], ["-X", "#mail_name"], ["-#", " "], ["-X", "mail_name=a"], ["-#", "mail_name=a"],
    ["-dn"], ["-nd", "mail_name"], ["-hH", "mail_name"], ["-ehH", "a=b"], ["-eX", "a"], ["-ne", "a=b"], ["-h", "a=b"],
    ["-d", "a=b"], ["-x", "a=b"], ["-ef", "a=b"], ["-o", "a=b", "-e", "c=d"], ["-C", "foo"], ["-C", "builtin,foo", "mail_name"],
], ids=repr)
def test_refused_in_the_same_words(arguments, both):
    want, got = both.reference(*arguments), both.ours(*arguments)
    assert got.stderr == want.stderr
    assert want.returncode == 1 and got.returncode == 64, "EX_USAGE"
    assert got.stdout == "" and not (both.directory / "spool").exists()


def test_set_like_postfix(both):
    """Afterwards both show the same."""
    spool = both.directory / "spool"
    for arguments in (["-e", "mail_name = one  two ", "syslog_name=x"], ["mail_name=3"], ["-e", " mail_name==b=c"],
                      ["-e", "mail_name=a", "mail_name=b"], ["-e", "mynetworks ="], ["-e", "relay_domains = $mydomain"],
                      ["-e", "smtpd_banner = # x ; y"], ["-p", "hopcount_limit=9"], ["-X", "hopcount_limit"],
                      ["-X", "hopcount_limit"], ["-e", "relay_domains = " + LONG]):
        want, got = both.reference(*arguments), both.ours(*arguments)
        assert (got.stdout, got.stderr, got.returncode) == (want.stdout, want.stderr, 0), arguments
        for options in ((), ("-x",)):
            asked = [*options, *NAMES, "hopcount_limit"]
            assert both.ours(*asked).stdout == both.reference(*asked).stdout, arguments
    assert spool.stat().st_mode & 0o777 == 0o700 and (spool / "overrides").stat().st_mode & 0o777 == 0o600


# ---- on its own

def test_every_setting(alone):
    """All of the table, sorted; and by the names of both programs."""
    lines = alone.ours().stdout.splitlines()
    names = [line.split(" ")[0] for line in lines]
    documented = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "SETTINGS.md").read_text(), re.M)
    assert names == sorted(documented)
    assert all(line.split(" ")[1] == "=" for line in lines)
    assert alone.ours("-p", name="mxgate").stdout.splitlines() == lines
    assert alone.ours("-H").stdout.splitlines() == names
    assert alone.ours("-C", "user").stdout == ""


@pytest.mark.parametrize("option,why", [("-M", "master.cf"), ("-F", "master.cf"), ("-P", "master.cf"), ("-a", "SASL"),
                                        ("-A", "SASL"), ("-b", "bounce"), ("-t", "bounce"), ("-l", "lock"), ("-m", "tables"),
                                        ("-Tcompile-version", "TLS")])
def test_what_mxgate_has_not(option, why, alone):
    done = alone.ours(option)
    assert done.returncode == 64 and done.stdout == ""
    assert re.fullmatch(rf"postconf: fatal: {option[:2]} is not supported: .*{why}.*\n", done.stderr)


def test_values_that_cannot_be_used(alone):
    """The default is shown, as that is what the daemon would have; and why."""
    done = alone.ours("-h", "hopcount_limit", HOPCOUNT_LIMIT="many")
    assert done.stdout == "50\n" and done.returncode == 0
    assert done.stderr.startswith('postconf: warning: HOPCOUNT_LIMIT: hopcount_limit "many" is not a whole number')
    assert done.stderr.count("\n") == 1


def test_host_name_by_default(alone):
    assert alone.ours("-dh", "myhostname", HOSTNAME="mx7.example.net", POSTFIX_myhostname="no.example.net").stdout == "mx7.example.net\n"


def test_output_that_cannot_be_written(alone):
    with open("/dev/full", "w") as full:
        done = subprocess.run([harness.binary(), "postconf"], stdout=full, stderr=subprocess.PIPE, text=True,
                              env=harness.clean_environment({}), timeout=20 * wait.SCALE)
    assert done.returncode == 74 and "cannot write" in done.stderr


def test_secrets_are_not_taken_for_values(alone):
    """$(postconf -h ...) of a secret gives a hint; it must not become the secret."""
    done = alone.ours("-e", "some_password = ***")
    assert done.returncode == 65 and "instead of a secret" in done.stderr


BAD = [
    ("smtpd_timeout = soon", 'smtpd_timeout "soon" is not a time'),
    ("relay_domains = exa mple..com", "is not a domain"),
    ("relay_domain = example.com", "relay_domain is not a setting; did you mean relay_domains?"),
    ("ALLOWED_DOMAINS = example.com", "did you mean relay_domains?"),
    ("nonsense_of_mine = 1", "is not a setting"),
    ("queue_directory = /tmp", "queue_directory cannot be overridden"),
    ("control_socket = /tmp/x", "control_socket cannot be overridden"),
    ("hopcount_limit =", "is not a whole number"),
    ("relay_transport =", "Nowhere to deliver mail to"),
    ("smtpd_banner = $smtpd_banner x", "refers to itself"),
    ("mail_name = a\x01b", "control character"),
]


@pytest.mark.parametrize("what,why", BAD, ids=[what for what, _ in BAD])
def test_a_bad_value_changes_nothing(what, why, alone):
    assert alone.ours("-e", "hopcount_limit = 7").returncode == 0
    before = (alone.directory / "spool" / "overrides").read_bytes()
    done = alone.ours("-e", "mail_name = good", what)
    assert done.returncode not in (0, 1) and done.stdout == ""
    assert why in done.stderr and done.stderr.startswith("postconf: fatal: ")
    assert (alone.directory / "spool" / "overrides").read_bytes() == before
    assert alone.ours("-h", "mail_name", "hopcount_limit").stdout == "Postfix\n7\n"


def test_removal_that_leaves_nothing_to_start_with(alone):
    """-X and -# are judged as well."""
    del alone.values["relay_domains"]
    assert alone.ours("-e", "relay_domains = example.net").returncode == 0
    for option in ("-X", "-#"):
        done = alone.ours(option, "relay_domains")
        assert done.returncode == 65 and "No domain to take mail for" in done.stderr
        assert alone.ours("-h", "relay_domains").stdout == "example.net\n"


def test_one_thing_after_the_other(alone):
    """As init scripts do: what is still missing meanwhile is said, and no reason to refuse."""
    alone.values.clear()
    done = alone.ours("-e", "relay_domains = example.com")
    assert done.returncode == 0 and "warning: Nowhere to deliver mail to" in done.stderr
    done = alone.ours("-e", "relay_transport = lmtp:[192.0.2.53]:24")
    assert done.returncode == 0 and done.stderr == ""
    assert alone.ours("-n", "relay_domains", "relay_transport").stdout == (
        "relay_domains = example.com\nrelay_transport = lmtp:[192.0.2.53]:24\n")


def test_back_to_the_default(alone):
    """-#: the default holds, whatever the environment says; -X then lets the environment speak again."""
    env = {"HOPCOUNT_LIMIT": "9"}
    alone.ours("-e", "hopcount_limit = 11", **env)
    assert alone.ours("-h", "hopcount_limit", **env).stdout == "11\n"
    assert alone.ours("-#", "hopcount_limit", **env).returncode == 0
    assert alone.ours("-h", "hopcount_limit", **env).stdout == "50\n"
    assert alone.ours("-n", "hopcount_limit", **env).stdout == ""
    assert alone.ours("-X", "hopcount_limit", **env).stderr == ""
    assert alone.ours("-h", "hopcount_limit", **env).stdout == "9\n"
    done = alone.ours("-X", "hopcount_limit", "nosuch", **env)
    assert done.returncode == 0
    assert done.stderr == ("postconf: warning: hopcount_limit is set by HOPCOUNT_LIMIT, not by postconf -e; remove it there\n"
                           "postconf: warning: nosuch: unknown parameter\n")
    # what nothing else sets needs no override to be at its default
    alone.ours("-e", "hopcount_limit = 11")
    alone.ours("-#", "hopcount_limit")
    assert "hopcount" not in (alone.directory / "spool" / "overrides").read_text()


def test_many_at_once(alone):
    """No edit is lost."""
    settings = [("hopcount_limit", "41"), ("smtpd_recipient_limit", "42"), ("smtpd_hard_error_limit", "43"),
                ("smtpd_junk_command_limit", "44"), ("queue_message_limit", "45"), ("smtpd_connection_limit", "46"),
                ("mail_name", "47"), ("syslog_name", "48")]
    threads = [threading.Thread(target=alone.ours, args=("-e", f"{n} = {v}")) for n, v in settings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alone.ours("-h", *[n for n, _ in settings]).stdout.split() == [v for _, v in settings]


def test_killed_at_any_moment(alone):
    """What is in force is whole: the value before, or the one after; and the next edit is not held up."""
    alone.ours("-e", "mail_name = value0 " + "x" * 900)
    environment = harness.clean_environment({"QUEUE_DIRECTORY": str(alone.directory / "spool")})
    # The look for leaks at its end, killed in the middle, leaves a report of nothing; alone.ours() has it.
    environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    command = [harness.binary(), "postconf", "-e"]
    begun = time.monotonic()
    subprocess.run([*command, "hopcount_limit = 40"], env=environment, check=True, capture_output=True)
    whole = time.monotonic() - begun
    rounds = 30
    for n in range(1, rounds + 1):
        process = subprocess.Popen([*command, f"mail_name = value{n} " + "x" * 900], env=environment, stderr=subprocess.DEVNULL)
        time.sleep(whole * n / rounds)
        process.kill()
        process.wait()
        shown = alone.ours("mail_name", "hopcount_limit")
        assert re.fullmatch(r"mail_name = value\d+ x{900}\nhopcount_limit = 40\n", shown.stdout), shown
        assert shown.stderr == ""
    assert alone.ours("-e", "mail_name = last").returncode == 0
    assert alone.ours("-h", "mail_name").stdout == "last\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_as_another_user(alone):
    """Who may not read the spool is told that what it sees may not be all; and may not edit."""
    alone.ours("-e", "relay_domains = example.net")
    os.chmod(alone.directory, 0o755)
    environment = harness.clean_environment({"QUEUE_DIRECTORY": str(alone.directory / "spool"), "ALLOWED_DOMAINS": "example.com"})

    def run(*arguments):
        return subprocess.run([harness.binary(), "postconf", *arguments], env=environment, cwd="/", user=65534, group=65534,
                              extra_groups=[], capture_output=True, text=True, timeout=20 * wait.SCALE)

    try:
        done = run("-h", "relay_domains")
    except PermissionError:
        pytest.skip("the program is not where every user may run it")
    assert done.returncode == 0 and done.stdout == "example.com\n"
    assert re.fullmatch(r"postconf: warning: \S+/spool(/overrides)?: Permission denied\n", done.stderr)
    done = run("-e", "relay_domains = example.org")
    assert done.returncode == 73 and done.stderr.endswith(": Permission denied\n")


# ---- with a daemon

def postconf(gateway, *arguments, **env):
    """With the daemon's own environment, as `docker exec` has it."""
    done = gateway.run("postconf", *arguments, env={**gateway.settings, **env})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def code(gateway, recipient):
    with smtp_client.Smtp(gateway.address) as client:
        client.cmd("MAIL FROM:<bob@example.org>")
        return client.cmd(f"RCPT TO:<{recipient}>").code


@pytest.mark.smoke
def test_a_new_domain_during_an_incident(gateways, peer):
    """The line of the runbook, typed into a shell, with the domains from ALLOWED_DOMAINS."""
    gateway = gateways(relay_transport=peer.transport, allowed_domains="example.com,example.net")
    assert code(gateway, "ann@example.org") == 554
    (gateway.directory / "postconf").symlink_to(harness.binary())
    environment = harness.clean_environment(gateway.settings)
    environment["PATH"] = f"{gateway.directory}:{environment['PATH']}"
    done = subprocess.run(["sh", "-ec", 'postconf -e "relay_domains = $(postconf -h relay_domains), example.org"'],
                          env=environment, capture_output=True, timeout=20 * wait.SCALE)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    token = mail.new_token()
    reply = smtp_client.send(gateway.address, "bob@example.org", ["ann@example.org"], mail.message(token))
    assert reply.code == 250, reply
    wait.until(lambda: peer.count(token) == 1, "the mail at the upstream")
    assert postconf(gateway, "relay_domains")[1] == "relay_domains = example.com,example.net, example.org\n"
    # dead, and alive again
    gateway.stop()
    assert postconf(gateway, "-h", "relay_domains")[1] == "example.com,example.net, example.org\n"
    mark = len(gateway.lines)
    gateway.start()
    assert code(gateway, "ann@example.org") == 250
    said = gateway.lines[mark:]
    assert ("‣ INFO  Override made by postconf -e: relay_domains=example.com,example.net, example.org "
            "(postconf -X relay_domains removes it)") in said
    assert "‣ WARN  postconf -e and ALLOWED_DOMAINS disagree about relay_domains; postconf -e counts" in said
    # and undone
    assert postconf(gateway, "-X", "relay_domains") == (0, "", "")
    assert code(gateway, "ann@example.org") == 554 and code(gateway, "ann@example.net") == 250


def test_a_bad_value_leaves_the_daemon_alone(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    assert postconf(gateway, "-e", "relay_domains = example.org")[0] == 0
    gateway.wait_log("reload -- version")
    before = (gateway.spool / "overrides").read_bytes()
    mark = len(gateway.lines)
    status, _, words = postconf(gateway, "-e", "relay_domains = a..b")
    assert status == 65 and '"a..b" is not a domain' in words
    assert (gateway.spool / "overrides").read_bytes() == before
    assert code(gateway, "ann@example.org") == 250 and code(gateway, "ann@example.com") == 554
    assert not [line for line in gateway.lines[mark:] if "reload" in line], "it was not even asked"


def test_settings_that_need_a_restart(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    status, _, words = postconf(gateway, "-e", "syslog_name = mx1", "mail_name = Frobnitz")
    assert status == 0
    assert words == "postconf: warning: syslog_name: kept, but it is read only at the start: restart mxgate to have it take effect\n"
    gateway.wait_log("syslog_name changed: that needs a restart")
    assert postconf(gateway, "-h", "syslog_name")[1] == "mx1\n"
    gateway.stop()
    mark = len(gateway.lines)
    assert postconf(gateway, "-e", "log_format = plain") == (0, "", ""), "a daemon that is down reads it anyway"
    gateway.start()
    assert [line for line in gateway.lines[mark:] if " mx1/master[" in line]


def test_refused_by_the_daemon(gateways, peer):
    """Its settings are broken by now (somebody edited the ini file): it takes nothing, so nothing is kept."""
    gateway = gateways(start=False, relay_transport=peer.transport)
    ini = gateway.directory / "mxgate.ini"
    gateway.settings["MXGATE_INI"] = ini
    ini.write_text("hopcount_limit = 30\n")
    gateway.start()
    assert postconf(gateway, "-e", "mail_name = first")[0] == 0
    before = (gateway.spool / "overrides").read_bytes()
    ini.write_text("hopcount_limit = lots\n")
    status, _, words = postconf(gateway, "-e", "relay_domains = example.org")
    assert status == 78
    assert "postconf: fatal: nothing was changed, since the running mail system refused it: " in words
    assert 'hopcount_limit "lots" is not a whole number' in words
    assert (gateway.spool / "overrides").read_bytes() == before
    assert code(gateway, "ann@example.org") == 554 and code(gateway, "ann@example.com") == 250
    ini.write_text("hopcount_limit = 30\n")
    assert postconf(gateway, "-e", "relay_domains = example.org")[0] == 0
    assert code(gateway, "ann@example.org") == 250


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_an_edit_while_the_daemon_starts(gateways, peer, monkeypatch):
    """It has read the overrides, and cannot be told yet: still it has the new ones by the time it serves."""
    if os.environ.get("MXGATE_WRAPPER"):
        pytest.skip("one wrapper at a time")
    monkeypatch.setenv("MXGATE_WRAPPER", "strace -D -f -qq -o /dev/null -e trace=bind -e inject=bind:delay_enter=1500000")
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    gateway = gateways(start=False, relay_transport=peer.transport)
    gateway.start(ready=False)
    gateway.wait_log("Applying custom postfix setting: relay_transport")
    assert postconf(gateway, "-e", "relay_domains = example.com, example.org") == (0, "", "")
    assert not (gateway.spool / "control.sock").exists(), "too late to show anything"
    wait.until(lambda: gateway.port, "the gateway to listen", 20)
    gateway.wait_log("Override made by postconf -e: relay_domains")
    assert code(gateway, "ann@example.org") == 250


def waits_on_a_socket(pid):
    proc = pathlib.Path(f"/proc/{pid}")
    asleep = (proc / "stat").read_text().rpartition(")")[2].split()[0] == "S"
    return asleep and any(os.readlink(fd).startswith("socket:") for fd in (proc / "fd").iterdir())


def test_a_daemon_that_does_not_answer(gateways, peer):
    """Whether it took them is not known, so they are kept, and it is said."""
    gateway = gateways(relay_transport=peer.transport)
    gateway.signal(signal.SIGSTOP)
    try:
        process = subprocess.Popen([harness.binary(), "postconf", "-e", "mail_name = later"], stderr=subprocess.PIPE, text=True,
                                   env=harness.clean_environment(gateway.settings))
        wait.until(lambda: (gateway.spool / "overrides").exists(), "the override to be written")
        assert process.poll() is None, "it waits for the daemon"
    finally:
        gateway.signal(signal.SIGCONT)
    assert process.wait(20 * wait.SCALE) == 0
    process.stderr.close()
    gateway.signal(signal.SIGSTOP)
    try:
        process = subprocess.Popen([harness.binary(), "postconf", "-e", "mail_name = never"], stderr=subprocess.PIPE, text=True,
                                   env=harness.clean_environment(gateway.settings))
        wait.until(lambda: waits_on_a_socket(process.pid), "postconf to have asked the daemon")
        gateway.kill()
        words = process.stderr.read()
        assert process.wait(20 * wait.SCALE) == 75
    finally:
        process.stderr.close()
    assert re.search(r"kept in \S+/spool/overrides, but the mail system did not say whether it took it", words)
    gateway.start()
    assert gateway.grep("Override made by postconf -e: mail_name=never")


def test_in_an_init_script(gateways, peer):
    """/docker-init.d: no spool yet, no daemon yet; what the script set is there from the first mail on."""
    gateway = gateways(start=False)
    gateway.settings.pop("allowed_domains")
    (gateway.directory / "postconf").symlink_to(harness.binary())
    environment = harness.clean_environment(gateway.settings)
    environment["PATH"] = f"{gateway.directory}:{environment['PATH']}"
    script = f"""
        postconf -e "relay_domains = example.org" "mail_name = $(postconf -dh mail_name) of ours"
        postconf -e 'relay_transport={peer.transport}'
        postconf 'smtpd_banner=$myhostname ESMTP $mail_name'
        """
    assert not gateway.spool.exists()
    subprocess.run(["sh", "-e", "-c", script], env=environment, check=True, timeout=30 * wait.SCALE)
    assert gateway.spool.stat().st_mode & 0o777 == 0o700
    gateway.start()
    with smtp_client.Smtp(gateway.address) as client:
        assert client.greeting.text.endswith("mx.example.com ESMTP Postfix of ours")
    token = mail.new_token()
    assert smtp_client.send(gateway.address, "bob@example.com", ["ann@example.org"], mail.message(token)).code == 250
    wait.until(lambda: peer.count(token) == 1, "the mail at the upstream")


def test_a_broken_file_stops_the_start(gateways, peer):
    """Settings that somebody made are not left out in silence; postconf -X mends it without a daemon."""
    gateway = gateways(start=False, relay_transport=peer.transport)
    gateway.spool.mkdir(parents=True)
    (gateway.spool / "overrides").write_text("mail_name = x\nhopcount_limit = lots\nmynetworks = 192.0.2.0/24\n")
    gateway.start(ready=False)
    assert gateway.wait_exit() == 78
    assert gateway.grep('ERROR postconf -e: hopcount_limit "lots" is not a whole number')
    assert postconf(gateway, "-X", "hopcount_limit") == (0, "", "")
    gateway.start()
    assert gateway.grep("Override made by postconf -e: mail_name=x")
    assert postconf(gateway, "-h", "mynetworks")[1] == "192.0.2.0/24\n"


def test_overrides_that_cannot_be_read(gateways, peer):
    """Their absence would go unseen, so the daemon does not start; the commands say so and go on."""
    gateway = gateways(start=False, relay_transport=peer.transport)
    (gateway.spool / "overrides").mkdir(parents=True)
    gateway.start(ready=False)
    assert gateway.wait_exit() == 78
    assert gateway.grep("ERROR .*/spool/overrides: Is a directory")
    status, out, words = postconf(gateway, "-h", "relay_domains")
    assert (status, out) == (0, "example.com\n") and "overrides: Is a directory" in words
    assert postconf(gateway, "-e", "mail_name = x")[0] == 78
    (gateway.spool / "overrides").rmdir()


def test_edits_under_load(gateways, peer, mode):
    """Settings change while mail comes in; each mail arrives once."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    tokens, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            token = mail.new_token()
            reply = smtp_client.send(gateway.address, "bob@example.org", ["ann@example.com"], mail.message(token))
            assert reply.code == 250, reply
            tokens.append(token)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(10):
        assert postconf(gateway, "-e", f"relay_domains = example.com, d{n}.example.net")[0] == 0
        assert code(gateway, f"x@d{n}.example.net") == 250
    stop.set()
    for thread in threads:
        thread.join()
    gateway.wait_queue_empty()
    wait.until(lambda: all(peer.count(t) == 1 for t in tokens), "each mail once")
    assert len(tokens) > 10


def test_parameters_of_postfix(alone):
    """What has no meaning here is said, taken, and not kept; what must not be ignored is refused."""
    done = alone.ours("-e", "max_idle = 5", "mail_name = x")
    assert done.returncode == 0 and done.stdout == ""
    assert re.fullmatch(r"postconf: warning: max_idle has no meaning here and is ignored: .*\n", done.stderr)
    assert alone.ours("-n", "mail_name").stdout == "mail_name = x\n"
    assert "max_idle" not in (alone.directory / "spool" / "overrides").read_text()
    done = alone.ours("-e", "smtpd_milters = inet:127.0.0.1:8891", "mail_name = y")
    assert done.returncode == 65
    assert done.stderr.startswith('postconf: fatal: smtpd_milters "inet:127.0.0.1:8891" is not supported and cannot be ignored: ')
    assert alone.ours("-h", "mail_name").stdout == "x\n"


def test_by_the_name_that_postfix_has(alone):
    """Shown under the name that was asked for, kept under ours, so that either removes it."""
    assert alone.ours("-e", "default_process_limit = 77").returncode == 0
    assert alone.ours("default_process_limit", "smtpd_connection_limit").stdout == (
        "default_process_limit = 77\nsmtpd_connection_limit = 77\n")
    assert alone.ours("-X", "default_process_limit").returncode == 0
    assert alone.ours("-n", "smtpd_connection_limit").stdout == ""
