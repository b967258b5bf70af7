"""Settings of the conversation with the upstream: those of an lmtp: transport, and their counterparts for smtp:."""

import pytest

from harness import mail, smtp_client, wait
from harness.lmtp_peer import LHLO_WORDS

KINDS = ("lmtp", "smtp")
EHLO = {"lmtp": "lmtp_lhlo_name", "smtp": "smtp_helo_name"}
DISCARD = {"lmtp": "lmtp_discard_lhlo_keywords", "smtp": "smtp_discard_ehlo_keywords"}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def peer(kind, peers):
    return peers(protocol=kind, words=LHLO_WORDS + ("SIZE 1000000",))


def send(gateway, *recipients, token=None):
    token = token or mail.new_token()
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        reply = client.mail("bob@example.org", list(recipients) or ["alice@example.com"], mail.message(token))
        client.quit()
    assert reply.code == 250, reply
    return token


def settings(gateways, peer, **more):
    return gateways(relay_transport=peer.transport, verify_recipients="no", **more)


def test_hello_name(kind, gateways, peer):
    other = EHLO["smtp" if kind == "lmtp" else "lmtp"]
    gateway = settings(gateways, peer, **{EHLO[kind]: "out.example.com", other: "wrong.example.com"})
    send(gateway)
    verb = "LHLO" if kind == "lmtp" else "EHLO"
    assert peer.connections[0].commands[0] == f"{verb} out.example.com".encode()


def test_discarded_words(kind, gateways, peer):
    """What is not believed is not used: no SIZE, and MAIL is answered before RCPT is sent."""
    gateway = settings(gateways, peer, **{DISCARD[kind]: "size, Pipelining"})
    send(gateway)
    line = next(line for line in peer.connections[0].commands if line.startswith(b"MAIL"))
    assert b"SIZE=" not in line
    send(settings(gateways, peer))
    line = next(line for c in peer.connections[1:] for line in c.commands if line.startswith(b"MAIL"))
    assert b"SIZE=" in line


@pytest.mark.parametrize("mode", ["direct", "queue"])
def test_recipients_of_a_transaction(kind, mode, gateways, peer):
    gateway = settings(gateways, peer, delivery_mode=mode, **{f"{kind}_destination_recipient_limit": 2})
    token = send(gateway, *(f"user{n}@example.com" for n in range(5)))
    wait.until(lambda: len(peer.find(token)) == 5, "five copies")
    transactions = [line for c in peer.connections for line in c.commands if line.startswith(b"MAIL")]
    assert len(transactions) == 3, transactions


def test_connections_at_the_same_time(kind, gateways, peers):
    peer = peers(protocol=kind, delay={"dot": 0.3})
    gateway = settings(gateways, peer, delivery_mode="queue", **{f"{kind}_destination_concurrency_limit": 2})
    tokens = [send(gateway) for _ in range(6)]
    wait.until(lambda: all(peer.find(token) for token in tokens), "six mails")
    assert peer.most_open <= 2


def test_uses_of_a_session(kind, gateways, peer):
    gateway = settings(gateways, peer, lmtp_connection_idle_time="60s", **{f"{kind}_connection_reuse_count_limit": 2})
    for _ in range(4):
        send(gateway)
    wait.until(lambda: len(peer.connections) == 2, lambda: f"two sessions, not {len(peer.connections)}")
    assert [sum(line.startswith(b"MAIL") for line in c.commands) for c in peer.connections] == [2, 2]


def test_address_to_leave_by(kind, gateways, peer):
    gateway = settings(gateways, peer, lmtp_connection_idle_time="60s", **{f"{kind}_bind_address": "127.0.0.9"})
    send(gateway)
    assert peer.connections[0].sock.getpeername()[0] == "127.0.0.9"


def test_address_that_is_not_ours(kind, gateways, peer):
    gateway = settings(gateways, peer, **{f"{kind}_bind_address": "192.0.2.77"})
    send(gateway)
    gateway.wait_log(r"connect to \S+: Cannot assign requested address")
    assert len(gateway.postqueue()) == 1


# step of the peer's, setting of each kind
STEPS = {
    "greeting": {"lmtp": "lmtp_connect_timeout", "smtp": "smtp_connect_timeout"},
    "lhlo": {"lmtp": "lmtp_lhlo_timeout", "smtp": "smtp_helo_timeout"},
    "mail": {"lmtp": "lmtp_mail_timeout", "smtp": "smtp_mail_timeout"},
    "rcpt": {"lmtp": "lmtp_rcpt_timeout", "smtp": "smtp_rcpt_timeout"},
    "data": {"lmtp": "lmtp_data_init_timeout", "smtp": "smtp_data_init_timeout"},
    "dot": {"lmtp": "lmtp_data_done_timeout", "smtp": "smtp_data_done_timeout"},
}


@pytest.mark.parametrize("step", STEPS)
def test_step_that_takes_too_long(step, kind, gateways, peer):
    """The setting of the transport's kind counts, and the mail is kept."""
    peer.fail(step, "stall")
    gateway = settings(gateways, peer, **{STEPS[step][kind]: "300ms", "direct_timeout": "10s"})
    send(gateway)
    gateway.wait_log(r"status=deferred \(.*(timed out|Connection timed out)", 5)
    peer.faults.clear()
    peer.lifted.set()
    gateway.wait_queue_empty()


def test_end_of_a_session(kind, gateways, peer):
    """QUIT without an answer: the connection goes after the limit."""
    peer.fail("quit", "stall")
    gateway = settings(gateways, peer, lmtp_connection_idle_time="100ms", **{f"{kind}_quit_timeout": "200ms"})
    send(gateway)
    wait.until(lambda: not peer.open_connections(), "the session to be closed", 3)
    peer.lifted.set()
