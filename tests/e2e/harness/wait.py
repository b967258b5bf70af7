"""Waiting for something to become true, with a deadline that says what it waited for."""

import os
import time

# Under valgrind and the like everything takes longer: deadlines (never what is measured) are stretched by this.
SCALE = float(os.environ.get("MXGATE_TIME_SCALE") or (15 if os.environ.get("MXGATE_WRAPPER") else 1))


def until(condition, what, timeout=10.0, interval=0.01):
    """Returns the first true value of condition(); AssertionError naming `what` after `timeout` seconds (scaled).

    `what` may be a callable, so that the message can show the state at the end."""
    deadline = time.monotonic() + timeout * SCALE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            text = what() if callable(what) else what
            raise AssertionError(f"waited {timeout * SCALE:.1f} s in vain for {text}")
        time.sleep(interval)
        interval = min(interval * 1.5, 0.1)
