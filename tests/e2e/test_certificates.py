"""Certificates that clients are shown: self-signed, by what the client offers, by the name it asks for, and renewed while
mail comes in."""

import hashlib
import os
import re
import signal
import ssl
import subprocess
import threading

from harness import certificates, mail, wait
from harness.gateway import Gateway, clean_environment, healthcheck_binary
from harness.smtp_client import Smtp

RSA, EC = "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"


def s_client(gateway, *options):
    """What openssl s_client says of a handshake."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port}", "-starttls", "smtp", "-tls1_2",
                           *options], input=b"QUIT\r\n", capture_output=True, timeout=20 * wait.SCALE)
    return done.stdout.decode() + done.stderr.decode()


def shown(gateway, *options):
    """The subject of the certificate, and the kind of its key."""
    said = s_client(gateway, *options)
    subject = re.search(r"^subject=.*CN = (\S+)", said, re.M)
    kind = re.search(r"^Peer signature type: (\S+)", said, re.M)
    assert subject and kind, said
    return subject.group(1), {"RSA": "RSA", "RSA-PSS": "RSA", "ECDSA": "EC"}[kind.group(1)]


def fingerprint(gateway, made=None):
    with Smtp(gateway.address, tls=False) as client:
        client.hello()
        client.starttls(made)
        return hashlib.sha256(client.sock.getpeercert(binary_form=True)).hexdigest()


def put(source, target):
    """As renewals are done: another file takes the name."""
    new = target.with_suffix(".new")
    new.write_bytes(source.read_bytes())
    new.chmod(0o600)
    os.replace(new, target)


def start(gateways, peer, **settings):
    return gateways(relay_transport=peer.transport, **settings)


def healthcheck(gateway):
    return subprocess.run([healthcheck_binary()], env=clean_environment({"queue_directory": gateway.spool}),
                          capture_output=True, timeout=20 * wait.SCALE)


def test_self_signed_at_the_first_start(peer, gateways, tmp_path):
    gateway = start(gateways, peer, directory=tmp_path, hostname="first.example.com", mydomain="example.com")
    assert gateway.grep(r"INFO  A self-signed certificate \(EC\) was made for first.example.com")
    assert gateway.grep(r"WARN  No certificate of a CA is set: senders that verify \(MTA-STS\) do not deliver")
    assert shown(gateway, "-cipher", EC) == ("first.example.com", "EC")
    gateway.wait_log(r"A self-signed certificate \(RSA\) was made for first.example.com")
    assert shown(gateway, "-cipher", RSA) == ("first.example.com", "RSA")
    kept = sorted((gateway.spool / "tls").iterdir())
    assert [p.name for p in kept] == ["self-signed-ec.pem", "self-signed-rsa.pem"]
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in kept)
    for p in kept:
        subprocess.run(["openssl", "verify", "-verify_hostname", "example.com", "-CAfile", p, p], check=True,
                       capture_output=True)
    before = [p.read_bytes() for p in kept]
    gateway.stop()
    gateway.start()
    assert shown(gateway, "-cipher", RSA) == ("first.example.com", "RSA")
    assert [p.read_bytes() for p in kept] == before
    assert len(gateway.grep("was made for")) == 2
    status = gateway.ask_status()
    assert [(c["key"], c["self_signed"], c["state"]) for c in status["certificates"]] == [
        ("RSA", True, "good"), ("EC", True, "good")]


def test_a_key_is_made_while_mail_comes_in(peer, gateways, tmp_path):
    """The 220 does not wait for the RSA key."""
    gateway = start(gateways, peer, directory=tmp_path, hostname="second.example.com")
    with Smtp(gateway.address, tls=False) as client:
        client.hello()
        client.starttls()
        client.hello()
        assert client.mail("bob@example.net", ["ann@example.com"], mail.message(mail.new_token())).code == 250
    gateway.wait_log(r"certificate \(RSA\) was made")


def test_rsa_and_ec_by_what_the_client_offers(peer, gateways, tmp_path):
    rsa, ec = certificates.make(tmp_path, "rsa"), certificates.make(tmp_path, "ec")
    gateway = start(gateways, peer, smtpd_tls_chain_files=f"{rsa}, {ec}")
    assert shown(gateway, "-cipher", RSA) == ("mx.example.com", "RSA")
    assert shown(gateway, "-cipher", EC) == ("mx.example.com", "EC")
    assert shown(gateway, "-sigalgs", "RSA+SHA256") == ("mx.example.com", "RSA")
    assert shown(gateway, "-sigalgs", "ECDSA+SHA256") == ("mx.example.com", "EC")
    assert not (gateway.spool / "tls").exists()


def test_a_chain_is_sent_in_order(peer, gateways, tmp_path):
    """Three certificates, the wrong way round in the file; a client that knows the root alone is content."""
    subprocess.run(r"""set -e
        req() { openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -subj /CN=$2 "${@:3}"; }
        req root root.example.com -x509 -out root.pem -days 90
        req sub sub.example.com -out sub.csr
        printf 'basicConstraints=critical,CA:TRUE\n' >ca
        openssl x509 -req -in sub.csr -CA root.pem -CAkey root.key -CAcreateserial -days 60 -extfile ca -out sub.pem
        req mx mx.example.com -out mx.csr
        printf 'subjectAltName=DNS:mx.example.com\n' >san
        openssl x509 -req -in mx.csr -CA sub.pem -CAkey sub.key -CAcreateserial -days 30 -extfile san -out mx.pem
        cat sub.pem mx.pem mx.key >chain.pem; chmod 600 chain.pem
        """, shell=True, executable="/bin/bash", cwd=tmp_path, check=True, capture_output=True)
    gateway = start(gateways, peer, smtpd_tls_chain_files=tmp_path / "chain.pem")
    assert gateway.grep("WARN  TLS certificate: .*chain.pem: the certificates are in the wrong order")
    said = s_client(gateway, "-CAfile", str(tmp_path / "root.pem"), "-verify_hostname", "mx.example.com",
                    "-verify_return_error")
    assert "Verify return code: 0 (ok)" in said, said
    verifier = ssl.create_default_context(cafile=tmp_path / "root.pem")
    fingerprint(gateway, verifier)


def test_names_have_their_own(peer, gateways, tmp_path):
    default, other, below = (certificates.make(tmp_path, "ec", name) for name in
                             ("mx.example.com", "mx.example.net", "wild.example.org"))
    gateway = start(gateways, peer, smtpd_tls_chain_files=default,
                    tls_server_sni_maps=f"inline:{{ mx.example.net={other}, .example.org={below} }}")
    for asked, want in (("mx.example.com", "mx.example.com"), ("mx.example.net", "mx.example.net"),
                        ("MX.Example.NET", "mx.example.net"), ("a.b.example.org", "wild.example.org"),
                        ("example.org", "mx.example.com"), ("unknown.example", "mx.example.com")):
        assert shown(gateway, "-servername", asked)[0] == want, asked
    assert shown(gateway, "-noservername")[0] == "mx.example.com"


class Load(threading.Thread):
    """One client after the other, each with a handshake and a mail of its own."""

    def __init__(self, gateway, number):
        super().__init__(daemon=True)
        self.gateway, self.number, self.ended, self.sessions = gateway, number, False, 0
        self.seen, self.failure = set(), None

    def run(self):
        try:
            while not self.ended:
                with Smtp(self.gateway.address, tls=False) as client:
                    client.hello()
                    client.starttls()
                    self.seen.add(hashlib.sha256(client.sock.getpeercert(binary_form=True)).hexdigest())
                    client.hello()
                    reply = client.mail("bob@example.net", ["ann@example.com"], mail.message(mail.new_token()))
                    assert reply.code == 250, reply
                    client.quit()
                self.sessions += 1
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure


def test_renewals_under_load(peer, gateways, tmp_path):
    """No session fails, those under way go on, and new ones get the new certificate."""
    pairs = [certificates.make(tmp_path, kind, name) for kind in ("rsa", "ec") for name in
             ("mx.example.com", "mx2.example.com")]
    chain = tmp_path / "chain.pem"
    put(pairs[0], chain)
    gateway = start(gateways, peer, smtpd_tls_chain_files=chain, tls_reload_interval="100ms")
    held = Smtp(gateway.address, tls=False)
    held.hello()
    held.starttls()
    loads = [Load(gateway, i) for i in range(4)]
    for load in loads:
        load.start()
    for turn in range(1, 9):
        put(pairs[turn % 4], chain)
        if turn % 2:
            gateway.signal(signal.SIGHUP)
        wait.until(lambda turn=turn: len(gateway.grep("INFO postfix/tlsmgr.*TLS certificate for clients")) >= turn,
                   lambda: "the new certificate to be used:\n" + gateway.tail(), 10)
        done = [load.sessions for load in loads]
        wait.until(lambda done=done: any(load.failure for load in loads)
                   or all(load.sessions > n for load, n in zip(loads, done)), "sessions with it", 20)
    for load in loads:
        load.ended = True
    for load in loads:
        load.join(20 * wait.SCALE)
    assert [load.failure for load in loads] == [None] * 4
    assert len(set().union(*(load.seen for load in loads))) == 4
    held.hello()
    assert held.mail("bob@example.net", ["ann@example.com"], mail.message(mail.new_token())).code == 250
    held.close()
    assert not gateway.grep("cannot be used")


def test_a_bad_renewal_changes_nothing_and_is_said(peer, gateways, tmp_path):
    good, other = certificates.make(tmp_path, "ec"), certificates.make(tmp_path, "ec", "mx2.example.com")
    chain, key = tmp_path / "x.crt", tmp_path / "x.key"
    put(good.with_suffix(".crt"), chain)
    put(good.with_suffix(".key"), key)
    gateway = start(gateways, peer, smtpd_tls_cert_file=chain, smtpd_tls_key_file=key, tls_reload_interval="100ms")
    before = fingerprint(gateway)
    put(other.with_suffix(".crt"), chain)
    line = gateway.wait_log("warning: TLS certificate cannot be used")
    assert "x.key: the private key does not fit the certificate" in line
    assert line.endswith("; the certificate of before stays in use")
    assert fingerprint(gateway) == before
    assert "CERTIFICATE NOT USABLE: " in gateway.run("status", check=0).stdout.decode()
    assert "does not fit the certificate" in gateway.ask_status()["certificate_trouble"]
    checked = healthcheck(gateway)
    assert checked.returncode == 0
    assert b"a certificate cannot be used" in checked.stdout
    put(other.with_suffix(".key"), key)
    gateway.wait_log("INFO postfix/tlsmgr.*TLS certificate for clients: mx2.example.com")
    assert fingerprint(gateway) != before
    assert len(gateway.grep("cannot be used")) == 1
    assert gateway.ask_status()["certificate_trouble"] == ""


def test_started_with_bad_files(peer, gateways, tmp_path):
    """Mail is encrypted all the same, and the right files are taken as soon as they are there."""
    good = certificates.make(tmp_path, "ec", "late.example.com")
    chain = tmp_path / "x.pem"
    gateway = start(gateways, peer, smtpd_tls_chain_files=chain, tls_reload_interval="100ms")
    assert gateway.grep("WARN  TLS certificate cannot be used: .*x.pem: there is no such file; mount it")
    assert shown(gateway, "-cipher", EC) == ("mx.example.com", "EC")
    put(good, chain)
    gateway.wait_log("TLS certificate for clients: late.example.com")
    assert shown(gateway) == ("late.example.com", "EC")


def test_expiry_is_said(peer, gateways, tmp_path):
    soon = certificates.make(tmp_path, "ec", days=5)
    gateway = start(gateways, peer, smtpd_tls_chain_files=soon)
    assert gateway.grep(r"WARN  TLS certificate for mx.example.com \(EC\) expires on \S+, in [45] days: renew it")
    assert "EXPIRES SOON" in gateway.run("status", check=0).stdout.decode()
    assert gateway.ask_status()["certificates"][0]["state"] == "soon"
    checked = healthcheck(gateway)
    assert checked.returncode == 0
    assert b"the certificate of mx.example.com expires soon" in checked.stdout


def test_check_says_it_before_the_start(peer, gateways, tmp_path):
    good = certificates.make(tmp_path, "ec")
    common = {"relay_transport": peer.transport, "allowed_domains": "example.com",
              "hostname": "mx.example.com"}
    gateway = Gateway(tmp_path / "gw")
    gateway.spool.mkdir(parents=True)
    said = gateway.run("check", env={**common, "smtpd_tls_chain_files": good}, check=0).stdout.decode()
    assert re.search(r"INFO  TLS certificate for clients: mx.example.com \(EC\), good until \S+, from " + str(good), said)
    said = gateway.run("check", env={**common, "smtpd_tls_chain_files": good.with_suffix(".crt")}, check=0).stdout.decode()
    assert "WARN  TLS certificate cannot be used: " in said
    assert "there is no private key in it; name the key's file too" in said
    said = gateway.run("check", env={**common, "smtpd_tls_chain_files": "x.pem"}, check=78).stdout.decode()
    assert "is no absolute path" in said
    assert not (gateway.spool / "tls").exists()
