"""STARTTLS and wrapped ports against real TLS peers: what is settled, what is forgotten, what cannot get in between, and
that whatever goes wrong with TLS ends that session and nothing else."""

import os
import pathlib
import re
import smtplib
import socket
import ssl
import subprocess
import threading
import time

import pytest

from harness import certificates, mail, smtp_client, wait
from harness.gateway import clean_environment, healthcheck_binary
from harness.lmtp_peer import LmtpPeer

PEER = r"unknown\[127\.0\.0\.1\]"
ESTABLISHED = rf"smtpd\[\d+\]: Anonymous TLS connection established from {PEER}: "
V12 = {"maximum_version": ssl.TLSVersion.TLSv1_2}
OLD = "DEFAULT:@SECLEVEL=0"  # Debian's OpenSSL does not speak TLSv1 and TLSv1.1 otherwise

AEAD = [f"ECDHE-{key}-{cipher}" for key in ("RSA", "ECDSA")
        for cipher in ("CHACHA20-POLY1305", "AES128-GCM-SHA256", "AES256-GCM-SHA384")]
CBC = [f"ECDHE-{key}-{cipher}" for key in ("RSA", "ECDSA") for cipher in ("AES128-SHA", "AES256-SHA")]
REFUSED = ["AES128-SHA", "AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256", "AECDH-AES128-SHA", "NULL-SHA256"]


@pytest.fixture(scope="module")
def chains(tmp_path_factory):
    top = tmp_path_factory.mktemp("certificates")
    return f"{certificates.make(top, 'rsa')}, {certificates.make(top, 'ec')}"


@pytest.fixture
def tls_gateway(gateways, peer, chains):
    """A gateway with both certificates that logs its TLS sessions."""
    def make(**settings):
        return gateways(**{"relay_transport": peer.transport, "smtpd_tls_chain_files": chains, "smtpd_tls_loglevel": 1,
                           **settings})
    return make


def connect(gateway, **options):
    """In clear text, whatever MXGATE_E2E_STARTTLS says."""
    return smtp_client.Smtp(gateway.address, tls=False, **options)


def serves(gateway):
    """Another client, by TLS."""
    token = mail.new_token()
    with connect(gateway) as client:
        client.starttls().hello()
        reply = client.mail("bob@example.org", ["alice@example.com"], mail.message(token))
    assert reply.code == 250, reply
    return token


def s_client(gateway, *arguments, said=b"QUIT\r\n"):
    """openssl s_client; all that it printed."""
    done = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{gateway.port}", "-crlf",
                           *arguments], input=said, capture_output=True, timeout=30 * wait.SCALE)
    return (done.stdout + done.stderr).decode(errors="replace")


# --- clients

@pytest.mark.smoke
def test_a_mail(tls_gateway, peer):
    gateway = tls_gateway(smtpd_tls_received_header="yes")
    token = mail.new_token()
    with connect(gateway) as client:
        assert "250-STARTTLS" in client.hello().lines
        client.starttls(smtp_client.context(**V12))
        assert "250-STARTTLS" not in client.hello().lines
        reply = client.mail("bob@example.org", ["alice@example.com"], mail.message(token))
        assert reply.code == 250, reply
        name, version, bits = client.sock.cipher()
        client.quit()
    body = peer.find(token)[0].body.decode()
    assert re.search(rf"\A(?:Return-Path.*\n)?Received: from client\.example\.net \(unknown \[127\.0\.0\.1\]\)\r\n"
                     rf"\t\(using {version} with cipher {name} \({bits}/{bits} bits\)\)\r\n"
                     rf"\t\(No client certificate requested\)\r\n"
                     rf"\tby mx\.example\.com \(Postfix\) with ESMTPS id [0-9A-F]+\r\n\tfor <alice@example\.com>; ", body), body
    gateway.wait_log(ESTABLISHED + re.escape(f"{version} with cipher {name} ({bits}/{bits} bits)") + "$")
    gateway.wait_log(rf"disconnect from {PEER} ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7$")


def test_swaks(tls_gateway, peer):
    gateway = tls_gateway()
    token = mail.new_token()
    done = subprocess.run(["swaks", "--server", f"127.0.0.1:{gateway.port}", "--tls", "--from", "bob@example.org", "--to",
                           "alice@example.com", "--header", f"X-Token: {token}"], capture_output=True, text=True,
                          timeout=30 * wait.SCALE)
    assert done.returncode == 0 and "TLS started" in done.stdout, done.stdout
    assert peer.count(token) == 1


def test_smtplib(tls_gateway, peer):
    gateway = tls_gateway()
    token = mail.new_token()
    with smtplib.SMTP(*gateway.address, timeout=30 * wait.SCALE) as client:
        client.starttls(context=smtp_client.context())
        client.sendmail("bob@example.org", ["alice@example.com"], mail.message(token))
        with pytest.raises(smtplib.SMTPNotSupportedError):
            client.starttls()
    assert peer.count(token) == 1


def test_openssl(tls_gateway, peer):
    gateway = tls_gateway()
    token = mail.new_token()
    said = (b"EHLO h\r\nMAIL FROM:<bob@example.org>\r\nrcpt to:<alice@example.com>\r\nDATA\r\n"
            + mail.message(token) + b".\r\nQUIT\r\n").replace(b"\r\n", b"\n")
    printed = s_client(gateway, "-quiet", said=said)
    assert "queued as" in printed and "221 2.0.0 Bye" in printed, printed
    assert peer.count(token) == 1


def test_the_certificate_made_at_first_start(gateways, peer):
    """Without any setting there is TLS."""
    gateway = gateways(relay_transport=peer.transport)
    printed = s_client(gateway)
    assert "New, TLSv1.2, Cipher is ECDHE-" in printed, printed
    assert peer.count(serves(gateway)) == 1


# --- versions and ciphers

@pytest.mark.parametrize("protocols, version, spoken", [
    ("", "TLSv1_2", "TLSv1.2"), ("", "TLSv1_1", None), ("", "TLSv1", None), ("", "TLSv1_3", None),
    (">=TLSv1", "TLSv1", "TLSv1"), (">=TLSv1", "TLSv1_1", "TLSv1.1"), (">=TLSv1", "TLSv1_2", "TLSv1.2"),
    (">=TLSv1.1", "TLSv1", None), ("TLSv1.1", "TLSv1_2", None),
])
def test_versions(protocols, version, spoken, tls_gateway):
    gateway = tls_gateway(smtpd_tls_protocols=protocols)
    made = smtp_client.context()
    made.set_ciphers(OLD)
    made.minimum_version = made.maximum_version = ssl.TLSVersion[version]
    with connect(gateway) as client:
        if spoken:
            client.starttls(made)
            assert client.cmd("NOOP").code == 250
            gateway.wait_log(ESTABLISHED + re.escape(spoken) + " with cipher ECDHE-")
            return
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.starttls(made)
    gateway.wait_log(rf"SSL_accept error from {PEER}: .*" + ("version" if version != "TLSv1_3" else "in common"))
    gateway.wait_log(rf"lost connection after STARTTLS from {PEER}$")
    gateway.wait_log(rf"disconnect from {PEER} starttls=0/1 commands=0/1$")


@pytest.mark.parametrize("grade, cipher, works", [("high", c, True) for c in AEAD] + [("high", c, False) for c in CBC]
                         + [("medium", c, True) for c in AEAD + CBC] + [("medium", c, False) for c in REFUSED])
def test_ciphers(grade, cipher, works, tls_gateway):
    gateway = tls_gateway(smtpd_tls_ciphers=grade)
    made = smtp_client.context(**V12)
    made.set_ciphers(cipher + ":@SECLEVEL=0")
    with connect(gateway) as client:
        if works:
            client.starttls(made)
            assert client.sock.cipher()[0] == cipher
            gateway.wait_log(ESTABLISHED + f"TLSv1.2 with cipher {cipher} ")
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                client.starttls(made)
            gateway.wait_log(rf"SSL_accept error from {PEER}: no cipher")


def test_old_peers_ciphers_come_with_old_versions(tls_gateway):
    """Whoever asks for TLSv1 means it: it has no other ciphers than those of medium grade."""
    gateway = tls_gateway(smtpd_tls_protocols=">=TLSv1")
    gateway.wait_log(r"smtpd_tls_protocols admits versions of TLS that are not safe any more")


@pytest.mark.parametrize("name", ["mx.example.com", "other.example.net", "a" * 63 + ".example.com", "xn--bcher-kva.example",
                                  "a.b.c.d.e.f.g.h", None])
def test_server_names(name, tls_gateway):
    gateway = tls_gateway()
    with connect(gateway) as client:
        client.starttls(server_name=name)
        assert client.cmd("NOOP").code == 250


def test_a_name_with_a_certificate_of_its_own(tls_gateway, tmp_path):
    """The log names it, as Postfix's does, and only it."""
    pem = certificates.make(tmp_path, "ec", name="other.example.net")
    gateway = tls_gateway(tls_server_sni_maps=f"inline:{{other.example.net={pem}}}")
    for name, shown in (("mx.example.com", ""), ("other.example.net", r" to other\.example\.net")):
        with connect(gateway) as client:
            client.starttls(server_name=name)
            assert name.encode() in client.sock.getpeercert(binary_form=True)
        gateway.wait_log(rf"TLS connection established from {PEER}{shown}: TLSv1\.2 with cipher ")
    assert len(gateway.grep("TLS connection established")) == 2


# --- what is forgotten, and what is not let in

@pytest.mark.parametrize("trickle", [False, True], ids=["whole", "byte by byte"])
def test_input_in_clear_text_is_never_run(trickle, tls_gateway, peer):
    """CVE-2011-0411: in one piece it is refused; what comes later is junk in the handshake."""
    gateway = tls_gateway()
    token = mail.new_token()
    injected = (b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n"
                + mail.message(token) + b".\r\n")
    with connect(gateway) as client:
        client.hello()
        try:
            for piece in [injected[i:i + 1] for i in range(len(injected))] if trickle else [injected]:
                client.send(piece)
        except OSError:
            pass  # it has hung up
        heard = b""
        try:
            while more := client.sock.recv(65536):
                heard += more
        except OSError:
            pass
    assert not re.search(rb"^250", heard, re.M), heard
    gateway.wait_log(rf"disconnect from {PEER} ehlo=1 starttls=0/1 commands=1/2$")
    serves(gateway)
    assert peer.count(token) == 0
    if not trickle:
        assert heard == b"554 5.5.0 Error: SMTP protocol synchronization\r\n"
        gateway.wait_log(rf"improper command pipelining after STARTTLS from {PEER}: EHLO evil")


def test_a_slice_that_ends_with_starttls(tls_gateway, peer):
    """The session is given 4096 bytes at a time: where one ends with STARTTLS, the rest is no less surplus."""
    gateway = tls_gateway()
    filler = b"NOOP " + b"x" * 500 + b"\r\n"
    head = filler * 8
    head += b"NOOP " + b"x" * (4096 - len(head) - 7 - 10) + b"\r\n"
    with connect(gateway) as client:
        client.hello()
        client.send(head + b"STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n")
        heard = b""
        try:
            while more := client.sock.recv(65536):
                heard += more
        except OSError:
            pass
    assert len(head) + 10 == 4096
    assert b"250 2.1.0" not in heard
    gateway.wait_log(r"disconnect from .* starttls=0/1 ")
    serves(gateway)


def test_input_during_a_pause(tls_gateway, peer):
    """A client that errs waits before its STARTTLS is run; what it sends meanwhile is surplus too."""
    gateway = tls_gateway(smtpd_soft_error_limit=1, smtpd_error_sleep_time="500ms", mynetworks="10.0.0.0/8")
    with connect(gateway) as client:
        assert client.cmd("NONSENSE").code == 500
        client.send(b"STARTTLS\r\n")
        time.sleep(0.1)  # while it sleeps: another write, not the same one
        client.send(b"EHLO evil\r\nMAIL FROM:<evil@example.org>\r\n")
        heard = b""
        try:
            while more := client.sock.recv(65536):
                heard += more
        except OSError:
            pass
    assert b"250" not in heard, heard
    gateway.wait_log(rf"disconnect from {PEER} starttls=0/1 unknown=0/1 commands=0/2$")
    serves(gateway)


def test_what_was_said_before_is_forgotten(tls_gateway):
    gateway = tls_gateway()
    with connect(gateway) as client:
        client.hello()
        client.envelope("bob@example.org", ["alice@example.com"])
        client.starttls()
        assert client.cmd("DATA").text == "503 5.5.1 Error: need RCPT command"
        assert client.cmd("STARTTLS").text == "554 5.5.1 Error: TLS already active"


# --- when the peer breaks off

def cut(client):
    """The connection ends, and TLS has not been told."""
    socket.socket(fileno=client.sock.detach()).close()


def begin(client, way):
    client.starttls().hello()
    client.envelope("bob@example.org", ["alice@example.com"])
    token = mail.new_token()
    message = mail.message(token)
    if way == "DATA":
        assert client.cmd("DATA").code == 354
        client.send(message)
    else:
        assert client.cmd(b"BDAT %d\r\n" % (len(message)) + message[:-2]).code == 250
        client.send(b"BDAT 1000 LAST\r\nsome of it\r\n")
    return token


@pytest.mark.parametrize("way", ["DATA", "BDAT"])
def test_truncation_is_no_end(way, tls_gateway, peer):
    """Without close_notify as with it: no message."""
    gateway = tls_gateway()
    with connect(gateway) as client:
        token = begin(client, way)
        cut(client)
    gateway.wait_log(rf"lost connection after {way} \(\d+ bytes\) from {PEER}$")
    with connect(gateway) as client:
        second = begin(client, way)
        client.sock.unwrap()
    wait.until(lambda: len(gateway.grep(rf"lost connection after {way} ")) == 2, "the second to be told")
    serves(gateway)
    assert peer.count(token) == peer.count(second) == 0
    assert gateway.postqueue() == []


@pytest.mark.parametrize("way", ["DATA", "BDAT"])
def test_clear_text_after_close_notify_is_not_read(way, tls_gateway, peer):
    """CVE-2026-45185 is the memory fault of it, a forged end of data the other."""
    gateway = tls_gateway()
    with connect(gateway) as client:
        token = begin(client, way)
        raw = client.sock.unwrap()
        try:
            raw.sendall(b"\r\n.\r\n" + b"x" * 2000 + b"\r\nQUIT\r\n")
            raw.settimeout(10 * wait.SCALE)
            while raw.recv(4096):
                pass
        except OSError:
            pass
    gateway.wait_log(rf"lost connection after {way} \(\d+ bytes\) from {PEER}$")
    serves(gateway)
    assert peer.count(token) == 0


def test_damaged_record(tls_gateway, peer):
    gateway = tls_gateway()
    with connect(gateway) as client:
        client.starttls().hello()
        raw = socket.socket(fileno=client.sock.detach())
        raw.sendall(b"\x17\x03\x03\x00\x30" + b"x" * 48)
        raw.settimeout(10 * wait.SCALE)
        while raw.recv(4096):
            pass
        raw.close()
    gateway.wait_log(rf"SSL_read error from {PEER}: \S")
    gateway.wait_log(rf"lost connection after EHLO from {PEER}$")
    serves(gateway)


# --- handshakes that are none

JUNK = {
    "plain text": b"EHLO client.example.net\r\n" * 3,
    "http": b"GET / HTTP/1.1\r\nHost: mx.example.com\r\n\r\n",
    "zeros": b"\0" * 300,
    "an oversized record": b"\x16\x03\x01\x7f\xff\x01" + b"a" * 40000,
    "an empty record": b"\x16\x03\x01\x00\x00" * 50,
    "no hello": b"\x16\x03\x01\x00\x08\x0b\x00\x00\x04aaaa",
    "SSLv2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\x01\x00\x80" * 15,
    "application data": b"\x17\x03\x03\x00\x20" + b"b" * 32,
    "an alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "close_notify": b"\x15\x03\x01\x00\x02\x01\x00",
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_junk(junk, tls_gateway):
    gateway = tls_gateway()
    with connect(gateway) as client:
        assert client.cmd("STARTTLS").code == 220
        try:
            client.send(junk)
            client.sock.shutdown(socket.SHUT_WR)
            while client.sock.recv(4096):
                pass
        except OSError:
            pass
    gateway.wait_log(rf"SSL_accept error from {PEER}: \S")
    gateway.wait_log(rf"lost connection after STARTTLS from {PEER}$")
    gateway.wait_log(rf"disconnect from {PEER} starttls=0/1 commands=0/1$")
    serves(gateway)


def client_hello():
    """What OpenSSL says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = smtp_client.context(**V12).wrap_bio(incoming, outgoing, server_hostname="mx.example.com")
    with pytest.raises(ssl.SSLWantReadError):
        made.do_handshake()
    return outgoing.read()


def test_half_a_handshake(tls_gateway):
    gateway = tls_gateway()
    hello = client_hello()
    for length in (0, 1, 5, 6, len(hello) - 1, len(hello)):
        with connect(gateway) as client:
            assert client.cmd("STARTTLS").code == 220
            client.send(hello[:length])
    wait.until(lambda: len(gateway.grep(rf"SSL_accept error from {PEER}: ")) == 6, "each to be told")
    serves(gateway)


def test_slow_handshakes_end(tls_gateway):
    """The deadline is for the whole handshake: bytes that dribble in do not prolong it."""
    gateway = tls_gateway(smtpd_starttls_timeout="1s")
    hello = client_hello()
    begun = time.monotonic()
    with connect(gateway) as silent, connect(gateway) as slow:
        assert silent.cmd("STARTTLS").code == slow.cmd("STARTTLS").code == 220
        slow.sock.settimeout(0.1)
        try:
            for i in range(len(hello)):
                slow.send(hello[i:i + 1])
                try:
                    if not slow.sock.recv(100):
                        break
                except TimeoutError:
                    pass
        except OSError:
            pass
        silent.sock.settimeout(10 * wait.SCALE)
        assert silent.sock.recv(100) == b""
    assert time.monotonic() - begun < 5 * wait.SCALE
    wait.until(lambda: len(gateway.grep(rf"SSL_accept error from {PEER}: Connection timed out$")) == 2, "both to be told")
    serves(gateway)


def test_a_client_that_does_not_like_the_certificate(tls_gateway):
    gateway = tls_gateway()
    with connect(gateway) as client, pytest.raises(ssl.SSLCertVerificationError):
        client.starttls(ssl.create_default_context())
    gateway.wait_log(rf"SSL_accept error from {PEER}: alert .*unknown ca")
    serves(gateway)


# --- limits

def test_session_limit(tls_gateway):
    gateway = tls_gateway(smtpd_tls_session_limit=2)
    with connect(gateway).starttls() as one, connect(gateway).starttls():
        with connect(gateway) as third:
            third.hello()
            assert third.cmd("STARTTLS").text == "454 4.7.0 TLS not available due to local problem"
            assert third.cmd("MAIL FROM:<bob@example.org>").code == 250  # in clear text, as it is opportunistic
            gateway.wait_log(rf"warning: Refusing STARTTLS request from {PEER}: smtpd_tls_session_limit is reached")
            one.close()
            gateway.wait_log(rf"disconnect from {PEER} starttls=1 commands=1$")
            third.starttls()
            assert third.cmd("NOOP").code == 250


def test_limit_where_tls_is_required(tls_gateway):
    """The client comes back: for a fault of ours nothing may bounce."""
    gateway = tls_gateway(smtpd_tls_session_limit=1, smtpd_tls_security_level="encrypt")
    with connect(gateway).starttls(), connect(gateway) as other:
        assert "250-STARTTLS" in other.hello().lines
        assert other.cmd("MAIL FROM:<bob@example.org>").text == "530 5.7.0 Must issue a STARTTLS command first"
        assert other.cmd("STARTTLS").text == "454 4.7.0 TLS not available due to local problem"
        assert other.cmd("MAIL FROM:<bob@example.org>").text == "454 4.7.0 TLS not available due to local problem"


def test_rate_limit(tls_gateway):
    """New sessions count, resumed ones do not."""
    gateway = tls_gateway(smtpd_client_new_tls_session_rate_limit=1, mynetworks="10.0.0.0/8")
    made = smtp_client.context(**V12)
    with connect(gateway) as first:
        first.starttls(made)
    with connect(gateway) as second:
        assert second.cmd("STARTTLS").text == f"454 4.7.0 Error: too many new TLS sessions from unknown[127.0.0.1]"
    gateway.wait_log(rf"warning: Refusing STARTTLS request from {PEER} for service smtp$")


# --- size and number

def test_a_large_message(tls_gateway, peer, mode):
    gateway = tls_gateway(delivery_mode=mode)
    token = mail.new_token()
    body = mail.message(token, size=25_000_000)
    with connect(gateway, timeout=120) as client:
        client.starttls().hello()
        assert client.mail("bob@example.org", ["alice@example.com"], body).code == 250
    wait.until(lambda: peer.count(token) == 1, "the message", 60)
    assert mail.without_trace(peer.find(token)[0].body) == body


def resident(gateway):
    text = pathlib.Path(f"/proc/{gateway.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


def test_many_sessions_at_once(gateways, chains):
    """200 handshakes, all open at the same time, then a mail in each."""
    count = 200
    with LmtpPeer(keep_bodies=False) as peer:
        gateway = gateways(relay_transport=peer.transport, smtpd_tls_chain_files=chains,
                           smtpd_client_connection_count_limit=0)
        before = resident(gateway)
        clients, failures = [], []

        def come():
            try:
                client = connect(gateway, timeout=120)
                clients.append(client)
                client.starttls().hello()
            except Exception as failure:  # shown below
                failures.append(failure)

        threads = [threading.Thread(target=come) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120 * wait.SCALE)
        assert not failures, failures[:3]
        each = (resident(gateway) - before) // count
        print(f"{each} bytes for a TLS session")
        if not os.environ.get("MXGATE_WRAPPER") and not os.environ.get("ASAN_OPTIONS"):
            assert each < 48_000  # 40 KB, and 8 that any session costs
        for client in clients:
            reply = client.mail("bob@example.org", ["alice@example.com"], mail.message(mail.new_token()))
            assert reply.code == 250, reply
        for client in clients:
            client.quit()
        assert peer.messages == count


# --- levels

def test_clear_text_where_tls_is_required(tls_gateway, peer):
    gateway = tls_gateway(smtpd_tls_security_level="encrypt")
    with connect(gateway) as client:
        client.hello()
        for command in ("MAIL FROM:<bob@example.org>", "RCPT TO:<alice@example.com>", "DATA", "RSET", "VRFY x"):
            assert client.cmd(command).text == "530 5.7.0 Must issue a STARTTLS command first", command
    assert peer.count(serves(gateway)) == 1
    done = subprocess.run([healthcheck_binary()], env=clean_environment({"queue_directory": gateway.spool}),
                          capture_output=True, timeout=30 * wait.SCALE)
    assert done.returncode == 0, done
    token = mail.new_token()
    done = gateway.run("sendmail", "-f", "bob@example.org", "alice@example.com", input=mail.message(token), check=0)
    wait.until(lambda: peer.count(token) == 1, "the mail of a local program")


def test_none(tls_gateway):
    gateway = tls_gateway(smtpd_tls_security_level="none")
    with connect(gateway) as client:
        assert "250-STARTTLS" not in client.hello().lines
        assert client.cmd("STARTTLS").text == "502 5.5.1 Error: command not implemented"


# --- wrapped ports

def check_wrapped(gateway, peer, address):
    token = mail.new_token()
    with smtp_client.Smtp(address, wrapped=True) as client:
        assert client.greeting.text == "220 mx.example.com ESMTP Postfix"
        assert "250-STARTTLS" not in client.hello().lines
        assert client.cmd("STARTTLS").text == "554 5.5.1 Error: TLS already active"
        assert client.mail("bob@example.org", ["alice@example.com"], mail.message(token)).code == 250
        client.quit()
    assert peer.count(token) == 1


def healthy(gateway):
    done = subprocess.run([healthcheck_binary()], env=clean_environment({"queue_directory": gateway.spool}),
                          capture_output=True, timeout=30 * wait.SCALE)
    assert done.returncode == 0, done
    return done.stdout.decode()


def test_wrappermode(tls_gateway, peer):
    gateway = tls_gateway(smtpd_tls_wrappermode="yes")
    check_wrapped(gateway, peer, gateway.address)
    gateway.wait_log("disconnect from")
    mark = len(gateway.lines)
    assert f"127.0.0.1:{gateway.port} is open" in healthy(gateway)
    with socket.create_connection(gateway.address):
        pass
    time.sleep(0.2)
    assert gateway.lines[mark:] == []  # health checks leave no line
    with socket.create_connection(gateway.address) as client:
        client.settimeout(10 * wait.SCALE)
        client.sendall(b"EHLO h\r\n")
        try:
            heard = client.recv(100)
        except ConnectionError:
            heard = b""
        assert not heard.startswith(b"2"), heard
    gateway.wait_log(rf"SSL_accept error from {PEER}: not TLS")
    gateway.wait_log(rf"lost connection after CONNECT from {PEER}$")


def test_one_wrapped_port(tls_gateway, peer):
    gateway = tls_gateway(listen="127.0.0.1:0:smtps, 127.0.0.1:0")
    ports = [int(port) for port in re.findall(r"Listening on 127\.0\.0\.1:(\d+)", gateway.log())]
    assert re.search(rf"Listening on 127\.0\.0\.1:{ports[0]}:smtps$", gateway.log(), re.M)
    check_wrapped(gateway, peer, ("127.0.0.1", ports[0]))
    token = mail.new_token()
    assert smtp_client.send(("127.0.0.1", ports[1]), "bob@example.org", ["alice@example.com"],
                            mail.message(token)).code == 250
    assert f"SMTP answers on 127.0.0.1:{ports[1]}" in healthy(gateway)


def test_too_many_on_a_wrapped_port(tls_gateway, peer):
    """421 cannot be said in clear text: it closes."""
    gateway = tls_gateway(smtpd_tls_wrappermode="yes", smtpd_client_connection_count_limit=1, mynetworks="10.0.0.0/8")
    with smtp_client.Smtp(gateway.address, wrapped=True):
        with socket.create_connection(gateway.address) as other:
            other.settimeout(10 * wait.SCALE)
            assert other.recv(100) == b""


# --- the way out

def test_shutdown_with_tls_sessions(tls_gateway):
    gateway = tls_gateway()
    with connect(gateway).starttls() as idle, connect(gateway) as half:
        assert half.cmd("STARTTLS").code == 220
        assert gateway.stop() < 3 * wait.SCALE
        assert idle.reply().text == "421 4.3.2 mx.example.com Service shutting down"
        assert half.sock.recv(100) == b""
