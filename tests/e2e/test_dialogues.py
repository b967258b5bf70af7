"""The dialogue files against the real binary, whole and byte by byte; what they let in comes out, and nothing else."""

import pathlib

import pytest

from harness import smtp_client, wait
from harness.dialogue import Dialogue, Speaker
from harness.dns_server import A, AAAA, TXT, DnsServer
from harness.gateway import Gateway
from harness.lmtp_peer import LmtpPeer

FILES = sorted((pathlib.Path(__file__).parents[1] / "dialogues").glob("*.dlg"))
SMUGGLING = [f for f in FILES if f.name.startswith(("smuggling-", "bare-lf-", "bdat-")) and not Dialogue(f).settings]

# Under MXGATE_E2E_STARTTLS all is played inside TLS, which then must be offered.
LEVEL = {"smtpd_tls_security_level": "may" if smtp_client.STARTTLS else "none"}


def names(files):
    return [f.stem for f in files]


@pytest.fixture(scope="module")
def standard():
    """One gateway for all dialogues that need no settings of their own."""
    with LmtpPeer() as peer, Gateway(relay_transport=peer.transport, delivery_mode="direct", **LEVEL) as gateway:
        yield gateway, peer
        assert not peer.violations, peer.violations


def queued(heard):
    return sum(1 for line in heard if line.startswith(b"250 ") and b"queued as" in line)


def play(dialogue, gateway, peer, trickle):
    before = peer.messages
    starttls = smtp_client.STARTTLS and "smtpd_tls_security_level" not in dialogue.settings
    heard = Speaker(gateway.address, trickle, starttls=starttls).play(dialogue)
    expected = before + queued(heard)
    wait.until(lambda: peer.messages >= expected, f"{queued(heard)} mails at the upstream")
    assert peer.messages == expected, "more came out than went in"
    assert not peer.violations, peer.violations


@pytest.fixture(scope="module")
def dns():
    """The names of FORMAT.md."""
    server = DnsServer()
    server.mx("mail.example.net", "mx.example.net")
    server.mx("nullmx.example.net", "")
    server.host("host.example.net", "192.0.2.7")
    server.answers["six.example.net", AAAA] = ["2001:db8::7"]
    server.broken.update({"broken.example.net", "1.0.0.127.broken.example.org"})
    server.zones["bl.example.org"] = {A: ["127.0.0.4"], TXT: ["listed, see http://bl.example.org/"]}
    server.zones["refused.example.org"] = {A: ["127.255.255.254"]}
    yield server
    server.stop()


@pytest.mark.parametrize("trickle", [False, True], ids=["whole", "byte-by-byte"])
@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_dialogue(file, trickle, standard, gateways, peers, dns):
    dialogue = Dialogue(file)
    if dialogue.settings:
        peer = peers()
        if dialogue.submission:
            dialogue.settings["listen"] = "127.0.0.1:0:submission"
        gateway = gateways(relay_transport=peer.transport, dns_servers=dns.address, **LEVEL | {
            {"relay_domains": "allowed_domains"}.get(k, k): v for k, v in dialogue.settings.items()})
    else:
        gateway, peer = standard
    play(dialogue, gateway, peer, trickle)


@pytest.fixture(scope="module")
def into_dovecot(_dovecot):
    _dovecot.start()
    with Gateway(relay_transport=_dovecot.transport) as gateway:
        yield gateway


@pytest.mark.parametrize("file", SMUGGLING, ids=names(SMUGGLING))
def test_what_goes_in_once_comes_out_of_dovecot_once(file, into_dovecot, dovecot):
    """Dovecot 2.3 ends data at CRLF.LF, LF.CRLF and LF.LF as well: nothing of the kind may reach it."""
    dialogue = Dialogue(file)
    for user in ("alice", "bob"):
        dovecot.clear(user)
    heard = Speaker(into_dovecot.address).play(dialogue)
    stored = {user: dovecot.fetch(user) for user in ("alice", "bob")}
    assert sum(map(len, stored.values())) == queued(heard)
    smuggled = [m for m in stored["bob"] if b"Subject: smuggled" in m.split(b"\r\n\r\n")[0]]
    assert not smuggled, smuggled
