"""P6: what a stranger can send and how long he can take; none of it hurts the others."""

import os
import pathlib
import socket
import time

import pytest

from harness import mail, smtp_client, wait

STRANGERS = "10.255.255.0/24"  # mynetworks without loopback: our clients are strangers


def rss(gateway):
    text = pathlib.Path(f"/proc/{gateway.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


def peak(gateway):
    text = pathlib.Path(f"/proc/{gateway.pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) * 1024


def still_serves(gateway):
    reply = smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com"], mail.message(mail.new_token()))
    assert reply.code == 250, reply


def test_silent_client_times_out(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, smtpd_timeout="1s")
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        reply = client.reply()
        assert reply.text == "421 4.4.2 mx.example.com Error: timeout exceeded"
        with pytest.raises(smtp_client.Closed):
            client.reply()
    gateway.wait_log(r"smtpd\[\d+\]: timeout after EHLO from unknown\[127\.0\.0\.1\]")


def test_a_byte_now_and_then_does_not_keep_a_command_open(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, smtpd_timeout="1s")
    begun = time.monotonic()
    with smtp_client.Smtp(gateway.address) as client:
        client.sock.settimeout(0.2)
        try:
            while time.monotonic() - begun < 8 * wait.SCALE:
                client.send(b"N")
                try:
                    if client.sock.recv(100):
                        break
                except TimeoutError:
                    pass
        except OSError:
            pass
    assert time.monotonic() - begun < 4 * wait.SCALE, "time-out by the byte, not by the command"


def test_silence_in_data_times_out(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, smtpd_timeout="1s")
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        client.envelope("bob@example.org", ["alice@example.com"])
        client.cmd("DATA")
        client.send(b"Subject: and then\r\n")
        assert client.reply().code == 421
    gateway.wait_log(r"timeout after DATA \(\d+ bytes\) from unknown")
    assert gateway.spool_files() == []


def test_a_byte_now_and_then_does_not_keep_data_open(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, smtpd_timeout="1s")
    begun = time.monotonic()
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        client.envelope("bob@example.org", ["alice@example.com"])
        client.cmd("DATA")
        client.sock.settimeout(0.2)
        try:
            while time.monotonic() - begun < 8 * wait.SCALE:
                client.send(b"x")
                try:
                    if client.sock.recv(100):
                        break
                except TimeoutError:
                    pass
        except OSError:
            pass
    assert time.monotonic() - begun < 5 * wait.SCALE


def test_a_slow_but_steady_sender_is_served(gateways, peer):
    """Longer than smtpd_timeout in all, but each block of 4 KiB comes within it."""
    gateway = gateways(relay_transport=peer.transport, smtpd_timeout="1s")
    token = mail.new_token()
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        client.envelope("bob@example.org", ["alice@example.com"])
        client.cmd("DATA")
        client.send(mail.message(token, b""))
        for _ in range(6):
            client.send((b"x" * 70 + b"\r\n") * 58)
            time.sleep(0.4)
        client.send(b".\r\n")
        assert client.reply().code == 250
    assert peer.count(token) == 1


def test_under_stress_idle_clients_go_sooner(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, smtpd_connection_limit=20, smtpd_timeout="300s", smtpd_stress_timeout="1s")
    calm = smtp_client.Smtp(gateway.address)
    calm.hello()
    clients = [smtp_client.Smtp(gateway.address) for _ in range(17)]
    for client in clients:
        client.hello()
    assert clients[-1].reply().code == 421
    for client in clients + [calm]:
        client.close()
    still_serves(gateway)


def test_full_queue(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, queue_message_limit=3, delivery_mode="queue")
    peer.down()
    for _ in range(3):
        still_serves(gateway)
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        reply = client.cmd("MAIL FROM:<bob@example.org>")
        assert reply.code == 452, reply
    peer.up()
    gateway.wait_queue_empty()
    still_serves(gateway)
    gateway.wait_queue_empty()


def test_held_mail_does_not_stop_the_others(gateways, peer):
    """Anybody can have mail put on hold: one recipient takes it, the other's mailbox is full."""
    gateway = gateways(relay_transport=peer.transport, queue_message_limit=3)
    for _ in range(5):
        reply = smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com", "full@example.com"],
                                 mail.message(mail.new_token()))
        assert reply.code == 250, reply
    gateway.wait_log(r"warning: 3 messages are on hold, an operator must decide about them")
    status = gateway.run("status", check=0).stdout.decode()
    assert "queue: 5 messages" in status and "5 on hold, 5 for an operator to decide" in status, status
    still_serves(gateway)


def test_one_line_of_5_megabytes(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    token = mail.new_token()
    body = mail.message(token, b"x" * 5_000_000 + b"\r\n")
    assert smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com"], body).code == 250
    assert peer.find(token)[0].body.endswith(b"\r\n\r\n" + b"x" * 5_000_000 + b"\r\n")


def test_slow_upstream_is_not_the_clients_timeout(gateways, peers):
    peer = peers(delay={"dot": 2.0})
    gateway = gateways(relay_transport=peer.transport, smtpd_timeout="1s", verify_recipients="no")
    still_serves(gateway)


def test_connections_of_one_address(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, smtpd_client_connection_count_limit=3, mynetworks=STRANGERS)
    first = [smtp_client.Smtp(gateway.address) for _ in range(3)]
    refused = smtp_client.Smtp(gateway.address)
    assert refused.greeting.text == "421 4.7.0 mx.example.com Error: too many connections from 127.0.0.1"
    gateway.wait_log(r"warning: Connection concurrency limit exceeded: 4 from unknown\[127\.0\.0\.1\] for service smtp")
    other = smtp_client.Smtp(gateway.address, source="127.0.0.2")
    assert other.greeting.code == 220
    first[0].quit()
    wait.until(lambda: smtp_client.Smtp(gateway.address).greeting.code == 220, "a place to come free")
    for client in first[1:] + [other, refused]:
        client.close()


def test_trusted_clients_are_not_counted(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, smtpd_client_connection_count_limit=3)
    clients = [smtp_client.Smtp(gateway.address) for _ in range(10)]
    assert all(c.greeting.code == 220 for c in clients)
    for client in clients:
        client.close()


def test_connections_in_all(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, smtpd_connection_limit=20, mynetworks=STRANGERS)
    clients = [smtp_client.Smtp(gateway.address) for _ in range(20)]
    refused = smtp_client.Smtp(gateway.address)
    assert refused.greeting.code == 421
    for client in clients:
        client.close()
    wait.until(lambda: smtp_client.Smtp(gateway.address).greeting.code == 220, "places to come free")
    still_serves(gateway)


@pytest.mark.clear_text
def test_trusted_clients_have_places_of_their_own(gateways, peer):
    """As many as LISTENER_SPARE beyond what strangers may take; then there is an end."""
    gateway = gateways(relay_transport=peer.transport, smtpd_connection_limit=5, smtpd_client_connection_count_limit=0,
                       mynetworks="127.0.0.1/32")
    strangers = [smtp_client.Smtp(gateway.address, source="127.0.0.2") for _ in range(5)]
    assert smtp_client.Smtp(gateway.address, source="127.0.0.2").greeting.code == 421
    trusted = [smtp_client.Smtp(gateway.address) for _ in range(64)]
    assert [c.greeting.code for c in strangers + trusted] == [220] * 69
    refused = smtp_client.Smtp(gateway.address)
    assert refused.greeting.text == "421 4.3.2 mx.example.com Error: all server ports are busy"
    for client in strangers + trusted:
        client.close()
    wait.until(lambda: smtp_client.Smtp(gateway.address, source="127.0.0.2").greeting.code == 220, "places to come free")
    still_serves(gateway)


def test_junk_commands_count_as_errors(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, smtpd_junk_command_limit=5, smtpd_hard_error_limit=3)
    with smtp_client.Smtp(gateway.address) as client:
        codes = [client.cmd("NOOP").code for _ in range(5)]
        assert codes == [250] * 5
        for _ in range(10):
            reply = client.cmd("NOOP")
            if reply.code == 421:
                break
        assert reply.code == 421


@pytest.mark.parametrize("size", [510, 512, 2048, 65536, 1_000_000])
@pytest.mark.parametrize("verb", ["EHLO ", "HELO ", "MAIL FROM:<", "RCPT TO:<", "NOOP ", "X", "VRFY ", "BDAT "])
def test_long_lines(verb, size, hard, peer):
    """An answer or an end, never a crash; and the session goes on with the next line where it goes on."""
    with smtp_client.Smtp(hard.address) as client:
        try:
            client.send(verb.encode() + b"a" * size + b"\r\n")
            reply = client.reply()
            assert 200 <= reply.code < 600
            if reply.code not in (421, 521):
                assert client.cmd("RSET").code == 250
        except (smtp_client.Closed, BrokenPipeError, ConnectionResetError):
            pass
    assert hard.process.poll() is None


@pytest.fixture(scope="module")
def hard():
    from harness.gateway import Gateway
    from harness.lmtp_peer import LmtpPeer
    with LmtpPeer() as peer, Gateway(relay_transport=peer.transport, smtpd_hard_error_limit=1000) as gateway:
        yield gateway
        still_serves(gateway)


@pytest.mark.parametrize("bytes_", [b"EHLO a\0b\r\n", b"\0\0\0\0\r\n", bytes(range(256)) + b"\r\n", b"EHLO \xff\xfe\r\n",
                                    b"\r\n" * 30, b"\n" * 30, b"\r" * 3000 + b"\n", b"MAIL FROM:<\0@example.org>\r\n",
                                    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500 + b"\r\n",
                                    b"MAIL FROM:<a@b> SIZE=\0\r\n", b"MAIL FROM:<a@b> =\r\n", b"MAIL FROM:<a@b> SIZE==\r\n",
                                    b"MAIL FROM:<a@b> " + b"A=1 " * 500 + b"\r\n", b"RCPT TO:<" + b"@" * 1000 + b">\r\n",
                                    b"MAIL FROM:<" + b'"' * 1001 + b"@b>\r\n", b"MAIL FROM:<" + b"\\" * 1001 + b"@b>\r\n",
                                    b"BDAT 0 0 0 0\r\n", b"HELO " + b"(" * 1000 + b"\r\n"])
def test_odd_lines(bytes_, hard):
    with smtp_client.Smtp(hard.address) as client:
        try:
            client.send(bytes_)
            assert 200 <= client.reply().code < 600
        except (smtp_client.Closed, BrokenPipeError, ConnectionResetError):
            pass
    assert hard.process.poll() is None
    assert not [line for line in hard.lines if any(ord(c) < 32 and c != "\t" for c in line)], "control bytes in the log"


@pytest.mark.parametrize("size", [2**31 - 1, 2**31, 2**32, 2**32 + 5, 2**63 - 1])
def test_huge_chunks(size, hard):
    """Refused in time, or swallowed without being kept."""
    before = rss(hard)
    with smtp_client.Smtp(hard.address) as client:
        client.hello()
        client.envelope("bob@example.org", ["alice@example.com"])
        try:
            client.send(b"BDAT %d LAST\r\n" % size)
            for _ in range(64):
                client.send(b"x" * 65536)
        except OSError:
            pass
    still_serves(hard)
    assert rss(hard) - before < 40_000_000


def test_memory_does_not_depend_on_the_size(gateways, peers):
    """Ten senders of 20 MB at once: their bodies go to files."""
    peer = peers(keep_bodies=False)
    gateway = gateways(relay_transport=peer.transport, body_memory_limit="1M")
    still_serves(gateway)
    import threading
    body = mail.message(mail.new_token(), size=20_000_000)
    codes = []

    def one():
        codes.append(smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com"], body).code)

    threads = [threading.Thread(target=one) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [250] * 10
    if not os.environ.get("MXGATE_WRAPPER") and not os.environ.get("ASAN_OPTIONS"):
        assert peak(gateway) < 64_000_000, f"{peak(gateway)} bytes at most"
    wait.until(lambda: gateway.spool_files() == [], "the files to be gone")


def test_memory_of_recipients(gateways, peer):
    """Forty clients with a thousand long recipients each, who then wait: 33 MB if all were kept."""
    gateway = gateways(relay_transport=peer.transport, verify_recipients="no", smtpd_client_connection_count_limit=0)
    still_serves(gateway)
    before = rss(gateway)
    clients, refused = [], 0
    for n in range(40):
        client = smtp_client.Smtp(gateway.address)
        client.hello()
        client.cmd("MAIL FROM:<bob@example.org>")
        for begin in range(0, 1000, 100):
            client.send(b"".join(b"RCPT TO:<%d-%d-%s@example.com> ORCPT=rfc822;%s@example.com\r\n"
                                 % (n, i, b"x" * 50, b"y" * 480) for i in range(begin, begin + 100)))
            codes = {client.reply().text for _ in range(100)}
            assert codes <= {"250 2.1.5 Ok", "452 4.3.1 Insufficient system storage"}, codes
            refused += "452 4.3.1 Insufficient system storage" in codes
        clients.append(client)
    assert refused > 0
    still_serves(gateway)
    grown = rss(gateway) - before
    print(f"40,000 recipients: {grown} bytes")
    if not os.environ.get("MXGATE_WRAPPER") and not os.environ.get("ASAN_OPTIONS"):
        assert grown < 24_000_000
    for client in clients:
        client.close()
    client = smtp_client.Smtp(gateway.address)
    client.hello()
    assert {r.code for r in client.envelope("bob@example.org", [f"{'z' * 60}{i}@example.com" for i in range(200)])} == {250}
    client.close()


def test_size_at_the_limit(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, message_size_limit=20000)
    head = mail.message(mail.new_token(), b"")
    fits = head + b"x" * (20000 - len(head) - 2) + b"\r\n"
    assert len(fits) == 20000
    assert smtp_client.send(gateway.address, "b@example.org", ["alice@example.com"], fits).code == 250
    over = head + b"x" * (20001 - len(head) - 2) + b"\r\n"
    reply = smtp_client.send(gateway.address, "b@example.org", ["alice@example.com"], over)
    assert reply.code == 552 and reply.text.startswith("552 5.3.4"), reply
    assert gateway.spool_files() == []


def test_early_talker(gateways, peer):
    """Input before the greeting, as a spam bot does; a loopback probe is served all the same (PIPE)."""
    gateway = gateways(relay_transport=peer.transport)
    with socket.create_connection(gateway.address, timeout=10 * wait.SCALE) as sock:
        sock.sendall(b"QUIT\r\n")
        heard = b""
        while data := sock.recv(1000):
            heard += data
    assert heard.startswith(b"220 ") and b"\r\n221 " in heard, heard


@pytest.mark.clear_text
def test_500_idle_sessions(gateways, peer):
    """They cost little, and a fresh one is answered at once."""
    gateway = gateways(relay_transport=peer.transport, smtpd_connection_limit=1000)
    before = rss(gateway)
    clients = [smtp_client.Smtp(gateway.address) for _ in range(500)]
    begun = time.monotonic()
    still_serves(gateway)
    assert time.monotonic() - begun < 2 * wait.SCALE
    grown = rss(gateway) - before
    print(f"500 idle sessions: {grown / 500:.0f} bytes each")
    if not os.environ.get("MXGATE_WRAPPER") and not os.environ.get("ASAN_OPTIONS"):
        assert grown < 500 * 16_384
    for client in clients:
        client.close()


def test_no_descriptors_are_lost(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)

    def open_files():
        return len(os.listdir(f"/proc/{gateway.pid}/fd"))

    still_serves(gateway)
    wait.until(lambda: not peer.open_connections(), "the upstream session to be closed", 8)
    before = open_files()
    for n in range(50):
        still_serves(gateway)
        client = smtp_client.Smtp(gateway.address)
        client.send(b"EHLO x\r\nMAIL FROM:<b@example.org>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\nhalf")
        client.close()
        gateway.run("status", check=0)
    wait.until(lambda: open_files() <= before + 1, lambda: f"{before} descriptors; now {open_files()}", 10)
