"""Part of P5 and P6: restrictions that ask the DNS, ALLOWED_SENDER_DOMAINS, rates and errors of clients, start-up."""

import subprocess
import time

import pytest

from harness import mail, smtp_client, wait
from harness.dns_server import A, MX, TXT, DnsServer
from harness.gateway import Gateway, binary, clean_environment

STRANGERS = "10.255.255.0/24"  # mynetworks without loopback: our clients are strangers
ALICE = "alice@example.com"


@pytest.fixture
def dns():
    server = DnsServer()
    yield server
    server.stop()


def rcpt(client, sender, recipient=ALICE):
    client.cmd("RSET")
    return client.envelope(sender, [recipient])[0].text


def test_unknown_sender_domain(gateways, peer, dns):
    dns.mx("mail.example.net", "mx.example.net")
    dns.broken.add("broken.example.net")
    gateway = gateways(relay_transport=peer.transport, dns_servers=dns.address,
                       smtpd_sender_restrictions="reject_unknown_sender_domain")
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        assert rcpt(client, "bob@mail.example.net") == "250 2.1.5 Ok"
        assert rcpt(client, "") == "250 2.1.5 Ok"
        assert rcpt(client, "bob@missing.example.net") == \
            "450 4.1.8 <bob@missing.example.net>: Sender address rejected: Domain not found"
        assert rcpt(client, "bob@broken.example.net").startswith("450 4.1.8 ")
        client.quit()
    gateway.wait_log(r"postfix/smtpd\[\d+\]: NOQUEUE: reject: RCPT from unknown\[127\.0\.0\.1\]: 450 4\.1\.8 "
                     r"<bob@missing\.example\.net>: Sender address rejected: Domain not found; "
                     r"from=<bob@missing\.example\.net> to=<alice@example\.com> proto=ESMTP helo=<client\.example\.net>$")
    asked = [name for name, kind in dns.asked if kind == MX]
    assert asked.count("missing.example.net") == 1


def test_a_dead_name_server_refuses_nobody_for_good(gateways, peer, dns):
    dns.silent.update({"slow.example.net", "1.0.0.127.slow.example.org"})
    gateway = gateways(relay_transport=peer.transport, dns_servers=dns.address, dns_timeout="300ms",
                       unknown_address_reject_code=550,
                       smtpd_client_restrictions="reject_rbl_client slow.example.org",
                       smtpd_sender_restrictions="reject_unknown_sender_domain")
    with smtp_client.Smtp(gateway.address) as client, smtp_client.Smtp(gateway.address) as other:
        client.hello()
        client.send(b"MAIL FROM:<bob@slow.example.net>\r\nRCPT TO:<alice@example.com>\r\n")
        other.hello()  # the loop goes on meanwhile
        assert client.reply().code == 250
        assert client.reply().text.startswith("450 4.1.8 ")
        assert rcpt(client, "bob@[192.0.2.1]") == "250 2.1.5 Ok"
    gateway.wait_log(r"warning: slow\.example\.org: RBL lookup error: ")


def test_block_list(gateways, peer, dns):
    dns.answers["1.0.0.127.bl.example.org", A] = ["127.0.0.2"]
    dns.answers["1.0.0.127.bl.example.org", TXT] = ["listed, see http://bl.example.org/?127.0.0.1"]
    gateway = gateways(relay_transport=peer.transport, dns_servers=dns.address, mynetworks=STRANGERS,
                       smtpd_client_restrictions="permit_mynetworks, reject_rbl_client bl.example.org")
    reply = "554 5.7.1 Service unavailable; Client host [127.0.0.1] blocked using bl.example.org; " \
            "listed, see http://bl.example.org/?127.0.0.1"
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        assert rcpt(client, "bob@example.org") == reply
        assert rcpt(client, "bob@example.org") == reply
    assert [name for name, _ in dns.asked] == ["1.0.0.127.bl.example.org"] * 2, "A and TXT, once"
    with smtp_client.Smtp(gateway.address, source="127.0.0.2") as client:
        client.hello()
        assert rcpt(client, "bob@example.org") == "250 2.1.5 Ok"
    gateway.wait_log(r"NOQUEUE: reject: RCPT from unknown\[127\.0\.0\.1\]: 554 5\.7\.1 Service unavailable; Client host "
                     r"\[127\.0\.0\.1\] blocked using bl\.example\.org; listed, see http://bl\.example\.org/\?127\.0\.0\.1; "
                     r"from=<bob@example\.org> to=<alice@example\.com> proto=ESMTP helo=<client\.example\.net>$")


def test_a_list_that_serves_us_not(gateways, peer, dns):
    dns.answers["1.0.0.127.bl.example.org", A] = ["127.255.255.254"]
    gateway = gateways(relay_transport=peer.transport, dns_servers=dns.address,
                       smtpd_client_restrictions="reject_rbl_client bl.example.org")
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        assert rcpt(client, "bob@example.org") == "250 2.1.5 Ok"
    gateway.wait_log(r"smtpd\[\d+\]: warning: bl\.example\.org: RBL lookup error: it answered 127\.255\.255\.x")


def test_clients_without_a_name(gateways, peer, dns):
    dns.ptr("127.0.0.1", "client.example.net")
    dns.ptr("127.0.0.2", "liar.example.net")
    dns.host("client.example.net", "127.0.0.1")
    gateway = gateways(relay_transport=peer.transport, dns_servers=dns.address, smtpd_peername_lookup="no",
                       smtpd_client_restrictions="reject_unknown_reverse_client_hostname, reject_unknown_client_hostname")
    assert gateway.grep("smtpd_peername_lookup=no is ignored"), gateway.log()
    replies = {}
    for last in "123":
        with smtp_client.Smtp(gateway.address, source=f"127.0.0.{last}") as client:
            client.hello()
            replies[last] = rcpt(client, "bob@example.org")
    assert replies["1"] == "250 2.1.5 Ok"
    assert replies["2"] == "450 4.7.25 Client host rejected: cannot find your hostname, [127.0.0.2]"
    assert replies["3"] == "450 4.7.1 Client host rejected: cannot find your reverse hostname, [127.0.0.3]"


def test_a_client_that_leaves_while_the_dns_is_asked(gateways, peer, dns):
    dns.silent.add("slow.example.net")
    gateway = gateways(relay_transport=peer.transport, dns_servers=dns.address, dns_timeout="500ms",
                       smtpd_sender_restrictions="reject_unknown_sender_domain")
    for _ in range(20):
        client = smtp_client.Smtp(gateway.address)
        client.hello()
        client.send(b"MAIL FROM:<bob@slow.example.net>\r\nRCPT TO:<alice@example.com>\r\n")
        client.close()
    wait.until(lambda: len(gateway.grep("lost connection after RCPT")) == 20, "20 clients to be gone")
    reply = smtp_client.send(gateway.address, "bob@[192.0.2.1]", [ALICE], mail.message(mail.new_token()))
    assert reply.code == 250


def test_stop_while_the_dns_is_asked(gateways, peer, dns):
    dns.silent.update({"slow.example.net", "1.0.0.127.in-addr.arpa"})
    gateway = gateways(relay_transport=peer.transport, dns_servers=dns.address, dns_timeout="60s",
                       smtpd_sender_restrictions="reject_unknown_sender_domain")
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        client.send(b"MAIL FROM:<bob@slow.example.net>\r\nRCPT TO:<alice@example.com>\r\n")
        assert client.reply().code == 250
        wait.until(lambda: ("slow.example.net", MX) in dns.asked, "the question")
        assert gateway.stop() < 10 * wait.SCALE


COMPOSE = {
    "ALLOW_EMPTY_SENDER_DOMAINS": "true",
    "ALLOWED_SENDER_DOMAINS": "",
    "POSTFIX_inet_protocols": "ipv4",
    "POSTFIX_smtpd_recipient_restrictions": "permit_mynetworks, permit_sasl_authenticated, check_relay_domains, permit",
    "POSTFIX_smtpd_client_restrictions": "permit_mynetworks, permit_sasl_authenticated, permit",
    "POSTFIX_smtpd_sender_restrictions": "permit_mynetworks, permit_sasl_authenticated, permit",
    "POSTFIX_relay_domains": "example.com",
    "POSTFIX_message_size_limit": "26214400",
    "HOSTNAME": "mx.example.com",
    "DOMAIN": "example.com",
}


def test_the_compose_file_of_an_mx(gateways, peer):
    gateway = gateways(allowed_domains="", mynetworks=STRANGERS, POSTFIX_relay_transport=peer.transport, **COMPOSE)
    token = mail.new_token()
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        replies = client.envelope("stranger@example.org", ["x@other.example", ALICE])
        assert [r.text for r in replies] == ["554 5.7.1 <x@other.example>: Relay access denied", "250 2.1.5 Ok"]
        assert client.data(mail.message(token)).code == 250
    assert [d.recipient for d in peer.find(token)] == [ALICE]
    assert gateway.grep("INFO  Applying custom postfix setting: smtpd_client_restrictions=permit_mynetworks, ")
    assert gateway.grep("accepts mail for example.com from everybody, relays for nobody")
    # what is said to everybody: that a certificate of its own is no CA's, that root is more than it needs
    usual = ("No certificate of a CA is set", "Running as root", "The sandbox is not complete")
    assert not [line for line in gateway.grep("WARN") if not any(words in line for words in usual)], gateway.log()


def test_allowed_sender_domains(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, ALLOWED_SENDER_DOMAINS="example.org example.net")
    assert gateway.grep("accepts mail for example.com from senders in example.org example.net, relays for nobody")
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        assert rcpt(client, "bob@mail.example.org") == "250 2.1.5 Ok"
        assert rcpt(client, "bob@example.com") == \
            "554 5.7.1 <alice@example.com>: Recipient address rejected: Access denied"


@pytest.mark.parametrize("settings, said", [
    ({"POSTFIX_smtpd_sender_restrictions": "permit_mynetworks, check_sender_access hash:/etc/postfix/x"},
     'POSTFIX_smtpd_sender_restrictions: smtpd_sender_restrictions "permit_mynetworks, check_sender_access '
     'hash:/etc/postfix/x" cannot be used: "check_sender_access" is not supported: there are no tables here; '
     'to admit certain senders only, use ALLOWED_SENDER_DOMAINS'),
    ({"POSTFIX_smtpd_client_restrictions": "check_policy_service inet:127.0.0.1:10023"},
     '"check_policy_service" is not supported: there are no policy servers here'),
    ({"ALLOW_EMPTY_SENDER_DOMAINS": "no"}, "no mail would be taken; set ALLOWED_SENDER_DOMAINS=example.org"),
])
def test_what_cannot_be_honoured_stops_the_start(settings, said, tmp_path):
    environment = clean_environment({**Gateway.DEFAULTS, "relay_transport": "lmtp:[127.0.0.1]:2400",
                                     "queue_directory": tmp_path, **settings})
    done = subprocess.run([binary(), "serve"], env=environment, capture_output=True, timeout=20 * wait.SCALE)
    assert done.returncode == 78
    assert said in done.stdout.decode(), done


# --- pace


def test_connection_rate(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, mynetworks=STRANGERS, smtpd_client_connection_rate_limit=3,
                       anvil_rate_time_unit="2s")
    greetings = [smtp_client.Smtp(gateway.address).greeting.text for _ in range(4)]
    assert [g[:3] for g in greetings] == ["220", "220", "220", "421"]
    assert greetings[3] == "421 4.7.0 mx.example.com Error: too many connections from 127.0.0.1"
    gateway.wait_log(r"warning: Connection rate limit exceeded: 4 from unknown\[127\.0\.0\.1\] for service smtp$")
    assert smtp_client.Smtp(gateway.address, source="127.0.0.2").greeting.code == 220
    wait.until(lambda: smtp_client.Smtp(gateway.address).greeting.code == 220, "the next unit of time", 5, interval=0.5)


def test_message_and_recipient_rates(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, mynetworks=STRANGERS, smtpd_client_message_rate_limit=1,
                       smtpd_client_recipient_rate_limit=1)
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        replies = client.envelope("bob@example.org", [ALICE, ALICE])
        assert [r.text for r in replies] == ["250 2.1.5 Ok", "450 4.7.1 Error: too many recipients from 127.0.0.1"]
    with smtp_client.Smtp(gateway.address) as client:  # another connection of the same client
        client.hello()
        assert client.cmd("MAIL FROM:<>").text == "450 4.7.1 Error: too much mail from 127.0.0.1"
    gateway.wait_log(r"warning: Recipient address rate limit exceeded: 2 from unknown\[127\.0\.0\.1\] for service smtp$")
    gateway.wait_log(r"warning: Message delivery request rate limit exceeded: 2 from unknown\[127\.0\.0\.1\] for service smtp$")


def test_exceptions(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, mynetworks=STRANGERS, smtpd_client_connection_rate_limit=1,
                       smtpd_client_event_limit_exceptions="127.0.0.1")
    assert all(smtp_client.Smtp(gateway.address).greeting.code == 220 for _ in range(3))
    codes = [smtp_client.Smtp(gateway.address, source="127.0.0.2").greeting.code for _ in range(2)]
    assert codes == [220, 421]


def test_errors_slow_a_client_down_and_nobody_else(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, smtpd_soft_error_limit=2, smtpd_error_sleep_time="700ms")
    with smtp_client.Smtp(gateway.address) as slow, smtp_client.Smtp(gateway.address) as other:
        slow.cmd("FOO")
        slow.cmd("FOO")
        begun = time.monotonic()
        slow.send(b"NOOP\r\n")
        other.hello()
        assert time.monotonic() - begun < 0.5 * wait.SCALE
        assert slow.reply().code == 250
        assert time.monotonic() - begun >= 0.65
        slow.send(b"NOOP\r\n")  # gone while it waits
    gateway.wait_log("lost connection after UNKNOWN|lost connection after NOOP")


def test_early_talkers(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, mynetworks=STRANGERS, smtpd_forbid_unauth_pipelining="yes")
    with smtp_client.Smtp(gateway.address) as client:
        client.send(b"HELO h\r\nMAIL FROM:<>\r\n")
        assert client.reply().text == "554 5.5.0 Error: SMTP protocol synchronization"
        with pytest.raises(smtp_client.Closed):
            client.reply()
    gateway.wait_log(r"improper command pipelining after HELO from unknown\[127\.0\.0\.1\]: MAIL FROM:<>")
