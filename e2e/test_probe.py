"""What each server at hand really does, measured by the gateway, against the table of what is known of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway import HOME, PLACES

KNOWN = json.loads(Path(__file__).with_name("capabilities.json").read_text())


def findings(probe: dict) -> dict[str, bool | None]:
    return {f["capability"]: f["measured"] for f in probe["findings"]}


@pytest.mark.lent
@pytest.mark.names_physical
def test_a_probe_measures_what_is_known_of_the_server(gateway):
    before = gateway.backends[HOME].buckets()
    probe = json.loads(gateway.admin("--json", "backend", "probe", HOME))
    assert findings(probe) == KNOWN[gateway.name], json.dumps(probe["findings"], indent=2)
    assert all(f["evidence"] for f in probe["findings"])
    assert gateway.backends[HOME].buckets() == before, "the scratch bucket is gone"
    assert json.loads(gateway.admin("--json", "backend", "probe", HOME, "--last")) == probe


@pytest.mark.shape("embedded", "production")
def test_a_probe_is_shown_as_a_table_and_can_be_applied(gateway):
    """What is declared of this one is what it does, so that applying it changes nothing for the tests that follow."""
    text = gateway.admin("backend", "probe", HOME, "--apply")
    assert "CAPABILITY" in text and "server_side_copy" in text
    shown = gateway.call("GET", f"/v1/backends/{HOME}")["capabilities"]
    assert {name: shown[name] for name in KNOWN[gateway.name] if name in shown} == {n: m for n, m in KNOWN[gateway.name].items() if n in shown}


def test_a_backend_is_measured_before_it_is_used(gateway):
    """The same server once more, without a word on what it can do."""
    home = gateway.backends[HOME]
    place = [f"--{part}={value}" for part, value in PLACES[HOME].items()]
    env = {"S3GATEWAY_BACKEND_SECRET_KEY": home.secret_key}
    gateway.admin("backend", "add", "measured", "--url", home.endpoint, "--access-key", home.access_key, *place, env=env)
    try:
        shown = gateway.call("GET", "/v1/backends/measured")["capabilities"]
        known = KNOWN[gateway.name]
        assert {name: shown[name] for name in known if name in shown} == {n: m for n, m in known.items() if n in shown}
        assert findings(json.loads(gateway.admin("--json", "backend", "probe", "measured", "--last"))) == known
    finally:
        gateway.api("DELETE", "/v1/backends/measured")


def test_a_backend_that_is_away_cannot_be_probed(gateway):
    assert gateway.api("POST", "/v1/backends/nowhere/probe")[0] == 404
    gateway.stop_backend(HOME)
    status, problem = gateway.api("POST", f"/v1/backends/{HOME}/probe")
    assert status == 502 and "scratch bucket" in problem["detail"], problem
