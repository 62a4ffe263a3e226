"""Copies and completions that take long: the client's 200 comes early, white space keeps the connection alive, the document follows, an error too."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field

import pytest
from botocore.exceptions import ClientError

from clients import payload
from gateway import HOME, Backend, Solo
from hostile import ACCESS_KEY, READ, SECRET_KEY, Hostile, Seen, error, etag, ok
from http2 import Http2, heads
from processes import until
from raw import Connection
from sigv4 import Request, authorise

SETTINGS = """
[proxy.upstream]
read_timeout = "30s"
probe_interval = "1h"

[proxy.breaker]
failures = 1000

[proxy.limits]
progress = "1s"
"""
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
COPIES = {"CopyObject": "CopyObjectResult", "UploadPartCopy": "CopyPartResult", "CompleteMultipartUpload": "CompleteMultipartUploadResult"}
PART = payload(1000, "part")


@dataclass
class Slow:
    """A gateway before a home that answers a copy or completion when it is told to, and how."""

    gateway: Solo
    home: Hostile
    bucket: str = ""
    numbers: itertools.count = field(default_factory=itertools.count)

    def sign(self, request: Request) -> Request:
        authorise(request, self.gateway.target().signer(), self.home_of_clients())
        return request

    def home_of_clients(self) -> str:
        return self.gateway.endpoint.removeprefix("http://")

    def exchange(self, request: Request, **how):
        with Connection(self.gateway.endpoint) as connection:
            connection.send(self.sign(request).to_bytes())
            return connection.answer(request.method)


class Asked:
    """One request whose answer the home holds back."""

    def __init__(self, slow: Slow, what: str, answer=None):
        self.slow, self.what, self.key = slow, what, f"k{next(slow.numbers)}"
        self.go, self.asked = threading.Event(), threading.Event()
        self.answer = answer
        self.upload = ""
        slow.home.answers["PUT", self.key] = slow.home.answers["POST", self.key] = [READ, self.perform]
        slow.home.answers["GET", self.key] = [self.parts]
        if what != "CopyObject":
            self.upload = slow.exchange(Request("POST", self.path("uploads"))).xml().findtext("UploadId")
        if what == "CompleteMultipartUpload":
            assert slow.exchange(Request("PUT", self.path(f"partNumber=1&uploadId={self.upload}"), body=PART)).status == 200

    def path(self, query: str = "") -> str:
        return f"/{self.slow.bucket}/{self.key}" + (f"?{query}" if query else "")

    def parts(self, request: Seen) -> bytes:
        part = f"<Part><PartNumber>1</PartNumber><ETag>{etag(PART)}</ETag><Size>1000</Size></Part>"
        return ok(f"<ListPartsResult><IsTruncated>false</IsTruncated>{part if self.what.startswith('Complete') else ''}</ListPartsResult>".encode())

    def perform(self, request: Seen) -> bytes:
        if request.target.partition("?")[2].startswith("uploads"):
            return ok(b"<InitiateMultipartUploadResult><UploadId>evil-upload</UploadId></InitiateMultipartUploadResult>")
        if request.method == "PUT" and "x-amz-copy-source" not in request.headers:
            return ok(b"", ("x-any", "1")).replace(etag(b"").encode(), etag(PART).encode())
        self.asked.set()
        assert self.go.wait(25)
        if self.answer is not None:
            return self.answer(request)
        made = f"<LastModified>2026-07-01T10:00:00.000Z</LastModified><ETag>{etag(PART)}</ETag>"
        return ok(f"<{COPIES[self.what]}>{made}</{COPIES[self.what]}>".encode())

    def request(self) -> Request:
        source = [("x-amz-copy-source", f"/{self.slow.bucket}/source")]
        match self.what:
            case "CopyObject":
                return Request("PUT", self.path(), source)
            case "UploadPartCopy":
                return Request("PUT", self.path(f"partNumber=1&uploadId={self.upload}"), source)
        document = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag(PART)}</ETag></Part></CompleteMultipartUpload>"
        return Request("POST", self.path(f"uploadId={self.upload}"), body=document.encode())


@pytest.fixture(scope="module")
def slow():
    home = Hostile()
    gateway = Solo(SETTINGS).start()
    gateway.add_backend(Backend(HOME, home.endpoint, ACCESS_KEY, SECRET_KEY), HOME, tagging=False)
    gateway.add_tenant("acme", "--placement", HOME)
    made = Slow(gateway, home)
    made.bucket = until(lambda: gateway.target().make_bucket("slow", HOME), "a first bucket is made", 20)
    assert made.exchange(Request("PUT", f"/{made.bucket}/source", body=PART)).status == 200
    yield made
    gateway.close()
    home.close()


def begun(connection: Connection, spaces: int) -> bytes:
    """Reads until the head, the declaration and so many spaces are there; gives the head."""
    while connection.buffer.count(b"1\r\n \r\n") < spaces:
        assert connection._more(), connection.buffer
    head, _, body = connection.buffer.partition(b"\r\n\r\n")
    assert body.split(b"\r\n", 1)[1].startswith(DECLARATION), body
    return head.lower()


@pytest.mark.parametrize("what", COPIES)
def test_white_space_while_it_takes_long(slow, what):
    asked = Asked(slow, what)
    with Connection(slow.gateway.endpoint) as connection:
        connection.send(slow.sign(asked.request()).to_bytes())
        head = begun(connection, 2)
        assert head.startswith(b"http/1.1 200 ") and b"content-length" not in head and b"content-type: application/xml" in head
        asked.go.set()
        answer = connection.answer("PUT")
        assert answer.status == 200 and answer.complete and answer.body.startswith(DECLARATION + b"  "), str(answer)
        assert answer.xml().tag == COPIES[what] and answer.xml().findtext("ETag") == etag(PART), str(answer)
        connection.send(slow.sign(Request("GET", f"/{slow.bucket}/source")).to_bytes())
        assert connection.answer().body == PART, "the connection is of no more use"


@pytest.mark.parametrize("what", COPIES)
def test_what_is_done_soon_keeps_status_and_length(slow, what):
    for answer, status in ((None, 200), (error(412, "PreconditionFailed"), 412), (error(503, "SlowDown"), 503)):
        asked = Asked(slow, what, answer)
        asked.go.set()
        got = slow.exchange(asked.request())
        assert got.status == status and got.get("content-length") == str(len(got.body)) and not got.body.startswith(DECLARATION + b" "), str(got)


@pytest.mark.parametrize("status, code, want", [(412, "PreconditionFailed", "PreconditionFailed"), (503, "SlowDown", "SlowDown"), (500, "InternalError", "ServiceUnavailable")])
@pytest.mark.parametrize("what", COPIES)
def test_a_late_error_is_told_in_the_document(slow, what, status, code, want):
    asked = Asked(slow, what, error(status, code))
    with Connection(slow.gateway.endpoint) as connection:
        connection.send(slow.sign(asked.request()).to_bytes())
        head = begun(connection, 1)
        asked.go.set()
        answer = connection.answer("PUT")
    assert (answer.status, answer.code) == (200, want) and answer.complete, str(answer)
    assert f"x-amz-request-id: {answer.xml().findtext('RequestId').lower()}".encode() in head
    assert b"s3gw-" not in answer.body and b"evil" not in answer.body


@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "fails"])
@pytest.mark.parametrize("what", COPIES)
def test_boto3(slow, what, fails):
    """It reads through the white space, and takes an error in a 200 for one."""
    asked = Asked(slow, what, error(503, "SlowDown") if fails else None)
    s3 = slow.gateway.target().s3()
    k = {"Bucket": slow.bucket, "Key": asked.key}
    source = {"CopySource": {"Bucket": slow.bucket, "Key": "source"}}
    threading.Timer(2.5, asked.go.set).start()
    call = {
        "CopyObject": lambda: s3.copy_object(**k, **source)["CopyObjectResult"]["ETag"],
        "UploadPartCopy": lambda: s3.upload_part_copy(**k, **source, PartNumber=1, UploadId=asked.upload)["CopyPartResult"]["ETag"],
        "CompleteMultipartUpload": lambda: s3.complete_multipart_upload(**k, UploadId=asked.upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag(PART)}]})["ETag"],
    }[what]
    if not fails:
        assert call() == etag(PART)
        return
    with pytest.raises(ClientError) as failed:
        call()
    assert failed.value.response["Error"]["Code"] == "SlowDown"


def test_over_http2(slow):
    asked = Asked(slow, "CopyObject")
    with Http2(slow.gateway.endpoint) as connection:
        number = connection.begin(heads(slow.sign(asked.request())))
        stream = connection.streams[number]
        while not stream.body.startswith(DECLARATION + b"  "):
            assert connection.more()
        assert stream.status == 200
        asked.go.set()
        assert connection.answer(number).xml().findtext("ETag") == etag(PART)


def test_HTTP_1_0_gets_it_at_the_end(slow):
    """It has no chunks: a head that is out could not be told from an answer that is cut off."""
    asked = Asked(slow, "CopyObject", error(412, "PreconditionFailed"))
    request = asked.request()
    request.version = "HTTP/1.0"
    with Connection(slow.gateway.endpoint) as connection:
        connection.send(slow.sign(request).to_bytes())
        assert asked.asked.wait(10)
        assert not connection.is_closed(2.5) and not connection.buffer
        asked.go.set()
        connection.socket.settimeout(10)
        assert connection.answer("PUT").status == 412


def test_a_client_that_goes_away_changes_nothing(slow):
    """The copy is carried out and its mark committed: the next write under a condition need not wait for a lease."""
    asked = Asked(slow, "CopyObject")
    dirty = slow.gateway.depth()["dirty"]
    with Connection(slow.gateway.endpoint) as connection:
        connection.send(slow.sign(asked.request()).to_bytes())
        begun(connection, 1)
    time.sleep(1.5)  # the next space finds nobody
    asked.go.set()
    until(lambda: slow.gateway.depth()["dirty"] == dirty + 1, "the copy's mark is there", 10)
    del slow.home.answers["PUT", asked.key], slow.home.answers["GET", asked.key]
    began = time.monotonic()
    got = slow.exchange(Request("PUT", asked.path(), [("If-None-Match", "*")], b"next"))
    assert got.status == 200 and time.monotonic() - began < 5, str(got)
