"""Every fault of an upstream at every step of the dialogue, in both modes.

Afterwards the mail has been delivered: once, or (only where the connection broke after the final dot, and then the log
says so) at least once. Nothing is bounced but by a 5xx about the recipient or the message.

The cases are independent and mostly wait, so they run side by side; each test only reports on its own."""

import concurrent.futures
import os
import threading

import pytest

from harness import mail, smtp_client, wait
from harness.gateway import Gateway
from harness.lmtp_peer import LHLO_WORDS, XCLIENT_WORD, LmtpPeer

# a large body takes its time here, with many cases side by side
BIG = dict(lmtp_data_xfer_timeout="2s", lmtp_data_done_timeout="10s", direct_timeout="8s")
MORE_THAN_ONCE = "message may be sent more than once"
BROKEN = ("drop", "rst", "stall", "garbage", "http", "empty-line", "short-code", "code-change", "long-line", "no-crlf",
          "endless")
FINE = ("many-lines", "byte-by-byte")
QUICK = dict(lmtp_connect_timeout="500ms", lmtp_lhlo_timeout="500ms", lmtp_xclient_timeout="500ms",
             lmtp_mail_timeout="500ms", lmtp_rcpt_timeout="500ms", lmtp_data_init_timeout="500ms",
             lmtp_data_xfer_timeout="500ms", lmtp_data_done_timeout="500ms", lmtp_rset_timeout="500ms",
             lmtp_quit_timeout="300ms", lmtp_connection_idle_time="100ms", verify_timeout="400ms",
             direct_timeout="3s")


class Case:
    """expect: fine (delivered although the fault stands), trouble (kept, delivered once it is gone), either (one of
    these), refused (permanent for the recipients the fault is about), verdict (refused or trouble)."""

    def __init__(self, step, kind, expect, nth=None, size=None, verify=False, words=LHLO_WORDS):
        self.step, self.kind, self.expect, self.nth = step, kind, expect, nth
        self.size, self.verify, self.words = size, verify, words

    def __str__(self):
        return f"{self.step}-{self.kind}" + (f"-{self.nth}" if self.nth is not None else "") + \
            ("-verify" if self.verify else "")


def cases():
    for step in ("greeting", "lhlo", "mail", "rcpt", "data"):
        for kind in BROKEN + ("4xx", "421"):
            yield Case(step, kind, "trouble")
        for kind in FINE:
            yield Case(step, kind, "fine")
        for kind in ("nul", "extra", "extra-5xx"):
            yield Case(step, kind, "either")
    # P3: a 5xx counts against a recipient only when it is about the recipient or the message
    yield Case("greeting", "5xx", "trouble")
    yield Case("lhlo", "5xx", "trouble")
    yield Case("lhlo", "500", "trouble")
    yield Case("mail", "5xx", "trouble")
    yield Case("rcpt", "5xx", "refused")
    yield Case("rcpt", "5xx", "refused", nth=0)
    yield Case("rcpt", "5xx", "refused", nth=1)
    yield Case("rcpt", "4xx", "trouble", nth=0)
    yield Case("rcpt", "drop", "trouble", nth=1)
    yield Case("data", "5xx", "verdict")
    for kind in ("drop", "rst", "early-4xx"):
        yield Case("body", kind, "trouble", size=300_000)
    # more than the sockets' buffers hold, so that the gateway can see that the reply came before its dot
    yield Case("body", "early-250", "trouble", size=16_000_000)
    yield Case("body", "early-5xx", "verdict", size=300_000)
    yield Case("body", "stall", "trouble", size=16_000_000)
    for nth in (None, 1):
        for kind in BROKEN + ("drop-stored", "rst-stored", "stall-stored", "4xx", "421"):
            yield Case("dot", kind, "trouble", nth=nth)
        yield Case("dot", "5xx", "refused", nth=nth)
    yield Case("dot", "4xx", "trouble", nth=0)
    yield Case("dot", "5xx", "refused", nth=0)
    for kind in FINE:
        yield Case("dot", kind, "fine")
    for kind in ("extra", "extra-5xx"):  # one reply more than there are recipients
        yield Case("dot", kind, "fine", nth=1)
    yield Case("dot", "extra", "either", nth=0)
    yield Case("dot", "nul", "either")
    for kind in BROKEN + FINE + ("4xx", "5xx", "421", "extra", "nul"):
        yield Case("quit", kind, "fine")
    with_xclient = LHLO_WORDS + (XCLIENT_WORD,)
    for kind in BROKEN + ("421",):
        yield Case("xclient", kind, "trouble", words=with_xclient)
    for kind in FINE + ("5xx",):  # "not trusted": go on without
        yield Case("xclient", kind, "fine", words=with_xclient)
    for kind in ("4xx", "extra", "nul"):
        yield Case("xclient", kind, "either", words=with_xclient)
    for step in ("mail", "rcpt", "rset"):
        for kind in ("drop", "rst", "stall", "garbage", "endless", "4xx", "421", "extra", "byte-by-byte"):
            yield Case(step, kind, "either", verify=True)
    yield Case("mail", "5xx", "either", verify=True)
    yield Case("rset", "5xx", "either", verify=True)


ALL = [(case, mode) for case in cases() for mode in ("direct", "queue")]


def run(case, mode):
    with LmtpPeer(words=case.words) as peer:
        fault = peer.fail(case.step, case.kind, nth=case.nth)
        gateway = Gateway(relay_transport=peer.transport, delivery_mode=mode,
                          verify_recipients="yes" if case.verify else "no", **dict(QUICK, **(BIG if case.size else {})))
        try:
            gateway.start()
            if case.verify:  # an address is asked for only where the destination is up; its first look may have been too slow
                wait.until(lambda: all(d["up"] for d in gateway.ask_status()["destinations"]), "the destination to be up")
            Trial(case, mode, peer, gateway, fault).go()
            gateway.stop()
            assert not peer.violations, peer.violations
        except BaseException as failure:
            raise AssertionError(f"{failure}\n--- log\n" + "\n".join(gateway.lines[-60:])) from failure
        finally:
            gateway.remove()


class Trial:
    recipients = ("alice@example.com", "bob@example.com")

    def __init__(self, case, mode, peer, gateway, fault):
        self.case, self.mode, self.peer, self.gateway, self.fault = case, mode, peer, gateway, fault
        self.token = mail.new_token()
        self.body = mail.message(self.token, size=case.size)

    def send(self):
        """Sends as a mail server would. True: the gateway took it. 4xx: False. 5xx: the reply."""
        with smtp_client.Smtp(self.gateway.address) as client:
            client.hello()
            replies = client.envelope("sender@example.org", self.recipients)
            bad = [r for r in replies if r.code != 250]
            if bad:  # all or nothing: so that it can be sent again as it is
                assert self.case.verify, f"the gateway refused what it should take: {bad}"
                client.quit()
                return bad[0] if bad[0].code >= 500 else False
            reply = client.data(self.body)
            client.quit()
            return True if reply.code == 250 else reply if reply.code >= 500 else False

    def go(self):
        taken = self.send()
        wait.until(lambda: self.fault.hits, "the fault to be met", 8)
        refused = self.refused_recipients()
        if taken is True:
            pass
        elif self.case.expect in ("refused", "verdict"):
            assert taken is not False, "4xx to the client where the verdict was known"
            assert self.mode == "direct", f"queue mode asked the upstream before replying? {taken}"
            assert self.case.expect == "verdict" or set(refused) == set(self.recipients), \
                f"{taken} although a recipient was accepted"
            self.peer.lift()
            self.gateway.stop()
            assert self.peer.count(self.token) == 0, "refused, and delivered all the same"
            return
        else:
            assert taken is False, f"refused for good: {taken}"
            assert self.case.verify, "4xx to the client: the gateway should have kept the mail"
        if self.case.expect == "fine":
            assert taken is True
            self.wait_delivered(refused)
        else:
            self.wait_noticed()
        self.peer.lift()
        if taken is False:
            assert wait.until(self.send, "the gateway to take the mail, now that all is well", 8) is True
        self.wait_delivered(refused)
        self.wait_settled(refused)
        self.gateway.stop()
        self.judge(refused)

    def refused_recipients(self):
        if self.case.expect != "refused":
            return ()
        return self.recipients if self.case.nth is None else (self.recipients[self.case.nth],)

    def wait_noticed(self):
        """The gateway has seen the fault through: it delivered, deferred or bounced."""
        wait.until(lambda: self.gateway.grep("status=|reject: |connect to |conversation with |refused to talk|lost connection with")
                   or self.peer.count(self.token) == 2, lambda: "the gateway to notice\n" + self.gateway.tail(), 8)

    def wait_delivered(self, refused):
        wanted = [r for r in self.recipients if r not in refused]
        if self.case.expect == "verdict":
            wait.until(lambda: self.gateway.grep("status=bounced") or
                       all(self.peer.count(self.token, r) for r in wanted), "delivery or a bounce", 10)
            return
        wait.until(lambda: all(self.peer.count(self.token, r) for r in wanted), f"delivery to {wanted}", 10)

    def wait_settled(self, refused):
        """Nothing is left to be delivered (what was refused for good may be held for its bounce)."""
        if refused or self.gateway.grep("status=bounced"):
            wait.until(lambda: not [q for q in self.gateway.postqueue() if q["queue_name"] in ("active", "deferred")]
                       or self.gateway.grep("status=bounced"), "the rest to be settled")
        else:
            self.gateway.wait_queue_empty()

    def judge(self, refused):
        log = self.gateway.log()
        for recipient in self.recipients:
            count = self.peer.count(self.token, recipient)
            if recipient in refused:
                assert count == 0, f"{recipient} was refused by the upstream and got {count}"
                assert self.mode == "direct" or self.gateway.grep(f"to=<{recipient}>.*status=bounced"), "no verdict logged"
                continue
            if self.case.expect == "verdict":
                continue
            assert count >= 1
            if count > 1:
                assert self.case.step in ("dot", "body"), f"{recipient} got it {count} times"
                assert MORE_THAN_ONCE in log, f"{recipient} got it {count} times and the log does not say so"
                first_done = self.case.nth == 1 and recipient == self.recipients[0]
                assert not first_done, f"{recipient} had its 250 and got the mail again"
            assert not self.gateway.grep(f"to=<{recipient}>.*status=bounced"), f"{recipient} was bounced"
        if self.case.step not in ("dot", "body"):
            assert MORE_THAN_ONCE not in log, "said it may be sent twice although no dot was sent"
        if self.case.step == "dot" and self.case.kind in ("drop", "rst", "stall", "drop-stored", "rst-stored", "stall-stored"):
            assert MORE_THAN_ONCE in log, "the connection died after the dot, and the log does not say what that means"


@pytest.fixture(scope="session")
def outcomes(request):
    """Runs the selected cases side by side."""
    wanted = {(str(i.callspec.params["case"]), i.callspec.params["mode"]): i.callspec.params
              for i in request.session.items if getattr(i, "originalname", "") == "test_fault"}
    workers = int(os.environ.get("MXGATE_WORKERS") or (4 if os.environ.get("MXGATE_WRAPPER") else 16))
    stop = threading.Event()

    def unless_stopped(case, mode):
        if not stop.is_set():
            run(case, mode)

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        yield {key: pool.submit(unless_stopped, p["case"], p["mode"]) for key, p in wanted.items()}
        stop.set()


@pytest.mark.parametrize("case,mode", ALL, ids=[f"{case}-{mode}" for case, mode in ALL])
def test_fault(case, mode, outcomes):
    outcomes[str(case), mode].result()
