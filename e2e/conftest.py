"""Fixtures: the gateway in its shapes, or (S3GATEWAY_E2E_SHAPES=direct) one RGW alone, to try the tours themselves."""

from __future__ import annotations

import os
import signal
import time

import pytest

import processes
from attacks import Arena
from clients import MIB, Content, Target
from gateway import SHAPES, Gateway
from servers import Rgw

# What would steer a client must not reach those in this process either, such as a proxy for pip that knows no loopback.
for name in os.environ.keys() - processes.clean_environment().keys():
    if not name.startswith("S3GATEWAY_"):
        del os.environ[name]

NAMES = (os.environ.get("S3GATEWAY_E2E_SHAPES") or "embedded,production,plain").split(",")
STARTED = time.monotonic()


class Direct:
    """One RGW without a gateway."""

    name = "direct"

    def __init__(self):
        self.rgw = Rgw(["main"])

    def start(self):
        self.rgw.start()
        return self

    def target(self, tenant: str = "acme") -> Target:
        user = self.rgw.users["main"]
        return Target("direct", self.rgw.endpoint("main"), user.access_key, user.secret_key)

    def leaked(self) -> str:
        return ""

    def close(self):
        self.rgw.close()


def pytest_generate_tests(metafunc):
    if "shape" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("shape")
        lent = metafunc.definition.get_closest_marker("lent")
        names = [n for n in NAMES if (n in marker.args if marker else n != "plain" or lent)]
        metafunc.parametrize("shape", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def shape(request):
    """A running system; it goes when the last test of its shape is through."""
    made = (Direct if request.param == "direct" else SHAPES[request.param])()
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def gateway(shape) -> Gateway:
    if shape.name == "direct":
        pytest.skip("needs the gateway")
    return shape


@pytest.fixture(scope="session")
def target(shape) -> Target:
    return shape.target()


@pytest.fixture(scope="session")
def large(tmp_path_factory) -> Content:
    """What every client has to carry: 200 MiB."""
    return Content.make(tmp_path_factory.mktemp("large") / "content", 200 * MIB)


@pytest.fixture(scope="module")
def arena(shape) -> Arena:
    """For the attack tables: a bucket that is watched at its home."""
    if shape.name == "direct":
        pytest.skip("needs the gateway")
    return Arena(shape)


@pytest.fixture(autouse=True)
def nothing_leaks(request):
    """After each test: no answer that passed the tap held a physical bucket, a backend's host or its credentials."""
    shape = request.getfixturevalue("shape") if "shape" in request.fixturenames else None
    before = len(shape.leaked()) if shape else 0
    yield
    if hasattr(shape, "heal"):
        shape.heal()
    leaked = shape.leaked()[before:] if shape and not request.node.get_closest_marker("names_physical") else ""
    assert not leaked, f"an answer leaked:\n{leaked[:3000]}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failing test shows the end of every live process's log; why it failed it says at once, as a run that is cut off has no summary."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        item.config.get_terminal_writer().write(f"\n{report.nodeid}, {report.when}: {report.longreprtext}\n")
        for process in processes.LIVE:
            if process.name.startswith(("dev", "proxy", "worker")):
                report.sections.append((f"log of {process.name}", process.tail(4000)))


def pytest_collection_modifyitems(items):
    """One shape after the other; in each, the tests that kill things come last."""
    def order(item):
        name = getattr(item, "callspec", None) and item.callspec.params.get("shape")
        return (NAMES.index(name) if name in NAMES else -1, "test_faults" in item.nodeid, "test_memory" in item.nodeid)

    items.sort(key=order)


def pytest_sessionfinish(session, exitstatus):
    for process in list(processes.LIVE):
        process.stop(signal.SIGKILL)


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"end-to-end: {', '.join(NAMES)} in {time.monotonic() - STARTED:.0f} s")
