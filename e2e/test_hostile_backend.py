"""Group BE: backends that lie, leak, stall and break framing. What they do stands in tables beside what the client must see."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

import pytest

from clients import MIB, Target, payload
from gateway import DENIED, HOME, REPLICA, Backend, Solo
from hostile import ACCESS_KEY, CLOSE, DRIP, EVIL_HEADERS, HANG, LAST_MODIFIED, READ, SECRET_KEY, Hostile, answer, error, etag, ok
from processes import until
from raw import Answer, exchange, host_of
from sigv4 import Request, authorise

SETTINGS = """
lease = "5s"
poll_interval = "50ms"

[proxy.upstream]
connect_timeout = "1s"
read_timeout = "1s"
write_timeout = "1s"
probe_interval = "1h"

[proxy.breaker]
# Each test meets the backend itself, not what earlier tests have made of it.
failures = 1000
"""
PATIENCE = 8
"""Seconds within which the client has its answer, whatever the backend does: a few timeouts of one second."""
BODY = payload(70_000, "hostile")
UNAVAILABLE = (503, "ServiceUnavailable")


@dataclass
class Siege:
    """A gateway whose home is hostile. Its replica is honest until told otherwise."""

    gateway: Solo
    home: Hostile
    replica: Hostile
    target: Target
    bucket: str = ""
    """At the home alone."""
    copied: str = ""
    """With a replica."""

    def ask(self, method: str, key: str, body: bytes = b"", query: str = "", bucket: str = "", **headers: str) -> Answer:
        request = Request(method, f"/{bucket or self.bucket}" + (f"/{key}" if key else "") + query, [(n.replace("_", "-"), v) for n, v in headers.items()], body)
        authorise(request, self.target.signer(), host_of(self.target.endpoint))
        started = time.monotonic()
        got = exchange(self.target.endpoint, request, timeout=2 * PATIENCE)
        seconds = time.monotonic() - started
        assert seconds < PATIENCE, f"{got.status} only after {seconds:.1f} s"
        self.check_nothing_told(got)
        return got

    def check_nothing_told(self, got: Answer):
        text = repr((got.headers, got.body if len(got.body) < MIB else b"")).lower()
        told = [word for word in ("s3gw-", "evil", self.home.host, self.replica.host, ACCESS_KEY, "169.254") if word in text]
        assert not told, f"the answer tells {told}: {text[:1000]}"

    def still_serves(self):
        """What another client gets next is its own object, whole: nothing is left over from before."""
        for n in range(3):
            got = self.ask("GET", "control")
            assert (got.status, got.body, got.complete) == (200, b"control", True), f"after it, request {n}: {got}"


@pytest.fixture(scope="module")
def siege():
    home, replica = Hostile(), Hostile()
    gateway = Solo(SETTINGS).start()
    for place, hostile in ((HOME, home), (REPLICA, replica)):
        gateway.add_backend(Backend(place, hostile.endpoint, ACCESS_KEY, SECRET_KEY), place, tagging=False, list_uploads=False)
    gateway.add_tenant("acme", "--placement", f"{HOME},{REPLICA}", "--replica-count", "2")
    made = Siege(gateway, home, replica, gateway.target())
    made.bucket = until(lambda: made.target.make_bucket("siege", HOME), "a first bucket is made", 20)
    made.copied = until(lambda: made.target.make_bucket("copied", f"{HOME},{REPLICA}"), "a bucket with a replica is made", 20)
    assert made.ask("PUT", "control", b"control").status == 200
    made.still_serves()
    yield made
    gateway.close()
    home.close()
    replica.close()


NUMBERS = itertools.count()


def outcome(siege: Siege, method: str, pieces: list, **request) -> Answer:
    """What the client gets while the backend answers such a request with `pieces`; afterwards all is as before."""
    key = "" if method == "LIST" else f"k{next(NUMBERS)}"
    verb = "GET" if method == "LIST" else method
    siege.home.answers[verb, key] = ([READ] if verb in ("PUT", "POST") else []) + pieces
    try:
        got = siege.ask(verb, key, **({"body": BODY} if verb == "PUT" else {"query": "?list-type=2"} if method == "LIST" else {}) | request)
        assert siege.home.asked(verb, key), "the backend was not asked"
    finally:
        del siege.home.answers[verb, key]
    siege.still_serves()
    return got


# BE-01: names -------------------------------------------------------------------------------------------------------

REFUSALS = [
    (404, "NoSuchKey", (404, "NoSuchKey")), (400, "InvalidArgument", (400, None)), (412, "PreconditionFailed", (412, "PreconditionFailed")),
    (416, "InvalidRange", (416, "InvalidRange")), (500, "InternalError", UNAVAILABLE), (502, "BadGateway", UNAVAILABLE), (503, "SlowDown", (503, None)), (418, "Teapot", (400, None)),
    (400, "RequestTimeout", (400, "RequestTimeout")), (408, "RequestTimeout", (400, "RequestTimeout")),
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "LIST"])
@pytest.mark.parametrize("status,code,want", REFUSALS, ids=lambda v: str(v))
def test_BE_01_names_in_an_error(siege, method, status, code, want):
    got = outcome(siege, method, [error(status, code)])
    if (method, status) == ("DELETE", 404):
        want = (204, None)  # what is gone need not be deleted
    if method == "LIST":
        want = (got.status, None)
        assert got.status >= 400
    assert got.status == want[0] and got.complete, str(got)
    assert method == "HEAD" or want[1] in (None, got.code), str(got)


@pytest.mark.parametrize("status,code,want", [r for r in REFUSALS if r[0] not in (404, 416)], ids=lambda v: str(v))
def test_BE_01_names_in_an_error_to_a_write(siege, status, code, want):
    got = outcome(siege, "PUT", [error(status, code)])
    assert got.status == want[0] and got.complete, str(got)


DOCUMENTS = {
    "empty": b"", "no XML": b"s3gw-0123456789abcdef-fi-hel evil", "HTML": b"<html><body>evil</body></html>", "cut": b"<Error><Code>NoSuchKey</Code><BucketName>s3gw-0123456789abcdef",
    "entities": b'<!DOCTYPE a [<!ENTITY b "evil"><!ENTITY c "&b;&b;&b;&b;">]><Error><Code>&c;</Code></Error>', "long code": b"<Error><Code>evil" + b"x" * 500_000 + b"</Code></Error>",
    "large": b"<Error><Code>NoSuchKey</Code><Message>" + b"evil " * 4_000_000 + b"</Message></Error>", "deep": b"<a>" * 200_000, "two": b"<Error><Code>NoSuchKey</Code></Error><Error>evil</Error>",
    "code with markup": b"<Error><Code>&lt;evil/&gt;</Code></Error>", "not UTF-8": b"<Error><Code>\xff\xfe</Code></Error>", "zeros": b"\0" * 70_000,
}


@pytest.mark.parametrize("method", ["GET", "DELETE", "LIST"])
@pytest.mark.parametrize("what", DOCUMENTS)
def test_BE_01_error_documents_that_are_none(siege, method, what):
    got = outcome(siege, method, [answer(409, *EVIL_HEADERS, body=DOCUMENTS[what])])
    assert got.status in (409, 503) and got.complete and got.xml() is not None, str(got)


def test_BE_01_headers_of_a_success(siege):
    told = (*EVIL_HEADERS[:-1], ("Location", "http://evil/"), ("x-amz-replication-status", "evil"), ("x-rgw-evil", "evil"), ("Keep-Alive", "evil"), ("Proxy-Authenticate", "evil"), ("Trailer", "evil"))
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        got = outcome(siege, method, [ok(BODY if method == "GET" else b"", *told)])
        assert got.status == (204 if method == "DELETE" else 200)
        assert got.body == (BODY if method == "GET" else b"")


def test_BE_01_names_in_documents(siege):
    """A listing and the answer to a finished upload name the physical bucket; the client's have its own."""
    def listing(request):
        return ok(f"<ListBucketResult><Name>{request.bucket}</Name><Prefix/><IsTruncated>false</IsTruncated><Contents><Key>k</Key><LastModified>2026-07-01T10:00:00.000Z</LastModified><ETag>&quot;1&quot;</ETag><Size>1</Size><StorageClass>STANDARD</StorageClass><Owner><ID>evil</ID><DisplayName>evil</DisplayName></Owner></Contents></ListBucketResult>".encode())

    got = outcome(siege, "LIST", [listing])
    assert got.status == 200 and got.xml().findtext("Name") == siege.bucket and got.xml().findtext("Contents/Key") == "k"


# BE-02: redirects ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "LIST"])
@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
def test_BE_02_redirects_are_neither_followed_nor_passed_on(siege, method, status):
    trap = Hostile()
    try:
        for where in (trap.endpoint + "/latest/meta-data/", "http://169.254.169.254/"):
            got = outcome(siege, method, [error(status, "PermanentRedirect", ("Location", where))])
            assert got.status == 503 and got.get("location") is None, str(got)
        assert not trap.connections, "the redirect was followed"
    finally:
        trap.close()


# BE-03: our credentials ---------------------------------------------------------------------------------------------

OURS = [(403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch"), (403, "RequestTimeTooSkewed"), (403, "AccessDenied"), (401, "Unauthorized")]
OURS_BY_CODE = [(400, "ExpiredToken"), (400, "AuthorizationHeaderMalformed"), (400, "RequestTimeTooSkewed")]
BLAMES = [(m, *o) for m in ("GET", "HEAD", "PUT", "DELETE", "LIST") for o in OURS] + [(m, *o) for m in ("DELETE", "LIST") for o in OURS_BY_CODE]


@pytest.mark.parametrize("method,status,code", BLAMES, ids=lambda v: str(v))
def test_BE_03_the_client_is_not_blamed_for_our_credentials(siege, method, status, code):
    got = outcome(siege, method, [error(status, code)])
    assert got.status == 503 and (method == "HEAD" or got.code == "ServiceUnavailable"), str(got)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("status,code", OURS_BY_CODE, ids=lambda v: str(v))
def test_BE_03_a_400_to_everything_is_about_our_credentials(siege, method, status, code):
    siege.home.answers["HEAD", ""] = [error(status, code)]  # of a streamed request's 400 the status alone is known in time
    try:
        got = outcome(siege, method, [error(status, code)])
    finally:
        del siege.home.answers["HEAD", ""]
    assert got.status == 503 and (method == "HEAD" or got.code == "ServiceUnavailable"), str(got)


# BE-04: framing -----------------------------------------------------------------------------------------------------

HEAD = ok(BODY, length_only=True)
CHUNKED = ok(b"", ("Transfer-Encoding", "chunked"), length=None)
POISON = ok(b"evil poison")


def chunks(*sizes_and_data: tuple[str, bytes], end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(size.encode() + b"\r\n" + data + b"\r\n" for size, data in sizes_and_data) + end


CUT = {
    "short of its length": [HEAD + BODY[:50_000], CLOSE],
    "nothing of its length": [HEAD, CLOSE],
    "no last chunk": [CHUNKED + chunks(("3e8", BODY[:1000]), end=b""), CLOSE],
    "cut inside a chunk": [CHUNKED + b"3e8\r\n" + BODY[:500], CLOSE],
    "no chunk size": [CHUNKED + chunks(("3e8", BODY[:1000]), end=b"xyz\r\n"), CLOSE],
    "negative chunk size": [CHUNKED + chunks(("3e8", BODY[:1000]), ("-5", b"12345")), CLOSE],
    "enormous chunk size": [CHUNKED + chunks(("3e8", BODY[:1000]), end=b"ffffffffffffffffff\r\nabc"), CLOSE],
    "longer than its chunk": [CHUNKED + chunks(("3e7", BODY[:1000])), CLOSE],
}


@pytest.mark.parametrize("what", CUT)
def test_BE_04_a_short_body_is_cut_not_ended(siege, what):
    got = outcome(siege, "GET", CUT[what])
    assert (got.status == 200 and not got.complete) or got.status in (0, 503), f"a short object that looks whole: {got}"
    assert BODY.startswith(got.body) or got.status == 503


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("extra", [b"evil", POISON, b"\r\n" + POISON], ids=["bytes", "an answer", "a line and an answer"])
def test_BE_04_bytes_beyond_the_length_are_dropped(siege, method, extra):
    got = outcome(siege, method, [ok(BODY if method == "GET" else b"") + extra])
    assert got.status in (200, 204) and got.complete and got.body == (BODY if method == "GET" else b""), str(got)


FRAMINGS = {
    "length and chunked, as chunks": ok(b"", ("Transfer-Encoding", "chunked"), length="5") + chunks(("3", b"abc")),
    "length and chunked, as length": ok(b"", ("Transfer-Encoding", "chunked"), length="3") + b"abc",
    "two lengths": ok(b"", ("Content-Length", "3"), length="5") + b"abc" + POISON,
    "two lengths, the longer first": ok(b"", ("Content-Length", "5"), length="3") + b"abc" + POISON,
    "list of lengths": ok(b"", length="3, 5") + b"abc" + POISON,
    "signed length": ok(b"", length="+3") + b"abc" + POISON,
    "negative length": ok(b"", length="-3") + b"abc" + POISON,
    "hexadecimal length": ok(b"", length="0x3") + b"abc" + POISON,
    "enormous length": ok(b"", length="99999999999999999999999") + b"abc",
    "no framing": ok(b"", length=None) + b"abc",
    "unknown coding": ok(b"", ("Transfer-Encoding", "evil"), length=None) + b"abc",
    "chunked, then another": ok(b"", ("Transfer-Encoding", "chunked, evil"), length=None) + chunks(("3", b"abc")),
    "coded chunks": ok(b"", ("Transfer-Encoding", "gzip, chunked"), length=None) + chunks(("3", b"abc")),
    "chunked, misspelt": ok(b"", ("Transfer-Encoding", "xchunked"), length="3") + b"abc" + POISON,
    "space before the colon": ok(b"", ("Content-Length ", "3"), length="5") + b"abc" + POISON,
    "folded header": ok(b"", ("x-amz-meta-a", "1\r\n 2"), length="3") + b"abc",
    "bare line feeds": ok(b"abc").replace(b"\r\n", b"\n"),
    "bare carriage return": ok(b"", ("x-amz-meta-a", "1\r2"), length="3") + b"abc",
    "zero byte": ok(b"", ("x-amz-meta-a", "1\x002"), length="3") + b"abc",
    "a mebibyte of header": ok(b"", ("x-amz-meta-a", "a" * MIB), length="3") + b"abc",
    "thousands of headers": ok(b"", *((f"x-amz-meta-{n}", "a") for n in range(5000)), length="3") + b"abc",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"x-evil: evil\r\n" * 500_000,
}


@pytest.mark.parametrize("what", FRAMINGS)
def test_BE_04_framing_in_doubt(siege, what):
    """Refused, cut, or the three bytes: never more, never fewer that look whole."""
    got = outcome(siege, "GET", [FRAMINGS[what], CLOSE])
    if got.status == 200 and got.complete:
        assert got.body == b"abc", str(got)
        assert "chunked" not in what or "misspelt" in what or got.get("content-length") in (None, "3")
    else:
        assert got.status in (0, 200, 503), str(got)


@pytest.mark.parametrize("method", ["GET", "DELETE", "LIST"])
@pytest.mark.parametrize("more", [-20, 20, 1_000_000])
def test_BE_04_errors_whose_length_is_wrong(siege, method, more):
    got = outcome(siege, method, [error(409, "OperationAborted", more=more), CLOSE])
    assert got.status in (0, 409, 503), str(got)


# BE-05: hangs -------------------------------------------------------------------------------------------------------

HANGS = {
    "before the head": [HANG], "in the head": [b"HTTP/1.1 200 OK\r\nETag: ", HANG], "closed before the head": [CLOSE], "closed in the head": [b"HTTP/1.1 200 OK\r\nETag: ", CLOSE],
    "dripping in the head": [b"HTTP/1.1 200 OK\r\n", b"x-amz-meta-a: b\r\n", DRIP],
}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "LIST"])
@pytest.mark.parametrize("how", HANGS)
def test_BE_05_no_head(siege, method, how):
    got = outcome(siege, method, HANGS[how])
    assert got.status == 503 and (method == "HEAD" or got.code == "ServiceUnavailable"), str(got)


def test_BE_05_in_the_body(siege):
    got = outcome(siege, "GET", [HEAD + BODY[:50_000], HANG])
    assert got.status == 200 and not got.complete and BODY.startswith(got.body), str(got)


def test_BE_05_a_listing_that_drips(siege):
    got = outcome(siege, "LIST", [ok(b"<ListBucketResult>", length="1000000"), b"<x/>", DRIP])
    assert got.status == 503, str(got)


@pytest.mark.parametrize("how", ["before the head", "closed before the head"])
def test_BE_05_a_conditional_write_is_sent_once(siege, how):
    """Sent again it could be refused because of itself."""
    got = outcome(siege, "PUT", HANGS[how], If_None_Match="*")
    key = f"k{next(NUMBERS) - 1}"
    assert got.status == 503 and len(siege.home.asked("PUT", key)) == 1


@pytest.fixture(scope="module")
def replicated(siege) -> str:
    """A key that a worker has copied and found clean."""
    worker = siege.gateway.worker().start()
    assert siege.ask("PUT", "replicated", BODY, bucket=siege.copied).status == 200
    until(lambda: siege.replica.asked("PUT", "replicated"), "the key is being copied", 20)
    siege.home.answers["GET", "replicated"] = [CLOSE]  # the worker has what it needs of the home
    until(lambda: siege.ask("GET", "replicated", bucket=siege.copied).status == 200, "the replica serves the key", 20)
    worker.stop()
    return "replicated"


@pytest.mark.parametrize("how", HANGS)
def test_BE_05_a_clean_key_is_read_from_the_replica(siege, replicated, how):
    siege.home.answers["GET", replicated] = HANGS[how]
    try:
        got = siege.ask("GET", replicated, bucket=siege.copied)
    finally:
        del siege.home.answers["GET", replicated]
    assert (got.status, got.body) == (200, BODY) and siege.replica.asked("GET", replicated), str(got)


@pytest.mark.parametrize("how", HANGS)
def test_BE_05_a_dirty_key_is_not(siege, how):
    """The replica has the object as it was before the last write, or none."""
    assert siege.ask("PUT", "dirty", BODY, bucket=siege.copied).status == 200
    siege.home.answers["GET", "dirty"] = HANGS[how]
    try:
        got = siege.ask("GET", "dirty", bucket=siege.copied)
    finally:
        del siege.home.answers["GET", "dirty"]
    assert (got.status, got.code) == UNAVAILABLE and not siege.replica.asked("GET", "dirty"), str(got)


# BE-06: answers without meaning -------------------------------------------------------------------------------------

ABC = ok(b"abc")
INTERIM = {
    "100": b"HTTP/1.1 100 Continue\r\n\r\n", "102": b"HTTP/1.1 102 Processing\r\n\r\n", "103": b"HTTP/1.1 103 Early Hints\r\nLink: <http://evil/>; rel=preload\r\nx-evil: evil\r\n\r\n",
    "199": b"HTTP/1.1 199 Evil\r\nx-evil: evil\r\n\r\n",
}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "LIST"])
@pytest.mark.parametrize("what", INTERIM)
def test_BE_06_interim_answers_are_not_passed_on(siege, method, what):
    final = {"GET": ABC, "LIST": ok(b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")}.get(method, ok())
    got = outcome(siege, method, [INTERIM[what] * 3 + final])
    assert got.status == (204 if method == "DELETE" else 200) and not got.interim and got.complete, str(got)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "LIST"])
def test_BE_06_interim_answers_without_end(siege, method):
    got = outcome(siege, method, [INTERIM["103"] * 1000, DRIP])
    assert got.status == 503 and not got.interim, str(got)


NONSENSE = {
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: evil\r\nConnection: Upgrade\r\n\r\nevil", "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "204 with a body": answer(204, ("ETag", '"1"'), body=b"evil"), "205": answer(205, body=b"evil"), "201": answer(201, body=b"evil"), "202": answer(202, body=b"evil"),
    "206 to no range": ok(b"evil", ("Content-Range", "bytes 0-3/100"), status=206), "304 to no condition": answer(304, ("ETag", '"1"'), length=None), "226": answer(226, body=b"evil"),
    "HTTP/0.9": b"evil evil evil evil", "no status": b"HTTP/1.1 OK\r\n\r\nevil", "status 000": b"HTTP/1.1 000 OK\r\nContent-Length: 4\r\n\r\nevil", "status 999": b"HTTP/1.1 999 OK\r\nContent-Length: 4\r\n\r\nevil",
    "status 20": b"HTTP/1.1 20 OK\r\nContent-Length: 4\r\n\r\nevil", "another protocol": b"ICY 200 OK\r\nContent-Length: 4\r\n\r\nevil", "HTTP/3.0": b"HTTP/3.0 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    "HTTP/2 frames": b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + b"\x00" * 8, "TLS alert": b"\x15\x03\x01\x00\x02\x02\x28", "zeros": b"\0" * 1000, "empty line": b"\r\n\r\n",
}


# To a write every 2xx is a success; only nonsense beyond that is refused.
MEANINGLESS = [("GET", what) for what in NONSENSE] + [("PUT", what) for what in NONSENSE if not what.startswith("2")]


@pytest.mark.parametrize("method,what", MEANINGLESS)
def test_BE_06_answers_without_meaning(siege, method, what):
    got = outcome(siege, method, [NONSENSE[what], CLOSE])
    assert (got.status, got.code) == UNAVAILABLE, str(got)


RANGES = {
    "another range": ("bytes 10-19/70000", 206, BODY[10:20]), "the whole object as a range": ("bytes 0-69999/70000", 206, BODY), "no Content-Range": ("", 206, BODY[:10]),
    "another unit": ("items 0-9/70000", 206, BODY[:10]), "a range that is none": ("bytes evil", 206, BODY[:10]), "longer than it says": ("bytes 0-9/70000", 206, BODY[:20]),
}


@pytest.mark.parametrize("what", RANGES)
def test_BE_06_another_range_than_the_one_asked_for(siege, what):
    """A client that asked for bytes 0 to 9 would take whatever comes for them."""
    header, status, body = RANGES[what]
    got = outcome(siege, "GET", [ok(body, *([("Content-Range", header)] if header else []), status=status)], Range="bytes=0-9")
    assert (got.status, got.code) == UNAVAILABLE, f"{got.status} {got.get('content-range')} {len(got.body)} bytes"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_BE_06_a_condition_that_the_backend_ignores(siege, method):
    """The gateway decides it, and its 304 says what a cache has to know."""
    got = outcome(siege, method, [ok(BODY, ("Cache-Control", "max-age=60"), length_only=method == "HEAD")], If_None_Match=etag(BODY))
    assert (got.status, got.body, got.get("content-length"), got.complete) == (304, b"", None, True), str(got)
    assert (got.get("etag"), got.get("last-modified"), got.get("cache-control")) == (etag(BODY), LAST_MODIFIED, "max-age=60")


def test_BE_06_tags_that_no_client_could_have_set(siege):
    """Limits are for what clients send. These were there before the gateway, or the backend counts otherwise."""
    keeper = Hostile()
    siege.gateway.add_backend(Backend(DENIED, keeper.endpoint, ACCESS_KEY, SECRET_KEY), DENIED)
    bucket = until(lambda: siege.target.make_bucket("tags", DENIED), "a bucket is made at a backend that keeps tags", 20)
    tags = "".join(f"<Tag><Key>key {n}</Key><Value>&lt;{n}&gt;</Value></Tag>" for n in range(12))
    keeper.answers["GET", "k"] = [ok(f"<Tagging><TagSet>{tags}</TagSet></Tagging>".encode())]
    try:
        got = siege.ask("GET", "k", query="?tagging", bucket=bucket)
        assert got.status == 200 and [t.text for t in got.xml().findall("TagSet/Tag/Value")] == [f"<{n}>" for n in range(12)], str(got)
        assert siege.ask("PUT", "k", f"<Tagging><TagSet>{tags}</TagSet></Tagging>".encode(), query="?tagging", bucket=bucket).status == 400
    finally:
        keeper.close()


def test_BE_06_a_body_after_HEAD(siege):
    got = outcome(siege, "HEAD", [ok(BODY)])
    assert got.status == 200 and got.get("content-length") == str(len(BODY)) and got.get("etag") == etag(BODY)


def test_BE_06_success_before_the_body_has_come(siege):
    key = f"k{next(NUMBERS)}"
    siege.home.answers["PUT", key] = [ok(), READ]
    got = siege.ask("PUT", key, payload(3 * MIB, "early"))
    del siege.home.answers["PUT", key]
    assert got.status in (200, 503), str(got)
    assert got.status == 503 or len(siege.home.asked("PUT", key)[-1].body) == 3 * MIB, "acknowledged before the backend had it"
    siege.still_serves()
