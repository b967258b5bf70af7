"""Random dialogues: clients and an upstream that do right, wrong and worse, by a seed.

A Scenario is lists of plain data, so that it can be printed, played again and made smaller: the settings of a gateway,
what the upstream does wrong, and the sessions of the clients, each a list of steps:

    hello WORD | mail ADDRESS PARAMETERS | rcpt ADDRESS | rset | raw BYTES | group LINES | slow | quit | cut
    data KIND LINES END        END: dot, dot-cut (gone before the reply), cut (gone in the middle), rset (in the text)
    bdat KIND LINES PIECES     in so many pieces, the last one empty in every other mail

A client believes replies alone: who was taken is who heard 250, and a mail is promised when its last reply is 250."""

import random
import re
import threading

from . import mail, smtp_client

GOOD, UNKNOWN, FOREIGN = "r{}@example.com", "unknown{}@example.com", "x{}@example.net"
RAW = (b"\0\0\0\r\n", b"MAIL FROM:<a@example.org\r\n", b"RCPT TO:<@@>\r\n", b"GET / HTTP/1.0\r\n", b"x" * 3000 + b"\r\n", b"\r\n", b"\n",
       b"HELP\r\n", b"EXPN a\r\n", b"ETRN example.com\r\n", b"NOOP\n", b"NOOP\rNOOP\r\n", b"\xff\xfe\r\n", b"XCLIENT ADDR=192.0.2.1\r\n",
       b"AUTH PLAIN AGEAYg==\r\n", b"BDAT\r\n", b"BDAT -1 LAST\r\n", b"BDAT 99999999999999999999\r\n", b"MAIL FROM:<> SIZE=x\r\n", b".\r\n",
       b"RCPT TO:<r@example.com> NOTIFY=SOMETIMES\r\n", b"MAIL FROM:<a@b>\0\r\n", b"NOOP " + b"y" * 500 + b"\r\n", b"QUI\r\n", b"STARTTLS x\r\n")
# step -> what the upstream may do wrong there and still has not lied about what it took.
WRONG = {
    "greeting": ("drop", "rst", "4xx", "5xx", "421", "garbage", "http", "short-code", "byte-by-byte", "many-lines", "no-crlf", "extra"),
    "lhlo": ("drop", "rst", "4xx", "garbage", "empty-line", "code-change", "byte-by-byte", "421", "no-crlf", "extra"),
    "mail": ("drop", "rst", "4xx", "5xx", "421", "garbage", "code-change", "long-line", "byte-by-byte", "many-lines"),
    "rcpt": ("drop", "rst", "4xx", "5xx", "421", "garbage", "short-code", "long-line", "byte-by-byte", "no-crlf"),
    "data": ("drop", "rst", "4xx", "5xx", "421", "garbage", "byte-by-byte", "many-lines"),
    "body": ("drop", "rst", "early-4xx", "early-5xx"),
    "dot": ("drop", "rst", "drop-stored", "rst-stored", "4xx", "5xx", "421", "garbage", "code-change", "byte-by-byte", "many-lines",
            "no-crlf", "nul"),
    "rset": ("drop", "4xx", "5xx", "garbage", "extra"),
    "quit": ("drop", "garbage"),
}
SLOW = ("greeting", "lhlo", "mail", "rcpt", "data", "dot")  # where it may be silent, which costs its time limit


def text_of(kind, lines, token):
    """A message; what it is made of is decided by its kind and size alone."""
    draw = random.Random(f"{kind} {lines}")
    body = []
    for n in range(lines):
        if kind == "dots":
            body.append(draw.choice((b".", b"..", b"...x", b".\t", b"a.", b"", b". QUIT", b".b")))
        elif kind == "eight":
            body.append(bytes(draw.choice(b"\xc3\xa4\xe2\x82\xac az") for _ in range(draw.randrange(60))))
        elif kind == "wide":
            body.append(b"w" * draw.choice((1, 76, 512, 900, 998)))
        elif kind == "commands":
            body.append(draw.choice((b"RSET", b"QUIT", b"MAIL FROM:<evil@example.net>", b"RCPT TO:<x@example.net>", b"DATA", b"From x",
                                     b"BDAT 3 LAST")))
        else:
            body.append(b"line %d of a mail" % n)
    return mail.message(token, text=b"".join(line + b"\r\n" for line in body) or b"\r\n")


class Scenario:
    """Everything of it follows from the seed."""

    def __init__(self, seed):
        draw = random.Random(seed)
        self.seed = seed
        self.settings = {"delivery_mode": draw.choice(("direct", "queue")), "verify_recipients": draw.choice(("yes", "no"))}
        self.together = draw.random() < 0.3
        self.faults = []
        for _ in range(draw.choice((0, 0, 1, 1, 2, 3))):
            step = draw.choice(tuple(WRONG))
            kind = "stall" if step in SLOW and draw.random() < 0.04 else draw.choice(WRONG[step])
            nth = draw.choice((None, 0, 1)) if step in ("rcpt", "dot") else None
            self.faults.append((step, kind, nth, draw.choice((1, 1, 2, 3))))
        self.sessions = [self._session(draw, number) for number in range(draw.randrange(1, 6))]

    def _session(self, draw, number):
        steps = [("hello", draw.choice(("EHLO", "EHLO", "EHLO", "HELO", "LHLO")))] if draw.random() < 0.95 else []
        for turn in range(draw.choice((1, 1, 1, 2, 3, 5))):
            steps += self._transaction(draw, f"{number}-{turn}")
        steps.append(draw.choice((("quit",), ("quit",), ("cut",))))
        return steps

    @staticmethod
    def _transaction(draw, name):
        def noise():
            return [draw.choice((("raw", draw.choice(RAW)), ("rset",), ("slow",), ("hello", "EHLO"), ("rcpt", FOREIGN.format(name)),
                                 ("data", "plain", 1, "dot")))] if draw.random() < 0.12 else []

        sender = f"s{name}@example.com"
        recipients = [draw.choice((GOOD, GOOD, GOOD, GOOD, UNKNOWN, FOREIGN)).format(f"{name}-{i}") for i in range(draw.choice((1, 1, 2, 3, 6)))]
        parameters = draw.choice(("", "", " BODY=8BITMIME", " SIZE=100", " RET=HDRS", " SIZE=99999999999"))
        begin = [("mail", sender, parameters)] + [("rcpt", r) for r in recipients]
        if draw.random() < 0.2:
            steps = [("group", begin)]
        else:
            steps = [s for one in begin for s in (*noise(), one)]
        kind, lines = draw.choice(("plain", "dots", "eight", "wide", "commands")), draw.choice((0, 1, 3, 20, 20, 300, 3000))
        if draw.random() < 0.15:
            return [*steps, *noise(), ("bdat", kind, lines, draw.choice((1, 2, 5)))]
        return [*steps, *noise(), ("data", kind, lines, draw.choice(("dot",) * 10 + ("dot-cut", "cut", "rset")))]

    def __str__(self):
        lines = [f"seed {self.seed}: {self.settings}, sessions {'together' if self.together else 'one after the other'}"]
        lines += [f"  the upstream at {step}: {kind}, nth {nth}, {times} times" for step, kind, nth, times in self.faults]
        for number, steps in enumerate(self.sessions):
            lines += [f"  session {number}:"] + [f"    {' '.join(map(repr, s))}" for s in steps]
        return "\n".join(lines)


class Mail:
    def __init__(self, token, sender, recipients, text):
        self.token, self.sender, self.recipients, self.text = token, sender, recipients, text
        self.outcome = "cut"  # promised, refused, cut (before the end), unknown (gone after it)
        self.queue_id = None


class Gone(Exception):
    """The server, or this client, left."""


class Player:
    """One session, played; .mails is what came of it."""

    def __init__(self, address, steps):
        self.address, self.steps = address, steps
        self.mails = []
        self.said = []
        self.sender, self.taken = None, []

    def play(self):
        try:
            self.client = smtp_client.Smtp(self.address)
        except (smtp_client.Closed, OSError):
            return
        try:
            if self.client.greeting.code == 220:
                for step in self.steps:
                    getattr(self, "do_" + step[0])(*step[1:])
        except (Gone, smtp_client.Closed, OSError) as end:
            self.said.append(f"-- {type(end).__name__}")
        finally:
            self.client.close()

    def reply(self):
        reply = self.client.reply()
        self.said.append(f"   {reply!r}")
        return reply

    def send(self, data):
        self.said.append(f"{data[:80]!r}")
        self.client.send(data)

    def forget(self):
        self.sender, self.taken = None, []

    def line(self, kind, *words):
        return {"hello": b"%s client.example.net\r\n", "mail": b"MAIL FROM:<%s>%s\r\n", "rcpt": b"RCPT TO:<%s>\r\n"}[kind] \
            % tuple(w.encode() for w in words)

    def heard(self, kind, words, reply):
        if reply.code != 250:
            return
        if kind == "rcpt":
            self.taken.append(words[0])
        else:
            self.forget()
            self.sender = words[0] if kind == "mail" else None

    def do_hello(self, word):
        self.send(self.line("hello", word))
        self.heard("hello", (), self.reply())

    def do_mail(self, *words):
        self.do_group([("mail", *words)])

    def do_rcpt(self, *words):
        self.do_group([("rcpt", *words)])

    def do_group(self, lines):
        self.send(b"".join(self.line(*one) for one in lines))
        for kind, *words in lines:
            self.heard(kind, words, self.reply())

    def do_rset(self):
        self.send(b"RSET\r\n")
        if self.reply().code == 250:
            self.forget()

    def do_raw(self, data):
        """Whatever is said to that, until an answer that can only be the one to our question; then all is forgotten."""
        mark = f"sync{random.getrandbits(40)}"
        self.send(data + b"VRFY %s@example.com\r\n" % mark.encode())
        while mark not in (reply := self.reply()).text and reply.code not in (334,):
            pass
        if reply.code == 334:  # AUTH: the question was its answer
            self.reply()
        self.do_rset()

    def do_slow(self):
        for byte in b"NOOP\r\n":
            self.client.send(bytes([byte]))
        self.reply()

    def do_quit(self):
        self.send(b"QUIT\r\n")
        self.reply()
        raise Gone

    def do_cut(self):
        raise Gone

    def begin_mail(self, kind, lines):
        token = mail.new_token()
        self.mails.append(Mail(token, self.sender, list(self.taken), text_of(kind, lines, token)))
        return self.mails[-1]

    def end_mail(self, m):
        m.outcome = "unknown"
        reply = self.reply()
        found = re.search(r"queued as ([0-9A-F]+)", reply.text)
        m.outcome = "promised" if reply.code == 250 else "refused"
        m.queue_id = found.group(1) if found else None
        self.forget()

    def do_data(self, kind, lines, end):
        self.send(b"DATA\r\n")
        if self.reply().code != 354:
            return
        m = self.begin_mail(kind, lines)
        wire = mail.stuffed(m.text)
        if end == "cut":
            self.send(wire[:len(wire) * 2 // 3])
            raise Gone
        if end == "rset":  # it is text
            m.text += b"RSET\r\n"
            wire += b"RSET\r\n"
        self.send(wire)
        m.outcome = "unknown"
        self.send(b".\r\n")
        if end == "dot-cut":
            raise Gone
        self.end_mail(m)

    def do_bdat(self, kind, lines, pieces):
        m = self.begin_mail(kind, lines)
        size = len(m.text) // pieces + 1
        parts = [m.text[i:i + size] for i in range(0, len(m.text), size)] + ([b""] if lines % 2 else [])
        for part in parts[:-1]:
            self.send(b"BDAT %d\r\n" % len(part) + part)
            if self.reply().code != 250:
                m.outcome = "refused"
                return
        m.outcome = "unknown"
        self.send(b"BDAT %d LAST\r\n" % len(parts[-1]) + parts[-1])
        self.end_mail(m)


def play(scenario, address):
    """All its sessions; the players, when all have ended."""
    players = [Player(address, steps) for steps in scenario.sessions]
    if scenario.together:
        threads = [threading.Thread(target=p.play) for p in players]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:
        for player in players:
            player.play()
    return players


# --- making one smaller

def _smaller(scenario):
    """One part less, in turn: sessions, what goes wrong, steps, lines of a group; then the rest."""
    def with_(**changes):
        other = Scenario(scenario.seed)
        other.__dict__.update({**scenario.__dict__, **changes})
        return other

    for i in range(len(scenario.sessions)):
        yield with_(sessions=scenario.sessions[:i] + scenario.sessions[i + 1:])
    for i in range(len(scenario.faults)):
        yield with_(faults=scenario.faults[:i] + scenario.faults[i + 1:])
    if scenario.together:
        yield with_(together=False)
    for i, steps in enumerate(scenario.sessions):
        shorter = [steps[:j] + steps[j + 1:] for j in range(len(steps))]
        for j, step in enumerate(steps):
            if step[0] == "group":
                shorter += [steps[:j] + [("group", step[1][:k] + step[1][k + 1:])] + steps[j + 1:] for k in range(len(step[1]))]
            if step[0] in ("data", "bdat") and step[2] > 1:
                shorter.append(steps[:j] + [(step[0], step[1], step[2] // 4, *step[3:])] + steps[j + 1:])
        for less in shorter:
            yield with_(sessions=scenario.sessions[:i] + [less] + scenario.sessions[i + 1:])


def shrink(scenario, fails, most=200):
    """The smallest that still fails, with at most so many tries. fails(scenario) -> bool."""
    tries = 0
    again = True
    while again:
        again = False
        for smaller in _smaller(scenario):
            tries += 1
            if tries > most:
                return scenario
            if fails(smaller):
                scenario, again = smaller, True
                break
    return scenario
