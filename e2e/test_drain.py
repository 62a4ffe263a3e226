"""A proxy that is told to stop: seen before it comes, and nothing is lost on the way."""

from __future__ import annotations

import os
import signal
import time

import pytest

from gateway import Solo
from processes import until
from raw import Connection, exchange, host_of

DELAY = 6
SETTINGS = f"""
[proxy.limits]
drain_delay = "{DELAY}s"
grace = "10s"
"""


@pytest.fixture
def solo():
    gateway = Solo(SETTINGS)
    try:
        yield gateway.start()
    finally:
        gateway.close()


def test_a_load_balancer_sees_the_stop_before_connections_are_refused(solo):
    """While readiness says no, requests are served on connections that were open before and on new ones; then the process ends by itself."""
    process, request = solo.process, f"GET / HTTP/1.1\r\nHost: {host_of(solo.endpoint)}\r\n\r\n".encode()

    def is_draining() -> bool:
        status, body = solo.api("GET", "/readyz")
        return status == 503 and not next(check for check in body["checks"] if check["name"] == "draining")["ok"]

    with Connection(solo.endpoint) as kept:
        kept.send(request)
        before = kept.answer()
        assert before.code == "AccessDenied" and (before.get("connection") or "").lower() != "close", str(before)
        assert not is_draining()
        began = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        until(is_draining, "readiness says no", DELAY / 2)
        kept.send(request)
        for answer in (kept.answer(linger=1), exchange(solo.endpoint, request, linger=1)):
            assert answer.code == "AccessDenied" and answer.closed, str(answer)
            assert answer.get("connection").lower() == "close", answer.headers
        assert process.alive() and is_draining()
    assert process.child.wait(DELAY + 20) == 0, process.tail()
    assert time.monotonic() - began >= DELAY
    with pytest.raises(ConnectionRefusedError):
        Connection(solo.endpoint)
