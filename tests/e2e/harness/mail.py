"""Messages with a token that finds them again, wherever they come out."""

import re
import uuid


def new_token():
    return uuid.uuid4().hex


TOKEN = re.compile(rb"X-Token: ([0-9a-f]{32})")


def token_of(body):
    found = TOKEN.search(body[:65536])
    return found.group(1).decode() if found else None


def message(token, text=b"hello\r\n", subject="test", sender="bob@example.org", to="alice@example.com", size=None):
    """A small mail as bytes with CRLF lines; `size` pads the text up to about so many bytes."""
    head = (f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nMessage-ID: <{token}@test.example.org>\r\n"
            f"X-Token: {token}\r\n\r\n").encode()
    if size is not None:
        line = b"0123456789abcdef" * 4 + b"\r\n"
        text = line * max(1, (size - len(head)) // len(line))
    return head + text


def stuffed(body):
    """The text as it goes through DATA, without the final dot."""
    return re.sub(rb"(?m)^\.", b"..", body)


def without_trace(body):
    """The message without what stands before it was sent: the leading Return-Path, Delivered-To, Received lines
    that the gateway and Dovecot put on top (our own messages begin with From:)."""
    while True:
        match = re.match(rb"(?:Return-Path|Delivered-To|Received|X-[A-Za-z-]*Original-To): ?[^\n]*\n(?:[ \t][^\n]*\n)*", body)
        if not match:
            return body
        body = body[match.end():]
