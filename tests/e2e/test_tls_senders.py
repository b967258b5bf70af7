"""Programs that send mail deliver over STARTTLS: Postfix (OpenSSL), msmtp (GnuTLS); and what Postfix does where it cannot
agree with us on a version of TLS."""

import re
import shutil
import subprocess

import pytest

from harness import certificates, mail, postfix, smtp_client, wait

needs_postfix = pytest.mark.skipif(not postfix.available(), reason="needs root and Debian's postfix package")
ESTABLISHED = r"Anonymous TLS connection established from .*: TLSv1.2 with cipher ECDHE-\w+-"
ONLY_13 = ">=TLSv1.3"


@pytest.fixture
def gateway(gateways, peer, tmp_path):
    chains = f"{certificates.make(tmp_path, 'rsa')}, {certificates.make(tmp_path, 'ec')}"
    return gateways(relay_transport=peer.transport, smtpd_tls_chain_files=chains, smtpd_tls_loglevel=1,
                    smtpd_tls_received_header="yes")


@pytest.fixture
def sender(gateway):
    """A Postfix that sends everything to the gateway."""
    made = []

    def make(**settings):
        server = postfix.Postfix(transport=f"smtp:[127.0.0.1]:{gateway.port}",
                                 **{"smtp_tls_loglevel": "1", **settings}).start()
        made.append(server)
        return server

    yield make
    for server in made:
        server.remove()


def submit(server):
    token = mail.new_token()
    with smtp_client.Smtp(server.address, tls=False) as client:
        client.hello()
        reply = client.mail("bob@example.org", ["alice@example.com"], mail.message(token))
    assert reply.code == 250, reply
    return token


def arrived(peer, token):
    wait.until(lambda: peer.find(token), f"the mail {token} to arrive", 20)
    return peer.find(token)[0].body.decode()


def logged(gateway, pattern):
    wait.until(lambda: any(re.search(pattern, line) for line in gateway.lines), f"{pattern} in the gateway's log")


@needs_postfix
@pytest.mark.parametrize("level", ["may", "encrypt"])
def test_postfix(sender, gateway, peer, level):
    server = sender(smtp_tls_security_level=level)
    body = arrived(peer, submit(server))
    assert re.search(r"with ESMTPS\b", body)
    assert re.search(r"using TLSv1\.2 with cipher ECDHE-", body)
    logged(gateway, ESTABLISHED)
    assert "Untrusted TLS connection established to 127.0.0.1" in server.log()


@needs_postfix
def test_postfix_resumes_its_session(sender, gateway, peer):
    server = sender(smtp_tls_security_level="may", smtp_tls_loglevel="2", smtp_connection_cache_on_demand="no",
                    smtp_tls_session_cache_database="btree:$data_directory/scache")
    for _ in range(2):
        arrived(peer, submit(server))
    log = server.log()
    assert len(re.findall("TLS connection established to", log)) == 2
    assert re.search("TLS (connection|session) reused|[Rr]eusing old session|reloaded session", log), log


@needs_postfix
def test_postfix_with_tls_1_3_only_falls_back_to_clear_text(sender, gateway, peer):
    """In its second attempt, after minimal_backoff_time: what is only preferred does not stop mail (RFC 7435)."""
    server = sender(smtp_tls_security_level="may", smtp_tls_protocols=ONLY_13, minimal_backoff_time="1s",
                    maximal_backoff_time="2s", queue_run_delay="1s")
    body = arrived(peer, submit(server))
    assert re.search(r"with ESMTP\b", body)
    logged(gateway, "SSL_accept error .*in common")


@needs_postfix
def test_postfix_that_must_have_tls_1_3_keeps_the_mail(sender, gateway, peer):
    server = sender(smtp_tls_security_level="encrypt", smtp_tls_mandatory_protocols=ONLY_13)
    token = submit(server)
    wait.until(lambda: "status=deferred" in server.log(), lambda: f"Postfix to defer the mail:\n{server.log()}")
    assert "Cannot start TLS: handshake failure" in server.log()
    assert not peer.find(token)


@pytest.mark.skipif(not shutil.which("msmtp"), reason="needs Debian's package msmtp")
def test_msmtp(gateway, peer):
    token = mail.new_token()
    done = subprocess.run(["msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={gateway.port}", "--tls=on",
                           "--tls-starttls=on", "--tls-certcheck=off", "--auth=off", "--from=bob@example.org",
                           "--domain=client.example.org", "alice@example.com"], input=mail.message(token),
                          capture_output=True, timeout=30 * wait.SCALE, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"with ESMTPS\b", arrived(peer, token))
