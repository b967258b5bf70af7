"""`mxgate check`, and what is said at start: the words of both, advice, what stops a start."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

from harness import certificates, smtp_client
from harness.gateway import binary, clean_environment
from harness.lmtp_peer import LmtpPeer

COMPOSE = {
    "ALLOW_EMPTY_SENDER_DOMAINS": "true",
    "ALLOWED_SENDER_DOMAINS": "",
    "POSTFIX_relay_transport": "lmtp:[192.0.2.53]:2525",
    "POSTFIX_inet_protocols": "ipv4",
    "POSTFIX_smtpd_recipient_restrictions": "permit_mynetworks, permit_sasl_authenticated, check_relay_domains, permit",
    "POSTFIX_smtpd_client_restrictions": "permit_mynetworks, permit_sasl_authenticated, permit",
    "POSTFIX_smtpd_sender_restrictions": "permit_mynetworks, permit_sasl_authenticated, permit",
    "POSTFIX_relay_domains": "example.com",
    "POSTFIX_message_size_limit": "26214400",
    "HOSTNAME": "mx.example.com",
    "DOMAIN": "example.com",
}
SHORT = {
    "RELAY_TRANSPORT": "lmtp:[192.0.2.53]:2525",
    "ALLOWED_DOMAINS": "example.com",
    "INET_PROTOCOLS": "ipv4",
    "HOSTNAME": "mx.example.com",
    "DOMAIN": "example.com",
}
APPLIED = "‣ INFO  Applying custom postfix setting: "


def check(*arguments, **variables):
    """Exit code and lines."""
    done = subprocess.run([binary(), "check", *map(str, arguments)], env={**clean_environment({}), **variables},
                          capture_output=True, timeout=30)
    assert done.stderr == b"" or done.returncode == 64, done
    return done.returncode, done.stdout.decode().splitlines()


@pytest.fixture
def spool(tmp_path):
    return str(tmp_path / "spool")


def test_compose_environment(spool):
    code, lines = check(**COMPOSE, QUEUE_DIRECTORY=spool)
    assert code == 0, lines
    assert APPLIED + "relay_transport=lmtp:[192.0.2.53]:2525" in lines
    assert not [line for line in lines if line.startswith("‣ ERROR")], lines
    assert not os.path.exists(spool), "check made something"


def test_short_form_means_the_same(spool):
    summary = [check(**form, QUEUE_DIRECTORY=spool)[1][-1] for form in (COMPOSE, SHORT)]
    assert summary[0] == summary[1]
    assert "mx.example.com accepts mail for example.com" in summary[0] and "lmtp:[192.0.2.53]:2525" in summary[0]


def test_compose_environment_starts(gateways, tmp_path):
    """The daemon itself, unmodified but for port and spool; and check says what it said."""
    environment = {**COMPOSE, "LISTEN": "127.0.0.1:0", "QUEUE_DIRECTORY": str(tmp_path / "spool")}
    gateway = gateways(start=False)
    gateway.settings = environment
    gateway.start()
    only_a_start_knows = ("Listening on", "Running as ", "The sandbox is ",
                          "self-signed certificate (EC) was made")
    said = [line for line in gateway.lines if line.startswith("‣") and not any(words in line for words in only_a_start_knows)]
    assert APPLIED + "relay_transport=lmtp:[192.0.2.53]:2525" in said
    assert check(**environment) == (0, said)


def test_boky_only_compose_environment(spool):
    """What the rest of that image's README has: each variable gets a word, none stops the start."""
    variables = ["XOAUTH2_CLIENT_ID", "XOAUTH2_SECRET_FILE", "MASQUERADED_DOMAINS", "SMTP_HEADER_CHECKS",
                 "DKIM_SELECTOR", "DKIM_AUTOGENERATE", "OPENDKIM_RequireSafeKeys", "RSPAMD_dkim_signing__use_esld",
                 "AUTOSET_HOSTNAME", "AUTOSET_HOSTNAME_SERVICES", "SKIP_ROOT_SPOOL_CHOWN", "FORCE_COLOR"]
    code, lines = check(**SHORT, QUEUE_DIRECTORY=spool, **{name: "hunter2" for name in variables})
    assert code == 0, lines
    for name in variables:
        told = [line for line in lines if f" {name} " in line or f" {name}=" in line]
        assert len(told) == 1 and "is ignored" in told[0], (name, lines)
    assert not [line for line in lines if "hunter2" in line], lines


def test_boky_logins(spool, tmp_path):
    """What that image needs to send through a provider, and to be logged in at: taken as it is, and not shown."""
    (tmp_path / "password").write_text("hunter2\n")
    code, lines = check(**SHORT, QUEUE_DIRECTORY=spool, RELAYHOST="[192.0.2.25]:587", RELAYHOST_USERNAME="ann",
                        RELAYHOST_PASSWORD_FILE=str(tmp_path / "password"), SASL_RELAYHOST="[192.0.2.25]:587",
                        LISTEN="25,587:submission", SMTPD_SASL_USERS="ann:hunter2,bob@example.com:hunter2")
    assert code == 0, lines
    assert not [line for line in lines if "is ignored" in line or "hunter2" in line], lines


@pytest.mark.parametrize("variables, word", [
    ({"POSTFIX_smtpd_milters": "inet:127.0.0.1:8891"}, "POSTFIX_smtpd_milters"),
    ({"POSTFIX_virtual_alias_maps": "hash:/etc/postfix/virtual"}, "POSTFIX_virtual_alias_maps"),
    ({"ALLOWED_DOMAINS": "http://example.com"}, "write the name in the URL only"),
    ({"RELAY_TRANSPORT": "lmtps:[192.0.2.1]"}, "it must begin with lmtp:"),
    ({"SMTPD_TIMEOUT": "soon"}, "smtpd_timeout"),
    ({"ALLOWED_DOMAINS": ""}, "No domain to take mail for"),
])
def test_refused_by_check_and_serve_alike(variables, word, gateways, spool):
    environment = {**SHORT, "QUEUE_DIRECTORY": spool, "LISTEN": "127.0.0.1:0", **variables}
    code, lines = check(**environment)
    assert code == 78
    assert [line for line in lines if line.startswith("‣ ERROR") and word in line], lines
    gateway = gateways(start=False)
    gateway.settings = environment
    gateway.start(ready=False)
    assert gateway.wait_exit() == 78
    assert [line for line in gateway.lines if line.startswith("‣ ERROR")] == \
        [line for line in lines if line.startswith("‣ ERROR")]


def test_ini_file(tmp_path):
    ini = tmp_path / "mxgate.ini"
    ini.write_text("[mxgate]\nrelay_domains = example.net\nrelay_transport = lmtp:[192.0.2.1]:24\nmyhostname = mx.example.net\n"
                   f"queue_directory = {tmp_path}/spool\nmax_idle = 10s\n")
    code, lines = check("-c", ini)
    assert code == 0, lines
    assert lines[0] == f"‣ INFO  {ini} line 6: max_idle has no meaning here and is ignored: one process does it all"
    assert "mx.example.net accepts mail for example.net" in lines[-1]
    ini.write_text("[mxgate]\nnonsense = 1\n")
    code, lines = check("-c", ini)
    assert code == 78 and any("nonsense is not a setting" in line for line in lines), lines
    code, lines = check("-c", tmp_path / "missing.ini")
    assert code == 78 and "missing.ini: No such file or directory" in lines[0], lines
    assert check("-c")[0] == 64 and check("now")[0] == 64


def test_spool_in_memory(gateways, peer):
    if subprocess.run(["stat", "-f", "-c", "%T", "/dev/shm"], capture_output=True, text=True).stdout.strip() != "tmpfs":
        pytest.skip("/dev/shm is no tmpfs")
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="mxgate-") as folder:
        spool = f"{folder}/not/yet/there"
        code, lines = check(**SHORT, QUEUE_DIRECTORY=spool)
        assert code == 0
        assert [line for line in lines if f"queue_directory {spool} is in memory (tmpfs)" in line
                and f'volumes: ["spool:{spool}"]' in line], lines


def test_spool_on_the_containers_layer(tmp_path):
    """An overlay, mounted as a container engine does it, below which the spool's folder is not there yet."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    done = subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                           f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work", tmp_path / "merged"],
                          capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"mounting an overlay is not permitted here: {done.stderr.strip()}")
    try:
        code, lines = check(**SHORT, QUEUE_DIRECTORY=f"{tmp_path}/merged/var/spool")
        assert code == 0
        assert [line for line in lines if "is in the container's own layer" in line], lines
    finally:
        subprocess.run(["umount", tmp_path / "merged"], check=True)


# Values that Postfix has by default and that stop a start here: with what the message says.
REFUSED_DEFAULTS = {
    "smtputf8_enable": "has a form of $ that is not supported",  # a comparison of compatibility levels
    "smtpd_relay_restrictions": "has a form of $ that is not supported",  # another
    "lmtp_connect_timeout": "is not a time from 100ms",  # 0: no limit
    "smtpd_forbidden_commands": "lookup tables are not supported",  # regexp:
}


def test_everything_set_to_what_postfix_has(spool):
    """The whole of `postconf -d` in the environment, as a runbook may have it: nothing else stops the start."""
    postconf = shutil.which("postconf", path=os.environ["PATH"] + ":/usr/sbin")
    if not postconf:
        pytest.skip("Postfix is not installed")
    with tempfile.TemporaryDirectory() as empty:
        pathlib.Path(empty, "main.cf").touch()
        listed = subprocess.run([postconf, "-c", empty, "-d"], capture_output=True, text=True, timeout=20).stdout
    parameters = dict(re.findall(r"^(\S+) = ?(.*)$", listed, re.M))
    assert len(parameters) > 700
    environment = {f"POSTFIX_{name}": value for name, value in parameters.items()}
    environment.update(POSTFIX_relay_transport="lmtp:[192.0.2.1]:24", POSTFIX_relay_domains="example.com",
                       POSTFIX_queue_directory=spool, POSTFIX_myhostname="mx.example.com")
    code, lines = check(**environment)
    errors = [line for line in lines if line.startswith("‣ ERROR")]
    for name, words in REFUSED_DEFAULTS.items():
        assert name not in parameters or [line for line in errors if f"POSTFIX_{name}: " in line and words in line], (name, errors)
    assert len(errors) == len(REFUSED_DEFAULTS.keys() & parameters), errors
    for name in REFUSED_DEFAULTS:
        environment.pop(f"POSTFIX_{name}", None)
    code, lines = check(**environment)
    assert code == 0, [line for line in lines if line.startswith("‣ ERROR")]
    unknown = [line for line in lines if "nor a parameter of Postfix" in line or "did you mean" in line]
    assert not unknown, unknown


def test_no_advice_where_all_is_well(spool, tmp_path):
    pair = certificates.make(tmp_path, "ec")
    code, lines = check(**SHORT, QUEUE_DIRECTORY=spool, MESSAGE_SIZE_LIMIT="1M", SMTPD_TLS_CHAIN_FILES=str(pair))
    assert code == 0
    assert not [line for line in lines if not line.startswith("‣ INFO")], lines


def test_more_than_the_disk(spool):
    code, lines = check(**SHORT, QUEUE_DIRECTORY=spool, MESSAGE_SIZE_LIMIT="1000G")
    assert code == 0
    assert [line for line in lines if "must stay free" in line and "make room" in line], lines


def test_relayhost_that_is_the_mail_store(spool):
    with_transport = {"ALLOWED_DOMAINS": "example.com", "HOSTNAME": "mx.example.com", "QUEUE_DIRECTORY": spool}
    store, relay = LmtpPeer(), LmtpPeer(protocol="smtp")
    try:
        for peer, is_store in ((store, True), (relay, False)):
            code, lines = check(**with_transport, RELAYHOST=f"[127.0.0.1]:{peer.port}")
            told = [line for line in lines if f"set RELAY_TRANSPORT=lmtp:[127.0.0.1]:{peer.port} and remove RELAYHOST" in line]
            assert code == 78 and bool(told) == is_store, lines
        code, lines = check(**with_transport, RELAYHOST=f"[127.0.0.1]:{store.port}", RELAY_TRANSPORT="lmtp:[192.0.2.1]:24")
        assert code == 0 and "relays for 127.0.0.0/8 [::1]/128 through [127.0.0.1]:" in lines[-1], lines
    finally:
        store.stop()
        relay.stop()


def test_relayhost_that_does_not_answer(spool):
    peer = LmtpPeer(delay={"greeting": 30})
    try:
        code, lines = check(ALLOWED_DOMAINS="example.com", HOSTNAME="mx.example.com", QUEUE_DIRECTORY=spool,
                            RELAYHOST=f"[127.0.0.1]:{peer.port}")
    finally:
        peer.stop()
    assert code == 78 and not [line for line in lines if "answers as LMTP" in line], lines


def test_secret_in_a_file(tmp_path, spool, gateways, peer):
    """ANONYMIZE_EMAILS may hold a salt, so it can be in a file (Docker and Kubernetes secrets)."""
    secret = tmp_path / "secret"
    secret.write_text("hash?salt=hunter2&prefix=<&suffix=>\n")
    code, lines = check(**SHORT, QUEUE_DIRECTORY=spool, ANONYMIZE_EMAILS_FILE=secret)
    assert code == 0, lines
    assert APPLIED + "anonymize_emails=(hidden)" in lines and not any("hunter2" in line for line in lines), lines
    gateway = gateways(relay_transport=peer.transport, POSTFIX_anonymize_emails_FILE=secret)
    assert smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com"], b"Subject: x\r\n\r\nx\r\n").code == 250
    gateway.wait_log(r"to=<<[0-9a-f]{64}>>, .*status=sent")
    secret.write_text("paranoid")
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_log("reload -- version")
    assert smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com"], b"Subject: x\r\n\r\nx\r\n").code == 250
    gateway.wait_log(r"to=<\*@\*\.com>, .*status=sent")


@pytest.mark.parametrize("variables, said", [
    ({"ANONYMIZE_EMAILS_FILE": "/nowhere/secret"}, "ANONYMIZE_EMAILS_FILE: /nowhere/secret: No such file or directory"),
    ({"ANONYMIZE_EMAILS_FILE": "/etc/hostname", "ANONYMIZE_EMAILS": "smart"},
     "ANONYMIZE_EMAILS and ANONYMIZE_EMAILS_FILE are both set; remove one of them"),
    ({"ANONYMIZE_EMAILS_FILE": "/dev/zero"}, "ANONYMIZE_EMAILS_FILE: /dev/zero: File too large"),
])
def test_secret_file_that_cannot_be_used(variables, said, spool):
    code, lines = check(**SHORT, QUEUE_DIRECTORY=spool, **variables)
    assert code == 78 and "‣ ERROR " + said in lines, lines
    environment = clean_environment({**SHORT, "QUEUE_DIRECTORY": spool, **variables})
    assert subprocess.run([binary(), "status"], env=environment, capture_output=True).returncode == 69, "commands work all the same"


def test_only_secrets_are_read_from_files(spool, tmp_path):
    """Nobody's RELAY_DOMAINS_FILE is opened: it is a name like any other."""
    file = tmp_path / "file"
    file.write_text("example.net")
    code, lines = check(**SHORT, QUEUE_DIRECTORY=spool, RELAY_DOMAINS_FILE=file)
    assert code == 0 and not any("example.net" in line for line in lines), lines
