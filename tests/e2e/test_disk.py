"""The disk is full, read-only, foreign or failing: 4xx to the client, a clear log, nothing half kept, nothing lost."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time

import pytest

from harness import mail, smtp_client, wait

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root (mount, chown)")


@pytest.fixture
def small_disk():
    """A file system of 3 MB of its own."""
    with tempfile.TemporaryDirectory(prefix="mxgate-fs-") as top:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=755", "none", top], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mount is not permitted here: {done.stderr.strip()}")
        try:
            yield pathlib.Path(top)
        finally:
            subprocess.run(["umount", "-l", top], check=True)


def send(gateway, token, size=None):
    return smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com"], mail.message(token, size=size))


@root
def test_full_disk(small_disk, gateways, peer):
    """Without queue_minfree's help: the disk fills up in the middle of a message."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", queue_directory=small_disk / "spool",
                       queue_minfree=1, body_memory_limit=0)
    peer.down()
    taken, refused = [], []
    for _ in range(12):
        token = mail.new_token()
        reply = send(gateway, token, 500_000)
        (taken if reply.code == 250 else refused).append(token)
        assert reply.code in (250, 451, 452), reply
    assert taken and refused
    # The file of a message that was refused goes on a thread, maybe after its reply.
    wait.until(lambda: len(set(gateway.spool_files())) == len(taken),
               lambda: f"files for {len(taken)} mails; in the spool are {set(gateway.spool_files())}")
    assert gateway.grep(r"(?i)no space left"), gateway.tail()
    gateway.kill()
    gateway.start()
    peer.up()
    gateway.wait_queue_empty()
    assert all(peer.count(t) == 1 for t in taken)
    assert not any(peer.count(t) for t in refused)
    assert send(gateway, mail.new_token(), 500_000).code == 250, "room again"
    gateway.wait_queue_empty()


@root
def test_queue_minfree_refuses_at_mail(small_disk, gateways, peer):
    gateway = gateways(relay_transport=peer.transport, queue_directory=small_disk / "spool", message_size_limit="1M", queue_minfree="2M")
    assert send(gateway, mail.new_token()).code == 250
    (small_disk / "ballast").write_bytes(b"x" * 1_500_000)
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        reply = client.cmd("MAIL FROM:<bob@example.org>")
        assert reply.text == "452 4.3.1 Insufficient system storage"
    (small_disk / "ballast").unlink()
    wait.until(lambda: send(gateway, mail.new_token()).code == 250, "mail to be taken again", 10)


@root
def test_queue_minfree_counts_the_announced_size(small_disk, gateways, peer):
    gateway = gateways(relay_transport=peer.transport, queue_directory=small_disk / "spool", message_size_limit="10M", queue_minfree="1M")
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        assert client.cmd("MAIL FROM:<bob@example.org> SIZE=9000000").code == 452
        assert client.cmd("MAIL FROM:<bob@example.org> SIZE=1000").code == 250


@root
def test_read_only_spool_at_start(small_disk, gateways, peer):
    (small_disk / "spool").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    gateway = gateways(start=False, relay_transport=peer.transport, queue_directory=small_disk / "spool")
    gateway.start(ready=False)
    assert gateway.wait_exit() != 0
    assert "ead-only" in gateway.log() + gateway.stderr.decode(), gateway.log()


def test_spool_becomes_read_only(gateways, peer, inject):
    """As a disk with errors does: 4xx while it lasts, and what is in the spool waits."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", queue_minfree=1)
    peer.down()
    token = mail.new_token()
    assert send(gateway, token).code == 250
    gateway.wait_log("status=deferred")
    writable_again = inject(gateway, "open,openat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,fsync,fdatasync:error=EROFS")
    for _ in range(3):
        reply = send(gateway, mail.new_token())
        assert reply.code in (451, 452), reply
    writable_again()
    peer.up()
    gateway.wait_queue_empty()
    assert peer.count(token) == 1
    assert peer.messages == 1
    assert send(gateway, mail.new_token()).code == 250


@root
def test_wrong_owner(gateways, peer):
    """The spool belongs to somebody else and we may not write: said, with the remedy, at start."""
    gateway = gateways(start=False, relay_transport=peer.transport)
    gateway.spool.mkdir(mode=0o700)
    os.chmod(gateway.directory, 0o755)
    from harness.gateway import binary, clean_environment
    done = subprocess.run([binary(), "serve"], env=clean_environment(gateway.settings), capture_output=True, user=65534, group=65534,
                          timeout=20, cwd="/")
    assert done.returncode not in (0, -11, -6), done
    said = (done.stdout + done.stderr).decode()
    assert str(gateway.spool) in said and re.search("ermission denied|not writable", said), said


def test_spool_folder_vanishes(gateways, peer):
    """Somebody removes the mounted directory under the daemon: nothing is promised any more."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue")
    shutil.rmtree(gateway.spool / "queue")
    shutil.rmtree(gateway.spool / "incoming")
    reply = send(gateway, mail.new_token())
    assert reply.code in (451, 452), reply


def test_spool_is_made_where_it_is_missing(gateways, peer):
    gateway = gateways(start=False, relay_transport=peer.transport)
    gateway.settings["queue_directory"] = gateway.spool = gateway.directory / "not" / "yet"
    gateway.start()
    assert gateway.spool.is_dir()


@pytest.mark.parametrize("when", ["1", "2", "3", "2+2", "1+"])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_failing_fsync(error, when, gateways, peer, inject):
    """Either the mail is refused with 4xx and is not in the spool, or it is delivered; never 250 and gone."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no")
    healed = inject(gateway, f"fsync,fdatasync:error={error}:when={when}")
    peer.down()
    taken, refused = [], []
    for _ in range(8):
        token = mail.new_token()
        reply = send(gateway, token)
        assert reply.code in (250, 451, 452), reply
        (taken if reply.code == 250 else refused).append(token)
    if when == "1+":
        assert not taken
    if when == "1":  # later ones may fall on the record of an attempt, which costs nobody his mail
        assert refused
    queued = gateway.postqueue()
    assert len(queued) == len(taken), f"{len(taken)} taken, {len(queued)} in the queue"
    healed()
    gateway.stop()
    gateway.start()
    peer.up()
    gateway.wait_queue_empty()
    for token in taken:
        assert peer.count(token) >= 1, "250 and gone"
    for token in refused:
        assert peer.count(token) == 0, "4xx and delivered all the same: the sender will send it again"


def test_direct_needs_no_disk(gateways, peer, inject):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="direct", verify_recipients="no")
    inject(gateway, "fsync,fdatasync,openat,open,rename,renameat,renameat2,mkdir,mkdirat:error=EIO")
    for _ in range(3):
        token = mail.new_token()
        assert send(gateway, token).code == 250
        assert peer.count(token) == 1


def test_direct_without_upstream_and_without_disk(gateways, peer, inject):
    """Nobody has it and it cannot be kept: the sender keeps it."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="direct", verify_recipients="no")
    healed = inject(gateway, "fsync,fdatasync:error=EIO")
    peer.down()
    for _ in range(3):
        assert send(gateway, mail.new_token()).code in (451, 452)
    healed()
    peer.up()
    token = mail.new_token()
    wait.until(lambda: send(gateway, token).code == 250, "mail to be taken again")
    gateway.wait_queue_empty()
    assert peer.messages == 1


def test_direct_half_delivered_and_no_disk(gateways, peer, inject):
    """One recipient has it, the other cannot be kept: 4xx (a double for the one is better than a loss for the other)."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="direct", verify_recipients="no")
    healed = inject(gateway, "fsync,fdatasync:error=EIO")
    fault = peer.fail("rcpt", "4xx", nth=0)
    token = mail.new_token()

    def try_it():
        return smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com", "bob@example.com"], mail.message(token)).code

    assert try_it() in (451, 452)
    assert gateway.postqueue() == []
    healed()
    peer.lift()
    assert try_it() == 250
    gateway.wait_queue_empty()
    assert fault.hits == 1
    assert peer.count(token, "alice@example.com") == 1
    assert peer.count(token, "bob@example.com") == 2


def test_direct_timeout_and_no_disk(gateways, peers, inject):
    """Neither kept nor yet delivered when direct_timeout runs out: no 250 before the upstream has said its own."""
    peer = peers(delay={"dot": 1.0})
    gateway = gateways(relay_transport=peer.transport, delivery_mode="direct", verify_recipients="no", direct_timeout="300ms")
    inject(gateway, "fsync,fdatasync:error=EIO")
    token = mail.new_token()
    reply = send(gateway, token)
    if reply.code == 250:
        assert peer.count(token) == 1, "250 while nobody had it"
    else:
        assert reply.code in (451, 452), reply
    gateway.wait_queue_empty()
    wait.until(lambda: peer.count(token) == 1, "the delivery that was under way")


@pytest.mark.parametrize("calls", ["unlink,unlinkat", "unlink,unlinkat,fsync,fdatasync"])
def test_what_was_delivered_is_not_delivered_again_when_it_cannot_be_removed(calls, gateways, peer, inject):
    """The disk fails after the delivery: no second delivery while the process lives and knows."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no")
    peer.down()
    tokens = [mail.new_token() for _ in range(3)]
    for token in tokens:
        assert send(gateway, token).code == 250
    gateway.wait_log("status=deferred")
    healed = inject(gateway, f"{calls}:error=EIO")
    peer.up()
    wait.until(lambda: all(peer.count(t) for t in tokens), "the mails")
    gateway.run("postqueue", "-f")
    time.sleep(2)
    assert [peer.count(t) for t in tokens] == [1, 1, 1]
    healed()


@pytest.mark.parametrize("calls,error", [("write,pwrite64,writev,pwritev,pwritev2", "EIO"), ("rename,renameat,renameat2", "EIO"),
                                         ("rename,renameat,renameat2", "ENOSPC"), ("openat,open", "EMFILE"), ("linkat,link,unlinkat,unlink", "EIO")])
def test_failing_file_calls(calls, error, gateways, peer, inject):
    """Faults thrown in now and then, wherever they fall (start-up apart): no 250 without custody."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no", body_memory_limit=0)
    # some of them, so that it never falls twice at the same place of a message
    inject(gateway, f"{calls}:error={error}:when={'5+13' if 'write' in calls or 'open' in calls else '2+3'}")
    peer.down()
    taken, refused = [], []
    for _ in range(15):
        token = mail.new_token()
        try:
            reply = send(gateway, token, 3000)
            (taken if reply.code == 250 else refused).append(token)
            assert reply.code == 250 or 400 <= reply.code < 500, reply
        except (OSError, smtp_client.Closed):
            pass  # a connection may break by such a fault; nothing was promised
    gateway.kill()
    gateway.start()
    peer.up()
    gateway.wait_queue_empty()
    for token in taken:
        assert peer.count(token) >= 1, "250 and gone"


@pytest.mark.parametrize("delivery_mode", ["direct", "queue"])
def test_slow_fsync(delivery_mode, gateways, peer, inject):
    """20 ms per fsync: the loop answers others meanwhile, and commits share the wait."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode=delivery_mode, verify_recipients="no",
                       smtpd_junk_command_limit=100000)
    quick_again = inject(gateway, "fsync,fdatasync:delay_exit=20000")
    tokens = [mail.new_token() for _ in range(100)]
    codes = []

    def some(part):
        with smtp_client.Smtp(gateway.address) as client:
            client.hello()
            for token in part:
                codes.append(client.mail("bob@example.org", ["alice@example.com"], mail.message(token)).code)

    threads = [threading.Thread(target=some, args=(tokens[n::20],)) for n in range(20)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    slowest = 0
    with smtp_client.Smtp(gateway.address) as client:
        while any(t.is_alive() for t in threads):
            asked = time.monotonic()
            client.cmd("RSET")
            slowest = max(slowest, time.monotonic() - asked)
            time.sleep(0.01)
    for thread in threads:
        thread.join()
    print(f"100 mails in {time.monotonic() - begun:.2f} s; slowest other answer {slowest * 1000:.1f} ms")
    assert codes == [250] * 100
    assert slowest < 0.3
    gateway.wait_queue_empty()
    assert all(peer.count(t) == 1 for t in tokens)
    quick_again()
