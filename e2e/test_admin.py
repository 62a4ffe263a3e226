"""The admin API and its CLI from outside: who may ask, what is never told, and that what operators change reaches every proxy."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import urllib.request
import uuid

import pytest

from clients import create_bucket, fails
from gateway import BINARY, DENIED, HOME, REPLICA
from processes import clean_environment, run, until
from raw import exchange

PATHS = [
    ("GET", "/v1/tenants"), ("POST", "/v1/tenants"), ("GET", "/v1/tenants/acme"), ("DELETE", "/v1/tenants/acme"), ("PUT", "/v1/tenants/acme/policy"), ("POST", "/v1/tenants/acme/keys"),
    ("GET", "/v1/keys"), ("DELETE", "/v1/keys/x"), ("GET", "/v1/backends"), ("POST", "/v1/backends"), ("DELETE", f"/v1/backends/{HOME}"), ("POST", f"/v1/backends/{HOME}/stop"),
    ("GET", "/v1/jobs/depth"), ("POST", "/v1/jobs/redrive"), ("GET", "/v1/explain?tenant=acme"), ("GET", "/v1/no-such-path"), ("GET", "/v1/"),
]


@pytest.mark.parametrize("method,path", PATHS)
@pytest.mark.parametrize("token", ["", "wrong", "x" * 64], ids=["none", "wrong", "long"])
def test_AD_01_no_token_no_answer(gateway, method, path, token):
    status, answer = gateway.api(method, path, {} if method in ("POST", "PUT") else None, token=token)
    assert status == 401, (status, answer)


def test_AD_04_secrets_are_never_told_again(gateway):
    text = "".join(json.dumps(gateway.call("GET", p)) for p in ("/v1/backends", "/v1/keys", "/v1/tenants", f"/v1/backends/{HOME}", "/v1/jobs"))
    secrets = [b.secret_key for b in gateway.backends.values()] + [t.secret_key for t in gateway.tenants.values()] + [gateway.admin_token]
    assert not [s for s in secrets if s in text]
    for path in ("/metrics", "/healthz", "/readyz"):
        with urllib.request.urlopen(gateway.admin_endpoint + path, timeout=10) as answer:
            body = answer.read().decode()
        assert answer.status == 200 and not [s for s in secrets if s in body]


def test_metrics_have_no_tenant_bucket_or_key(gateway):
    bucket = gateway.target().make_bucket("metric")
    gateway.target().s3().put_object(Bucket=bucket, Key="metric-key", Body=b"x")
    with urllib.request.urlopen(gateway.admin_endpoint + "/metrics", timeout=10) as answer:
        body = answer.read().decode()
    assert "s3gateway_" in body
    assert not [w for w in (bucket, "metric-key", "acme", "s3gw-") if w in body]


@pytest.mark.parametrize(
    "endpoint",
    ["http://169.254.169.254/", "file:///etc/passwd", "gopher://h/", "http://user:pw@h.test/", "http://h.test/path", "not a url", "http://[fd00:ec2::254]/"],
)
def test_AD_05_endpoints_that_are_no_backends(gateway, endpoint):
    body = {"id": "evil", "place": {"zone": "z", "region": "r", "country": "FI", "jurisdiction": "EU", "provider": "p"}, "endpoint": endpoint, "access_key": "a", "secret_key": "b"}
    status, answer = gateway.api("POST", "/v1/backends", body)
    assert status in (400, 422), (status, answer)
    assert "endpoint" in json.dumps(answer)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"name": "x", "unknown": 1}', b'{"name": 1}', b'{"name": "x"} trailing', b"[" * 100_000, b'{"name": "' + b"x" * 2_000_000 + b'"}'], ids=lambda b: repr(b[:12]))
def test_AD_07_documents_that_are_none(gateway, body):
    head = f"POST /v1/tenants HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {gateway.admin_token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    # Over a raw socket: an answer that comes before the body is read to its end is right, and urllib would not show it.
    answer = exchange(gateway.admin_endpoint, head.encode() + body)
    assert answer.status in (400, 413, 415, 422, 0), answer
    assert answer.status or len(body) > 1_000_000
    assert gateway.api("GET", "/v1/tenants")[0] == 200


@pytest.mark.parametrize("path", ["/", "/acme/k", "/admin", "/../etc/passwd", "/v1/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"])
def test_AD_06_AD_12_the_admin_port_serves_nothing_else(gateway, path):
    status, answer = gateway.api("GET", path)
    assert status in (400, 404) and "root:" not in str(answer)


@pytest.mark.parametrize("method,path", [("GET", "/v1/tenants"), ("OPTIONS", "/v1/tenants"), ("POST", "/v1/tenants"), ("GET", "/metrics"), ("GET", "/healthz")])
def test_AD_09_no_page_of_another_origin_is_let_in(gateway, method, path):
    """The token is a header that no browser adds by itself: no cookie is given, and no origin is told that it may ask."""
    origin = "Origin: http://evil.test\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\nCookie: token=" + gateway.admin_token
    answer = exchange(gateway.admin_endpoint, f"{method} {path} HTTP/1.1\r\nHost: admin\r\n{origin}\r\nContent-Length: 0\r\n\r\n".encode())
    assert answer.status in ((401, 405) if path.startswith("/v1") else (200,)), str(answer)
    assert not [n for n, _ in answer.headers if n.lower().startswith("access-control-") or n.lower() == "set-cookie"], answer.headers


def test_a_tenants_life(gateway):
    name = f"t-{uuid.uuid4().hex[:8]}"
    gateway.admin("tenant", "create", name, "--placement", HOME, "--deny-countries", "US")
    assert name in gateway.admin("tenant", "list")
    key = json.loads(gateway.admin("--json", "key", "create", name))
    target = gateway.target()
    target.access_key, target.secret_key = key["access_key"], key["secret_key"]
    s3 = target.s3()
    bucket = target.make_bucket("life", "", s3=s3)
    assert fails(create_bucket, s3, "denied-" + name, DENIED) == (403, "AccessDenied")
    shown = gateway.admin("bucket", "show", name, bucket)
    assert HOME in shown and "s3gw-" in shown
    assert bucket in gateway.admin("bucket", "list", name)
    assert "s3gw-" in gateway.admin("names", name, "not-yet-there")
    explained = gateway.admin("explain", name)
    assert DENIED in explained and REPLICA in explained
    # A policy that is lifted reaches every proxy by the change feed.
    assert "countries=US" in gateway.admin("tenant", "policy", name), "asking changes nothing"
    gateway.admin("tenant", "policy", name, "--allow-all")

    def allowed():
        made = f"allowed-{uuid.uuid4().hex[:8]}"
        create_bucket(s3, made, DENIED)
        s3.delete_bucket(Bucket=made)
        return True

    until(allowed, "the lifted policy holds", 5)
    conflict = gateway.admin("tenant", "delete", name, check=False)
    assert name in gateway.admin("tenant", "list"), conflict
    s3.delete_bucket(Bucket=bucket)


def test_a_secret_that_cannot_be_written_is_no_success(gateway):
    name = f"t-{uuid.uuid4().hex[:8]}"
    gateway.admin("tenant", "create", name, "--placement", HOME)
    env = {**clean_environment(), "S3GATEWAY_ADMIN_ENDPOINT": gateway.admin_endpoint, "S3GATEWAY_ADMIN_TOKEN": gateway.admin_token}
    with open("/dev/full", "w") as full:
        done = subprocess.run([BINARY, "admin", "key", "create", name], env=env, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=60)
    (key,) = json.loads(gateway.admin("--json", "key", "list", name))["keys"]
    assert done.returncode == 1 and f"key delete {key['access_key']}" in done.stderr.decode(), done


def test_a_person_is_asked_before_what_cannot_be_taken_back(gateway):
    """At a terminal; a script, which has none, is not."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    env = {**clean_environment(), "S3GATEWAY_ADMIN_ENDPOINT": gateway.admin_endpoint, "S3GATEWAY_ADMIN_TOKEN": gateway.admin_token}
    gateway.admin("tenant", "create", name, "--placement", HOME)

    def delete(typed: bytes, *options: str) -> tuple[int, str]:
        person, terminal = pty.openpty()
        try:
            os.write(person, typed)
            done = subprocess.run([BINARY, "admin", *options, "tenant", "delete", name], env=env, stdin=terminal, capture_output=True, timeout=60)
            return done.returncode, done.stderr.decode()
        finally:
            os.close(person)
            os.close(terminal)

    code, said = delete(b"n\n")
    assert code == 2 and f"Delete tenant {name}" in said and "nothing was done" in said, said
    assert name in gateway.admin("tenant", "list")
    code, said = delete(b"y\n")
    assert code == 0 and name not in gateway.admin("tenant", "list"), said
    gateway.admin("tenant", "create", name, "--placement", HOME)
    assert delete(b"", "--yes") == (0, "")
    gateway.admin("tenant", "create", name, "--placement", HOME)
    gateway.admin("tenant", "delete", name)
    assert name not in gateway.admin("tenant", "list")


def test_a_policy_with_a_slip_of_the_pen_denies_nothing_silently(gateway):
    name = f"t-{uuid.uuid4().hex[:8]}"
    gateway.admin("tenant", "create", name, "--placement", HOME)
    shown = gateway.admin("tenant", "policy", name, "--deny-countries", "US, CN", check=False)
    assert "countries=US,CN" in shown and "warning: deny.countries: 'CN'" in shown and "'US'" not in shown, shown
    places = {p["backend"]: p["allowed"] for p in json.loads(gateway.admin("--json", "explain", name))["places"]}
    assert places[HOME] and not places[DENIED], places
    for wrong in ("USA", "", "U S"):
        refused = gateway.admin("tenant", "policy", name, "--deny-countries", f"DE,{wrong}", check=False)
        assert "deny.countries" in refused and "two letters" in refused and "(422)" in refused, refused
    kept = json.loads(gateway.admin("--json", "tenant", "policy", name))
    assert kept["deny"]["countries"] == ["US", "CN"], kept


def test_jobs_as_an_operator_sees_them(gateway):
    bucket = gateway.target().make_bucket("jobs", f"{HOME},{REPLICA}")
    gateway.target().s3().put_object(Bucket=bucket, Key="seen", Body=b"x")
    until(lambda: "seen" in gateway.admin("jobs", "list", "--tenant", "acme", "--bucket", bucket), "the job is in the history", 20)
    job = gateway.call("GET", f"/v1/jobs?tenant=acme&bucket={bucket}")["jobs"][0]
    assert job["key"] == "seen" and job["outcome"] == "converged" and job["request_id"]
    assert "dirty" in gateway.admin("jobs", "depth").lower()
    gateway.admin("jobs", "dead")


def test_the_client_has_the_request_id_of_the_job(gateway):
    bucket = gateway.target().make_bucket("trace", f"{HOME},{REPLICA}")
    put = gateway.target().s3().put_object(Bucket=bucket, Key="traced", Body=b"x")
    request_id = put["ResponseMetadata"]["RequestId"]
    jobs = until(lambda: gateway.call("GET", f"/v1/jobs?tenant=acme&bucket={bucket}")["jobs"], "the job is in the history", 20)
    assert jobs[0]["request_id"] == request_id


@pytest.mark.shape("production")
def test_a_wrong_configuration_says_everything_at_once(gateway, tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text('[metadata]\nurl = "nonsense"\nmax_conections = 3\n[proxy]\nlisten = ["nowhere"]\n[proxy.view]\nlease = "5 parsecs"\n[secrets]\nmaster_key_file = "/nonexistent"\n')
    done = run([BINARY, "check-config", "--config", path], check=False)
    text = (done.stdout + done.stderr).decode()
    assert done.returncode != 0
    for word in ("url", "max_conections", "listen", "lease", "master_key_file", "wrong.toml"):
        assert word in text, f"{word} is not in:\n{text}"
