"""What of a client's request reaches a backend, what a backend's half-truths are worth, and what waits in the queue while policies change.
The backend is of the tests' own (`hostile.py`) and notes every request as it arrives."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

import pytest

from clients import Target, md5
from gateway import HOME, REPLICA, Backend, Solo
from hostile import ACCESS_KEY, READ, SECRET_KEY, Hostile, Seen, answer
from processes import until
from raw import Answer, exchange, host_of
from servers import Postgres
from sigv4 import Request, authorise

SETTINGS = """
lease = "5s"
poll_interval = "50ms"
"""
NUMBERS = itertools.count()


@dataclass
class Watched:
    """A gateway whose backends note what they are asked."""

    gateway: Solo
    home: Hostile
    replica: Hostile
    target: Target
    bucket: str = ""

    def send(self, method: str, path: str, body: bytes = b"", headers=(), bucket: str = "", **options) -> Answer:
        request = Request(method, f"/{bucket or self.bucket}{path}", [*headers], body)
        authorise(request, self.target.signer(), host_of(self.target.endpoint), **options)
        return exchange(self.target.endpoint, request)

    def arrived(self, method: str, key: str) -> Seen:
        seen = self.home.asked(method, key)
        assert len(seen) == 1, f"{method} {key} reached the home {len(seen)} times"
        return seen[0]


@pytest.fixture(scope="module")
def watched():
    home, replica = Hostile(), Hostile()
    gateway = Solo(SETTINGS).start()
    for place, backend in ((HOME, home), (REPLICA, replica)):
        gateway.add_backend(Backend(place, backend.endpoint, ACCESS_KEY, SECRET_KEY), place, tagging=False, list_uploads=False, server_side_copy=True)
    gateway.add_tenant("acme", "--placement", f"{HOME},{REPLICA}", "--replica-count", "2")
    made = Watched(gateway, home, replica, gateway.target())
    made.bucket = until(lambda: made.target.make_bucket("watched", HOME), "a first bucket is made", 20)
    yield made
    gateway.close()
    home.close()
    replica.close()


OWN = {"host", "authorization", "x-amz-date", "x-amz-content-sha256", "content-length", "content-type", "x-amz-meta-a", "cache-control"}
"""All that an upstream PutObject has of what this module sends, and what the gateway makes anew."""


def test_HB_02_authentication_is_made_anew(watched):
    key = f"k{next(NUMBERS)}"
    assert watched.send("PUT", f"/{key}", b"12345", [("x-amz-meta-a", "b"), ("Content-Type", "text/x"), ("Cache-Control", "no-store")]).status == 200
    seen = watched.arrived("PUT", key)
    assert set(seen.headers) <= OWN, f"more than was allowed: {set(seen.headers) - OWN}"
    assert (seen.headers["x-amz-meta-a"], seen.headers["content-type"], seen.body) == ("b", "text/x", b"12345")
    assert f"Credential={ACCESS_KEY}/" in seen.headers["authorization"] and watched.target.access_key not in repr(seen.headers)
    assert seen.headers["host"] == watched.home.host


STRANGERS = [
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "via", "x-real-ip", "traceparent", "tracestate", "baggage", "x-request-id", "cookie", "te", "proxy-authorization",
    "x-minio-source-mtime", "x-minio-replication-ssec", "x-rgw-copy-if-newer", "x-seaweedfs-x", "x-goog-acl", "x-oss-acl", "x-http-method-override", "amz-sdk-request", "x-amzn-trace-id",
]


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_HB_04_HB_05_headers_of_others_end_here(watched, name, signed):
    key = f"k{next(NUMBERS)}"
    got = watched.send("PUT", f"/{key}", b"12345", [(name, "stranger")], also_sign=(name,) if signed else ())
    assert got.status == 200, str(got)
    seen = watched.arrived("PUT", key)
    assert set(seen.headers) <= OWN and "stranger" not in repr(seen.headers), seen.headers


@pytest.mark.parametrize("how", ["signed", "unsigned", "query"])
def test_HB_01_a_session_token_goes_nowhere(watched, how):
    key, header = f"k{next(NUMBERS)}", ("x-amz-security-token", "stranger")
    path = f"/{key}?X-Amz-Security-Token=stranger" if how == "query" else f"/{key}"
    got = watched.send("PUT", path, b"12345", [header] if how != "query" else [], do_not_sign=("x-amz-security-token",) if how == "unsigned" else ())
    assert (got.status, got.code) in ((400, "InvalidToken"), (403, "AccessDenied")), str(got)
    assert not watched.home.asked("PUT", key)


@pytest.mark.parametrize("query", ["x-id=PutObject", "minio-x=1", "anything=1&other=2"])
def test_HB_08_parameters_without_meaning_are_not_forwarded(watched, query):
    key = f"k{next(NUMBERS)}"
    assert watched.send("PUT", f"/{key}?{query}", b"12345").status == 200
    assert "?" not in watched.arrived("PUT", key).target


SAY_NO = b"<Error><Code>{code}</Code><Message>evil words of s3gw-0123456789abcdef-fi-hel</Message><HostId>evil</HostId></Error>"


PARTS = f"""<ListPartsResult><UploadId>u1</UploadId><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber>
<LastModified>2026-07-01T10:00:00.000Z</LastModified><ETag>&quot;{md5(b"12345")}&quot;</ETag><Size>5</Size></Part></ListPartsResult>""".encode()


def deceptive(code: str):
    """Errors in an answer of status 200, also behind the blanks that keep a connection alive."""
    begun = b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
    failed = b" \n" * 50 + SAY_NO.replace(b"{code}", code.encode())
    return lambda request: answer(200, body=begun if "?uploads" in request.target else failed)


DECEPTIONS = [("InternalError", 5), ("SlowDown", 5), ("InvalidPart", 4), ("AccessDenied", 5), ("NoSuchUpload", 4), ("EvilCode", 5)]
"""A code of status 200, and whose fault the client is told that it was."""


@pytest.mark.parametrize("code,fault", DECEPTIONS)
def test_XM_12_a_completion_that_failed_with_status_200(watched, code, fault):
    key = f"k{next(NUMBERS)}"
    watched.home.answers["POST", key] = [READ, deceptive(code)]
    watched.home.answers["GET", key] = [lambda request: answer(200, body=PARTS)]
    s3 = watched.target.s3()
    upload = s3.create_multipart_upload(Bucket=watched.bucket, Key=key)["UploadId"]
    etag = s3.upload_part(Bucket=watched.bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"12345")["ETag"]
    parts = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>".encode()
    got = watched.send("POST", f"/{key}?uploadId={upload}", parts)
    assert got.status // 100 == fault and got.code, f"a failure that looks like success: {got}"
    assert b"evil" not in got.body and b"s3gw-" not in got.body
    assert [s for s in watched.home.asked("POST", key) if "uploadId=" in s.target], "the backend was not asked to complete"


@pytest.mark.parametrize("code,fault", [d for d in DECEPTIONS if d[0] not in ("InvalidPart", "NoSuchUpload")])
def test_XM_12_a_copy_that_failed_with_status_200(watched, code, fault):
    source, key = f"k{next(NUMBERS)}", f"k{next(NUMBERS)}"
    assert watched.send("PUT", f"/{source}", b"12345").status == 200
    watched.home.answers["PUT", key] = [READ, deceptive(code)]
    got = watched.send("PUT", f"/{key}", headers=[("x-amz-copy-source", f"/{watched.bucket}/{source}")])
    assert watched.arrived("PUT", key).headers.get("x-amz-copy-source"), "the copy was not the backend's"
    assert got.status // 100 == fault and got.code and b"evil" not in got.body, f"a failure that looks like success: {got}"


def test_RE_03_a_job_goes_by_the_policy_of_now(watched):
    """A key that waits for its copy when the replica's place is denied is not copied there."""
    bucket = watched.target.make_bucket("waiting", f"{HOME},{REPLICA}")
    assert watched.send("PUT", "/waiting", b"12345", bucket=bucket).status == 200
    assert watched.gateway.copies("acme", bucket, "waiting")["state"] == "dirty"
    watched.gateway.call("PUT", f"/v1/tenants/acme/buckets/{bucket}/policy", {"deny": {"countries": ["DE"]}})
    worker = watched.gateway.worker().start()
    try:
        until(lambda: watched.gateway.copies("acme", bucket, "waiting")["state"] == "clean", "the job is through", 20)
    finally:
        worker.stop()
    assert not watched.replica.asked("PUT", "waiting"), "copied all the same"


def test_RE_07_a_hot_key_is_one_job(watched):
    """However often a key is written while nobody copies it, the last state goes to the replica, and goes once."""
    bucket = watched.target.make_bucket("hot", f"{HOME},{REPLICA}")
    before = watched.gateway.depth()["dirty"]
    for n in range(200):
        assert watched.send("PUT", "/hot", b"%d" % n, bucket=bucket).status == 200
    assert watched.gateway.depth()["dirty"] == before + 1
    worker = watched.gateway.worker().start()
    try:
        until(lambda: watched.gateway.copies("acme", bucket, "hot")["state"] == "clean", "the job is through", 20)
    finally:
        worker.stop()
    assert [s.body for s in watched.replica.asked("PUT", "hot")] == [b"199"]


def test_RE_09_LM_05_without_its_metadata_a_gateway_refuses(watched):
    """A proxy that hears of no changes any more takes no writes once its view has aged; what it cannot decide, it refuses."""
    postgres, gateway = Postgres().start(), Solo()
    config = re.sub(r'url = "sqlite://[^"]*"', f'url = "{postgres.url}"', gateway.config.read_text())
    gateway.config.write_text(config.replace("[proxy.view]", '[proxy.view]\nlease = "2s"'))
    unavailable = (503, "ServiceUnavailable")
    try:
        gateway.start()
        gateway.add_backend(Backend(HOME, watched.home.endpoint, ACCESS_KEY, SECRET_KEY), HOME, tagging=False)
        gateway.add_tenant("acme", "--placement", HOME)
        cut = Watched(gateway, watched.home, watched.replica, gateway.target())
        cut.bucket = until(lambda: cut.target.make_bucket("cut", HOME), "a bucket is made", 20)
        assert cut.send("PUT", "/lease", b"12345").status == 200
        postgres.kill()
        until(lambda: (got := cut.send("PUT", "/lease", b"other")).status == 503 and got.code == unavailable[1], "a write is refused", 20)
        for method, path, bucket in (("GET", "/k", "never-heard-of"), ("DELETE", "/lease", ""), ("PUT", "", "a-new-one")):
            got = cut.send(method, path, bucket=bucket)
            assert (got.status, got.code) == unavailable, f"{method} {path}: {got}"
        stranger = Request("GET", f"/{cut.bucket}/lease")
        authorise(stranger, cut.target.signer().but(access_key="AKIASTRANGERSTRANGER"), host_of(cut.target.endpoint))
        got = exchange(cut.target.endpoint, stranger)
        assert (got.status, got.code) == unavailable, f"a key that cannot be looked up: {got}"
        assert watched.home.objects[physical(watched, "lease"), "lease"].body == b"12345"
    finally:
        gateway.close()
        postgres.close()


def physical(watched: Watched, key: str) -> str:
    return watched.home.asked("PUT", key)[0].bucket
