"""sendmail as scripts and programs use it, option by option; beside the real Postfix's where its words or its headers
are the reference (docs: README, "sendmail and postfix")."""

import os
import re
import select
import shutil
import subprocess
import sys
import time

import pytest

from harness import wait
from harness.gateway import ROOT, Gateway, binary, clean_environment
from harness.lmtp_peer import LmtpPeer

sys.path.append(str(ROOT / "tests" / "bench"))
import servers  # noqa: E402  the private Postfix of the benchmark

POSTFIX_SENDMAIL = "/usr/sbin/sendmail"
USAGE, DATAERR, NOUSER, UNAVAILABLE, TEMPFAIL = 64, 65, 67, 69, 75
TEXT = b"Subject: by hand\n\nhello\n"


@pytest.fixture
def gateway(gateways, peer):
    return gateways(relay_transport=peer.transport)


def sendmail(gateway, *arguments, text=TEXT, env=None, **more):
    """In the daemon's environment, as `docker exec` runs it."""
    return gateway.run(*arguments, argv0="sendmail", input=text, env={**gateway.settings, **(env or {})}, **more)


def begin(gateway, *arguments, **more):
    """The same, to be talked to."""
    return subprocess.Popen([binary(), "sendmail", *arguments], stdin=subprocess.PIPE,
                            env=clean_environment(gateway.settings), **more)


def arrived(peer, recipient, count=1):
    """The latest of `count` deliveries to the recipient."""
    found = wait.until(lambda: [d for d in peer.deliveries if d.recipient == recipient][count - 1:],
                       lambda: f"mail {count} for {recipient}; there is {[d.recipient for d in peer.deliveries]}")
    return found[-1]


def header(body):
    """The fields, in order, without our Received lines."""
    fields = re.split(rb"\r\n(?![ \t])", body.split(b"\r\n\r\n")[0])
    return [f.decode() for f in fields if not f.startswith(b"Received:")]


# --- the words of Postfix's own sendmail

WRONG = ["-qSx", "-qX", "-qR", "-qI", "-bz", "-B foo", "-n", "-t -bp", "-bv -t x@example.com", "-bv -N never x@example.com",
         "-bv -v x@example.com", "-bp a", "-q a", "-bi a", "-I a", "-bs a", "-bd a", "-qRa b", "-qI0AF b", "-Xfoo", "-oA",
         "-Z", "-f", "", "-t", "-t -f a@example.com", "-f a,b", "-V " + "x" * 101, "-N bad", "-N never,success"]
HARMLESS = ["-q15m", "-bh", "-bH", "-bi", "-I", "-bi -v", "-I -oi"]


@pytest.fixture(scope="module")
def postfix_says(tmp_path_factory):
    """What Postfix's sendmail answers to each of these lines, without a daemon: (exit code, stdout, stderr). All at
    once, since it waits a second after each error."""
    if not os.path.exists(POSTFIX_SENDMAIL) or not servers.Postfix.available():
        pytest.skip("needs Postfix, and root to read its folders")
    folder = tmp_path_factory.mktemp("postfix")
    for name in ("maildrop", "public"):
        (folder / name).mkdir()
    (folder / "main.cf").write_text(f"compatibility_level = 3.6\nqueue_directory = {folder}\nalias_database =\n")
    (folder / "newaliases").symlink_to(POSTFIX_SENDMAIL)
    commands = {line: [POSTFIX_SENDMAIL, *line.split()] for line in WRONG + HARMLESS}
    commands["newaliases"] = [str(folder / "newaliases"), "a"]
    running = {line: subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      env={"MAIL_CONFIG": str(folder), "PATH": os.environ["PATH"]})
               for line, command in commands.items()}
    said = {}
    for line, process in running.items():
        out, err = process.communicate(timeout=60 * wait.SCALE)
        said[line] = (process.returncode, out, err)
    return said


@pytest.fixture(scope="module")
def quiet_gateway():
    """For what does not come to any mail."""
    with Gateway(relay_transport="lmtp:[127.0.0.1]:1") as gateway:
        yield gateway


@pytest.mark.parametrize("line", WRONG)
def test_wrong_usage_is_answered_in_postfixs_words(line, quiet_gateway, postfix_says):
    """Exit code: Postfix's source says EX_USAGE (64) and its program ends with 75, "try again"; ours says what it means."""
    ours = sendmail(quiet_gateway, *line.split(), text=b"")
    code, _, words = postfix_says[line]
    words = [w for w in words.decode().splitlines() if "DSN NOTIFY" not in w]
    # Postfix reads the command line twice, so getopt() says an unknown option twice.
    words = list(dict.fromkeys(words))
    assert ours.stderr.decode().splitlines() == words
    assert ours.returncode == USAGE and code in (USAGE, TEMPFAIL), (ours, code)
    assert ours.stdout == b""


@pytest.mark.parametrize("line", HARMLESS)
def test_harmless_modes_do_nothing_as_in_postfix(line, quiet_gateway, postfix_says):
    ours = sendmail(quiet_gateway, *line.split(), text=b"")
    assert (ours.returncode, ours.stdout, ours.stderr) == postfix_says[line] == (0, b"", b"")


def test_newaliases(quiet_gateway, postfix_says):
    done = quiet_gateway.run(argv0="newaliases", check=0)
    assert done.stdout == b"" and done.stderr == b""
    quiet_gateway.run("newaliases", check=0)
    assert quiet_gateway.run("-bp", argv0="newaliases", check=0).stdout == b"Mail queue is empty\n"
    ours = quiet_gateway.run("a", argv0="newaliases")
    assert ours.stderr == postfix_says["newaliases"][2]
    assert ours.returncode == USAGE


# --- the headers of Postfix's cleanup

MAILS = [
    ("nothing but a subject", ["alice@example.com"], b"Subject: x\n\nhello\n"),
    ("no header at all", ["alice@example.com"], b"just text\nmore\n"),
    ("names without a domain", ["-f", "www@example.com", "alice@example.com"],
     b"To: bob, Carol <carol>, \"Q R\"@example.org, <dave>\nCc: undisclosed:;\nReply-To: me (c)\nSubject: x\nSender: s\n\nhello\n"),
    ("a gateway's", ["-G", "alice@example.com"], b"To: bob\nSubject: x\n\nhello\n"),
    ("resent, with what must go", ["-F", 'Full, "Name" J.', "alice@example.com"],
     b"Resent-To: alice\nSubject: resent\nBcc: z@example.com\nContent-Length: 4\nReturn-Path: <a@example.com>\n\nhello\n"),
    ("a mailbox line, -t and one more", ["-t", "extra@example.com"],
     b"From bob Thu\nTo: alice@example.com\nBcc: bcc@example.com\nResent-From: q@example.com\nSubject: t\n\nhello\n"),
    ("cron", ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "alice@example.com"],
     b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@vm> x\nMIME-Version: 1.0\n\nhello\n.\nx\n"),
    ("PHP", ["-t", "-i"], b"To: alice@example.com\nSubject: x\nX-PHP-Originating-Script: 0:x.php\nFrom: www@example.com\n\nhello\n"),
    ("mailx", ["-i", "alice@example.com"],
     b"To: alice@example.com\nSubject: x\nDate: Wed, 25 Nov 2026 10:00:00 +0000\nMessage-Id: <1@example.com>\nFrom: root <root@example.com>\n\nhello\n"),
    ("a date and an id of its own", ["alice@example.com"], b"Date: now\nMessage-ID: <2@example.com>\nSubject: x\n\nhello\n"),
    ("CRLF", ["alice@example.com"], b"Subject: x\r\nTo: bob\r\n\r\nhello\r\n.\r\nnot this\r\n"),
]


@pytest.fixture(scope="module")
def postfix():
    """A private Postfix that delivers to a scripted upstream."""
    if not servers.Postfix.available():
        pytest.skip("needs Postfix, and root to start a private instance")
    folder = f"/tmp/mxgate-pf-{os.getpid()}"
    os.mkdir(folder, 0o755)
    peer = LmtpPeer()
    server = servers.Postfix(folder + "/pf", peer.port)
    server.start()
    yield server, peer
    server.stop()
    peer.stop()
    shutil.rmtree(folder)


def normal(body):
    """Without what differs from message to message."""
    fields = [re.sub(r"^((?:Resent-)?Message-Id: <)[0-9A-F.]+@mx", r"\1ID@mx", f) for f in header(body)]
    fields = [re.sub(r"^((?:Resent-)?Date: )\w{3}, \d+ \w{3} \d{4} [\d:]{8} .*\)$", r"\1NOW", f) for f in fields]
    fields = [re.sub(r",\r\n[ \t]+", ", ", f) for f in fields]  # Postfix folds what it rewrites anew
    return fields, body.split(b"\r\n\r\n", 1)[1]


@pytest.mark.parametrize("arguments,text", [m[1:] for m in MAILS], ids=[m[0] for m in MAILS])
def test_message_is_as_postfix_makes_it(arguments, text, gateway, peer, postfix):
    server, their_peer = postfix
    recipient = "alice@example.com"
    before = len([d for d in their_peer.deliveries if d.recipient == recipient])
    done = subprocess.run([POSTFIX_SENDMAIL, *arguments], input=text, capture_output=True, timeout=20,
                          env={"MAIL_CONFIG": str(server.folder / "conf"), "PATH": os.environ["PATH"]})
    assert done.returncode == 0, done
    sendmail(gateway, *arguments, text=text, check=0)
    ours, theirs = arrived(peer, recipient), arrived(their_peer, recipient, before + 1)
    assert normal(ours.body) == normal(theirs.body)
    assert ours.sender == theirs.sender
    server.flush()


# --- who sends

def test_sender_is_the_caller(gateway, peer):
    sendmail(gateway, "alice@example.com", check=0)
    delivery = arrived(peer, "alice@example.com")
    assert delivery.sender == "root@mx.example.com"
    assert "From: root <root@mx.example.com>" in header(delivery.body)
    assert gateway.wait_log(r"pickup\[\d+\]: [0-9A-F]+: uid=0 from=<root>$")


def test_full_name(gateway, peer):
    sendmail(gateway, "-F", "Ann Other", "alice@example.com", check=0, env={"NAME": "not me"})
    assert "From: Ann Other <root@mx.example.com>" in header(arrived(peer, "alice@example.com").body)
    sendmail(gateway, "bob@example.com", check=0, env={"NAME": "A, B"})
    assert 'From: "A, B" <root@mx.example.com>' in header(arrived(peer, "bob@example.com").body)


@pytest.mark.parametrize("option,want", [("ops@example.org", "ops@example.org"), ("Ops Team <ops@example.org>", "ops@example.org"),
                                         ("www-data", "www-data@mx.example.com"), ("", ""), ("<>", "")])
def test_sender_option(option, want, gateway, peer):
    sendmail(gateway, "-f", option, "alice@example.com", check=0)
    sendmail(gateway, "-r", option, "bob@example.com", check=0)
    assert arrived(peer, "alice@example.com").sender == want
    assert arrived(peer, "bob@example.com").sender == want


def test_malformed_sender_is_said_and_the_mail_goes(gateway, peer):
    done = sendmail(gateway, "-f", "a@example.org, b@example.org", "alice@example.com", check=0)
    assert done.stderr == b"sendmail: warning: -f option specified malformed sender: a@example.org, b@example.org\n"
    assert arrived(peer, "alice@example.com").sender == "a@example.org"


# --- names without a domain

def test_recipient_without_a_domain_gets_myorigin(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, myorigin="example.com")
    sendmail(gateway, "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root", text=b"From: root (Cron Daemon)\nTo: root\n\nhello\n", check=0)
    delivery = arrived(peer, "root@example.com")
    assert delivery.sender == "root@example.com"
    assert header(delivery.body)[:2] == ["From: root@example.com (Cron Daemon)", "To: root@example.com"]


def test_recipient_without_a_domain_that_is_not_ours(gateway, peer):
    """Cron's mail must not vanish: the refusal says what to set."""
    done = sendmail(gateway, "root")
    assert done.returncode == UNAVAILABLE
    assert done.stderr.decode() == ("sendmail: fatal: root(0): 554 5.7.1 <root@mx.example.com>: Relay access denied (a name "
                                    "without a domain gets @mx.example.com: set myorigin to one of relay_domains)\n")
    assert peer.messages == 0


def test_postmaster_is_always_ours(gateway, peer):
    sendmail(gateway, "postmaster", check=0)
    arrived(peer, "postmaster@example.com")


# --- to whom

@pytest.mark.smoke
def test_t_takes_the_header_and_the_command_line(gateway, peer):
    sendmail(gateway, "-t", "extra@example.com", check=0,
             text=b"To: alice@example.com\nCc: Bob <bob@example.com>\nBcc: eve@example.com,\n joe@example.com\nSubject: x\n\nhello\n")
    for who in ("alice", "bob", "eve", "joe", "extra"):
        body = arrived(peer, f"{who}@example.com").body
        assert b"eve@" not in body and b"joe@" not in body and b"Bcc" not in body
    assert peer.messages == 1


def test_t_takes_resent_fields_alone(gateway, peer):
    sendmail(gateway, "-t", text=b"Resent-To: alice@example.com\nTo: bob@example.com\nSubject: x\n\nhello\n", check=0)
    arrived(peer, "alice@example.com")
    assert len(peer.deliveries) == 1


def test_t_with_a_recipient_that_is_none(gateway, peer):
    """Nobody gets it, and the caller hears of it: a message that goes to some of them is not what was asked for."""
    done = sendmail(gateway, "-t", text=b"To: alice@example.com, John Smith\nSubject: x\n\nhello\n")
    assert done.returncode == DATAERR and b"bad recipient address: John Smith" in done.stderr
    assert peer.messages == 0


def test_recipient_that_the_upstream_refuses(gateway, peer):
    done = sendmail(gateway, "unknown@example.com")
    assert done.returncode in (NOUSER, UNAVAILABLE), done
    assert done.stderr.startswith(b"sendmail: fatal: root(0): 550 5.1.1 "), done
    assert gateway.postqueue() == []


# --- the text

@pytest.mark.smoke
@pytest.mark.parametrize("option", [["-i"], ["-oi"], ["-ti"], ["-it"], ["-oitrue"]], ids=" ".join)
def test_no_dot_ends_the_text(option, gateway, peer):
    sendmail(gateway, *option, "alice@example.com", text=b"Subject: dot\n\none\n.\ntwo\n", check=0)
    assert arrived(peer, "alice@example.com").body.endswith(b"\r\n\r\none\r\n.\r\ntwo\r\n")


def test_text_that_comes_slowly(gateway, peer):
    """Byte by byte, with the header's end in the middle of a pause."""
    process = begin(gateway, "alice@example.com", stderr=subprocess.PIPE)
    for byte in b"Subject: slow\n\nhello\n.\nnot this\n":
        try:
            process.stdin.write(bytes([byte]))
            process.stdin.flush()
        except BrokenPipeError:
            break  # it has seen the lone dot
        time.sleep(0.005)
    try:
        process.stdin.close()
    except BrokenPipeError:
        pass
    assert process.wait(20 * wait.SCALE) == 0, process.stderr.read()
    process.stderr.close()
    assert arrived(peer, "alice@example.com").body.endswith(b"\r\n\r\nhello\r\n")


def test_too_big(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, message_size_limit="20000")
    done = sendmail(gateway, "alice@example.com", text=b"Subject: big\n\n" + b"x" * 70 + b"\n" + b"y\n" * 20000)
    assert done.returncode == DATAERR
    assert done.stderr == b"sendmail: fatal: root(0): 552 5.3.4 Message size exceeds fixed limit (20000 bytes)\n"
    assert peer.messages == 0


# --- DSN and 8BITMIME

def test_dsn_options_reach_an_upstream_that_offers_dsn(gateways, peers):
    peer = peers(words=("8BITMIME", "DSN", "ENHANCEDSTATUSCODES", "PIPELINING"))
    gateway = gateways(relay_transport=peer.transport)
    sendmail(gateway, "-N", "success,delay", "-R", "hdrs", "-V", "a=+ b", "-B", "8BITMIME", "alice@example.com", check=0)
    line = arrived(peer, "alice@example.com").mail_line
    assert "RET=HDRS" in line and "ENVID=a+3D+2B+20b" in line and "BODY=8BITMIME" in line, line
    sendmail(gateway, "-B7BIT", "bob@example.com", check=0)
    assert "BODY=8BITMIME" not in arrived(peer, "bob@example.com").mail_line


# --- -v

def test_verbose_says_what_became_of_it(gateway, peer):
    done = sendmail(gateway, "-v", "alice@example.com", check=0)
    assert re.fullmatch(rb"250 2\.0\.0 Ok: queued as [0-9A-F]+\n", done.stdout), done
    assert sendmail(gateway, "bob@example.com", check=0).stdout == b""


# --- -q

@pytest.mark.parametrize("option", [["-q"], ["-qRexample.com"], ["-qI"]], ids=" ".join)
def test_queue_run(option, gateways, peer):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", minimal_backoff_time="1h", maximal_backoff_time="1h")
    fault = peer.fail("dot", "4xx")
    sendmail(gateway, "alice@example.com", check=0)
    gateway.wait_log("status=deferred")
    wait.until(lambda: fault.hits >= 1, "the first attempt")
    peer.lift()
    if option == ["-qI"]:
        option = ["-qI" + gateway.postqueue()[0]["queue_id"]]
    assert sendmail(gateway, *option, text=b"", check=0).stdout == b""
    gateway.wait_queue_empty()
    assert peer.messages == 1


def test_queue_run_with_a_bad_name(gateway):
    done = sendmail(gateway, "-qIx", text=b"")
    assert done.returncode == USAGE and done.stderr == b'postqueue: fatal: Cannot flush queue ID: invalid name: "x"\n'


# --- -bv

@pytest.mark.smoke
def test_verify(gateway, peer):
    done = sendmail(gateway, "-bv", "alice@example.com", text=b"", check=0)
    assert re.fullmatch(rb"<alice@example\.com>: deliverable: host 127\.0\.0\.1\[127\.0\.0\.1\] said: 250 2\.1\.5 OK \(in reply to "
                        rb"RCPT TO command\)\n", done.stdout), done
    done = sendmail(gateway, "-bv", "alice@example.com", text=b"", check=0)
    assert done.stdout.startswith(b"<alice@example.com>: accepted: "), "an earlier answer counts"
    done = sendmail(gateway, "-bv", "bob@example.com", "unknown@example.com", "temp@example.com", "x@example.net", "root", text=b"")
    lines = done.stdout.decode().splitlines()
    assert done.returncode == NOUSER and done.stderr == b""
    assert lines[0].startswith("<bob@example.com>: deliverable: ")
    assert re.match(r"<unknown@example\.com>: undeliverable: host \S+ said: 550 5\.1\.1 ", lines[1]), lines
    assert re.match(r"<temp@example\.com>: deferred: host \S+ said: 451 4\.3\.0 ", lines[2]), lines
    assert lines[3] == "<x@example.net>: undeliverable: 554 5.7.1 <x@example.net>: Relay access denied (no way leads there: its " \
        "domain is not in relay_domains, and neither relayhost nor outbound=direct is set)"
    assert lines[4].startswith("<root>: undeliverable: 554 5.7.1 <root@mx.example.com>: Relay access denied (")
    assert sendmail(gateway, "-bv", "temp@example.com", text=b"").returncode == TEMPFAIL
    assert sendmail(gateway, "-bv", text=b"").returncode == USAGE
    assert peer.messages == 0


def test_verify_while_the_upstream_is_away(gateway, peer):
    peer.down()
    sendmail(gateway, "bob@example.com", check=0)
    gateway.wait_log("is down")
    done = sendmail(gateway, "-bv", "alice@example.com", text=b"", check=0)
    assert re.match(rb"<alice@example\.com>: accepted: destination lmtp:\S+ is down \(connect to .*\), mail would wait in the queue\n", done.stdout), done


def test_verify_without_asking(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, verify_recipients="no")
    done = sendmail(gateway, "-bv", "alice@example.com", text=b"", check=0)
    assert done.stdout == b"<alice@example.com>: accepted: it was not asked (verify_recipients=no)\n"


def test_verify_that_nobody_waits_for(gateway, peer):
    """The caller goes away while the upstream thinks; the daemon goes on, and stops in order."""
    peer.delay["rcpt"] = 0.5
    process = begin(gateway, "-bv", "alice@example.com", stdout=subprocess.DEVNULL)
    wait.until(lambda: peer.open_connections(), "the question to begin")
    time.sleep(0.1)
    process.kill()
    process.communicate()
    peer.delay.clear()
    sendmail(gateway, "bob@example.com", check=0)
    arrived(peer, "bob@example.com")


# --- -bs

def smtp(gateway, text, **more):
    done = sendmail(gateway, "-bs", text=text, **more)
    assert done.stdout.replace(b"\r\n", b"").count(b"\n") == 0, done.stdout
    return done.returncode, done.stdout.decode().split("\r\n")[:-1]


SESSION = ("EHLO client.example.net\r\nMAIL FROM:<bob@example.org>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n"
           "Subject: bs\r\n\r\nhello\r\n..\r\n.\r\n")


@pytest.mark.smoke
@pytest.mark.parametrize("end", ["QUIT\r\n", ""], ids=["quit", "end of input"])
def test_session_on_standard_input(end, gateway, peer):
    """Said at once, as a script does; with and without QUIT every command is answered."""
    code, lines = smtp(gateway, (SESSION + end).encode())
    assert code == 0
    assert lines[0] == "220 mx.example.com ESMTP Postfix"
    codes = [line[:3] for line in lines if line[3] == " "]
    assert codes == ["220", "250", "250", "250", "354", "250"] + (["221"] if end else []), lines
    delivery = arrived(peer, "alice@example.com")
    assert delivery.sender == "bob@example.org" and delivery.body.endswith(b"\r\n\r\nhello\r\n.\r\n")
    assert b"Received: from client.example.net (localhost [127.0.0.1])" in delivery.body
    gateway.wait_log(r"smtpd\[\d+\]: [0-9A-F]+: client=localhost\[127\.0\.0\.1\]$")
    gateway.wait_log(r"disconnect from localhost\[127\.0\.0\.1\] ehlo=1 mail=1 rcpt=1 data=1 " + ("quit=1 " if end else "") + "commands=")
    assert not gateway.grep("lost connection")


def test_session_that_is_talked_to(gateway, peer):
    """Command by command, as MUAs do."""
    process = begin(gateway, "-bs", stdout=subprocess.PIPE)

    def reply():
        while True:
            assert select.select([process.stdout], [], [], 10 * wait.SCALE)[0], "waited in vain for a reply"
            line = process.stdout.readline()
            if line[3:4] != b"-":
                return line[:3]

    assert reply() == b"220"
    for command, want in [(b"HELO x", b"250"), (b"MAIL FROM:<>", b"250"), (b"RCPT TO:<x@example.net>", b"554"),
                          (b"RCPT TO:<alice@example.com>", b"250"), (b"DATA", b"354"), (b"Subject: x\r\n\r\nhello\r\n.", b"250"),
                          (b"QUIT", b"221")]:
        process.stdin.write(command + b"\r\n")
        process.stdin.flush()
        assert reply() == want, command
    assert process.stdout.read() == b"" and process.wait(10 * wait.SCALE) == 0
    process.stdin.close()
    process.stdout.close()
    arrived(peer, "alice@example.com")


def test_session_opens_no_relay(gateway, peer):
    code, lines = smtp(gateway, b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<x@example.net>\r\nQUIT\r\n")
    assert code == 0 and "554 5.7.1 <x@example.net>: Relay access denied" in lines
    assert peer.messages == 0


def test_session_with_a_large_message(gateways, peer):
    """More than any buffer on the way, and thousands of replies."""
    gateway = gateways(relay_transport=peer.transport, smtpd_junk_command_limit="1000000")
    body = b"Subject: big\r\n\r\n" + (b"x" * 76 + b"\r\n") * 100000
    script = SESSION.encode().split(b"Subject")[0] + body + b".\r\n" + b"MAIL FROM:<a@example.org>\r\nRSET\r\n" * 1500 + b"QUIT\r\n"
    code, lines = smtp(gateway, script)
    assert code == 0 and lines[-1].startswith("221 ")
    assert len([l for l in lines if l == "250 2.1.0 Ok"]) == 1501
    assert len(arrived(peer, "alice@example.com").body) > len(body)


def test_session_without_a_network_list(gateways, peer):
    """Trust comes from the socket, not from mynetworks."""
    gateway = gateways(relay_transport=peer.transport, mynetworks="192.0.2.1", smtpd_client_connection_count_limit="1")
    held = [begin(gateway, "-bs", stdout=subprocess.PIPE) for _ in range(3)]
    for process in held:
        assert process.stdout.readline().startswith(b"220 ")
    for process in held:
        assert process.communicate(timeout=10 * wait.SCALE)[0] == b"" and process.returncode == 0


def test_session_when_all_are_busy(gateways, peer):
    """Trusted clients have places of their own beyond the limit (LISTENER_SPARE); these end, too."""
    gateway = gateways(relay_transport=peer.transport, smtpd_connection_limit="1")
    held = [begin(gateway, "-bs", stdout=subprocess.PIPE) for _ in range(65)]
    for process in held:
        assert process.stdout.readline().startswith(b"220 ")
    code, lines = smtp(gateway, b"QUIT\r\n")
    assert lines == ["421 4.3.2 mx.example.com Error: all server ports are busy"], lines
    for process in held:
        process.communicate(timeout=10 * wait.SCALE)


def test_stop_with_a_session_open(gateway, peer):
    process = begin(gateway, "-bs", stdout=subprocess.PIPE)
    assert process.stdout.readline().startswith(b"220 ")
    gateway.stop()
    assert process.stdout.read().startswith(b"421 4.3.2 mx.example.com Service shutting down")
    assert process.wait(10 * wait.SCALE) == 0
    process.stdin.close()
    process.stdout.close()


# --- no daemon

@pytest.mark.parametrize("arguments", [["alice@example.com"], ["-t", "-i"], ["-bv", "alice@example.com"], ["-bs"]], ids=" ".join)
def test_daemon_down(arguments, gateway, peer):
    """75, a clear word, and nothing was swallowed."""
    gateway.stop()
    done = sendmail(gateway, *arguments, text=b"To: alice@example.com\n\nhello\n")
    assert done.returncode == TEMPFAIL and done.stderr.count(b"\n") == 1
    assert re.match(rb"sendmail: fatal: (root\(0\): )?mail system is down", done.stderr), done
    if arguments == ["-bs"]:
        assert done.stdout == b"421 4.3.2 mx.example.com Error: mail system is down\r\n"
    else:
        assert done.stdout == b""
    assert peer.messages == 0 and gateway.spool_files() == []


@pytest.mark.parametrize("how", ["daemon down", "refused"])
def test_whoever_writes_the_text_is_not_killed(how, gateway):
    """A pipe that breaks would kill the writer (PHP, a dump) before it can ask for the exit code."""
    if how == "daemon down":
        gateway.stop()
    process = begin(gateway, "x@example.net" if how == "refused" else "alice@example.com", stderr=subprocess.PIPE)
    process.stdin.write(TEXT + b"x" * 70 * 50000)
    process.stdin.close()
    words = process.stderr.read()
    process.stderr.close()
    assert process.wait(10 * wait.SCALE) == (UNAVAILABLE if how == "refused" else TEMPFAIL)
    assert words.startswith(b"sendmail: fatal: root(0): "), words


def test_daemon_down_queue_run(gateway, tmp_path):
    gateway.stop()
    done = sendmail(gateway, "-q", text=b"")
    assert done.returncode == UNAVAILABLE and done.stderr == b"postqueue: fatal: Cannot flush mail queue - mail system is down\n"


def test_daemon_mode(gateway):
    """-bd is `postfix start`, which has nothing to start here."""
    done = sendmail(gateway, "-bd", "-q15m", text=b"")
    assert done.returncode == 1 and done.stderr == b"postfix/postfix-script: fatal: the Postfix mail system is already running\n"
