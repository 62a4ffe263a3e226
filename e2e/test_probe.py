"""What each server at hand really does, measured by the gateway, against the table of what is known of it; and what a probe leaves behind."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway import HOME, PLACES, Backend, Solo
from hostile import ACCESS_KEY, READ, SECRET_KEY, Hostile, ok
from processes import until
from raw import Connection

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


@pytest.fixture
def scripted():
    """A gateway and a backend that does as it is told."""
    home, gateway = Hostile(), Solo("\n[proxy.upstream]\nprobe_interval = \"1h\"\n")
    try:
        gateway.start()
        gateway.add_backend(Backend(HOME, home.endpoint, ACCESS_KEY, SECRET_KEY), HOME)
        yield gateway, home
    finally:
        gateway.close()
        home.close()


def made(home: Hostile) -> set[str]:
    return {s.bucket for s in home.seen if s.method == "PUT" and not s.key}


def dropped(home: Hostile) -> set[str]:
    return {s.bucket for s in home.seen if s.method == "DELETE" and not s.key}


def test_a_probe_goes_on_when_nobody_waits_for_it(scripted):
    """It is measured and kept, and what was made for it is dropped."""
    gateway, home = scripted
    go, path = threading.Event(), f"/v1/backends/{HOME}/probe"
    home.answers["PUT", ""] = [READ, lambda _: (go.wait(30), ok())[1]]
    assert gateway.api("GET", path)[0] == 404, "not measured yet"
    with Connection(gateway.admin_endpoint) as operator:
        operator.send(f"POST {path} HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {gateway.admin_token}\r\nContent-Length: 0\r\n\r\n".encode())
        until(lambda: made(home), "the scratch bucket is asked for")
    assert gateway.api("GET", "/healthz")[0] == 200
    go.set()
    until(lambda: gateway.api("GET", path)[0] == 200, "the findings are kept", 60)
    assert made(home) and made(home) <= dropped(home)


def test_scratch_buckets_of_dead_probes_are_dropped(scripted):
    gateway, home = scripted
    old, young, foreign = (f"s3gw-probe-{rest}" for rest in ("0" * 16, "1" * 16, "of-somebody-else"))
    dates = {old: "2020-01-01T00:00:00.000Z", young: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"), foreign: "2020-01-01T00:00:00.000Z"}
    listed = "".join(f"<Bucket><Name>{name}</Name><CreationDate>{date}</CreationDate></Bucket>" for name, date in dates.items())
    buckets = f"<ListAllMyBucketsResult><Owner><ID>o</ID></Owner><Buckets>{listed}</Buckets></ListAllMyBucketsResult>".encode()
    objects = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    home.answers["GET", ""] = [lambda request: ok(buckets if request.target == "/" else objects)]
    gateway.call("POST", f"/v1/backends/{HOME}/probe")
    assert old in dropped(home) and not {young, foreign} & dropped(home), dropped(home)
