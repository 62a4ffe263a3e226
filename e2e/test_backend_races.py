"""Group BE, where something changes or breaks at a backend between two questions that belong together."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway import HOME, Backend, Solo
from hostile import ACCESS_KEY, CLOSE, READ, SECRET_KEY, Hostile, answer, error, etag, ok
from processes import until
from raw import exchange, host_of
from sigv4 import Request, authorise
from test_backend_misses import begin_upload
from test_hostile_backend import UNAVAILABLE, siege  # noqa: F401 - a fixture

NUMBERS = itertools.count()


def shown_checksum(siege, key: str) -> str | None:
    got = siege.ask("HEAD", key, x_amz_checksum_mode="ENABLED")
    assert got.status == 200, str(got)
    return got.get("x-amz-checksum-crc32")


@pytest.mark.parametrize("holds", [True, False], ids=["holds conditions on the source", "holds none"])
def test_BE_06_a_source_that_is_overwritten_while_it_is_copied(siege, holds):
    """The copy never shows the checksum of what stood before, of equal size."""
    number, old, new = next(NUMBERS), b"old bytes", b"new bytes"
    source, copy = f"source-{number}", f"copy-{number}"
    checksum = base64.b64encode(zlib.crc32(old).to_bytes(4, "big")).decode()
    assert siege.ask("PUT", source, old, x_amz_checksum_crc32=checksum).status == 200
    assert shown_checksum(siege, source) == checksum
    asked = []

    def copying(request):
        asked.append(request)
        objects, where = siege.home.objects, (request.bucket, source)
        if len(asked) == 1:
            objects[where] = dataclasses.replace(objects[where], body=new)
        found = objects[where]
        if holds and request.headers.get("x-amz-copy-source-if-match", etag(found.body)) != etag(found.body):
            return answer(412, body=b"<Error><Code>PreconditionFailed</Code></Error>")
        objects[request.bucket, copy] = found
        return answer(200, body=f"<CopyObjectResult><LastModified>2026-07-01T10:00:00.000Z</LastModified><ETag>{etag(found.body)}</ETag></CopyObjectResult>".encode())

    siege.home.answers["PUT", copy] = [READ, copying]
    try:
        got = siege.ask("PUT", copy, x_amz_copy_source=f"/{siege.bucket}/{source}")
    finally:
        del siege.home.answers["PUT", copy]
    assert got.status == 200 and len(asked) == (2 if holds else 1), str(got)
    assert siege.ask("GET", copy).body == new
    assert shown_checksum(siege, copy) is None


def test_BE_06_a_source_that_never_stands_still(siege):
    number = next(NUMBERS)
    source, copy = f"source-{number}", f"copy-{number}"
    assert siege.ask("PUT", source, b"0").status == 200
    asked = []

    def refusing(request):
        asked.append(request)
        where = request.bucket, source
        siege.home.objects[where] = dataclasses.replace(siege.home.objects[where], body=str(len(asked)).encode())
        return answer(412, body=b"<Error><Code>PreconditionFailed</Code></Error>")

    siege.home.answers["PUT", copy] = [READ, refusing]
    try:
        got = siege.ask("PUT", copy, x_amz_copy_source=f"/{siege.bucket}/{source}")
    finally:
        del siege.home.answers["PUT", copy]
    assert (got.status, got.code, len(asked)) == (503, "SlowDown", 3), str(got)


def test_BE_05_a_refusal_of_a_second_attempt_leaves_the_first_in_flight(siege):
    """The first was sent whole, on a connection that had been kept, and may yet land: so no write under a condition comes between."""
    number = next(NUMBERS)
    key = f"twice-{number}"
    assert siege.ask("PUT", f"kept-{number}", b"x").status == 200

    def refuse_the_next(_) -> bytes:
        siege.home.answers["PUT", key] = [READ, error(400, "InvalidArgument")]
        return b""

    siege.home.answers["PUT", key] = [READ, refuse_the_next, CLOSE]
    try:
        got = siege.ask("PUT", key, b"x")
    finally:
        del siege.home.answers["PUT", key]
    assert got.status == 400 and len(siege.home.asked("PUT", key)) == 2, str(got)
    conditional = Request("PUT", f"/{siege.bucket}/{key}", [("If-None-Match", "*")], b"y")
    authorise(conditional, siege.target.signer(), host_of(siege.target.endpoint))
    got = exchange(siege.target.endpoint, conditional, timeout=30)
    assert (got.status, got.code) == (409, "ConditionalRequestConflict"), str(got)


def test_BE_06_tags_are_not_lent_to_an_object_whose_etag_is_not_known(siege):
    """A completion whose answer names no ETag, and whose object cannot be asked for it, is not acknowledged until it can."""
    key, query = begin_upload(siege, x_amz_tagging="a=b")
    part = siege.ask("PUT", key, b"part", query=f"?partNumber=1&{query[1:]}").get("etag")
    listed = f"<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber><LastModified>2026-07-01T10:00:00.000Z</LastModified><ETag>{part}</ETag><Size>4</Size></Part></ListPartsResult>"
    complete = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part}</ETag></Part></CompleteMultipartUpload>".encode()
    answers = siege.home.answers

    def completing(request):
        siege.home.objects[request.bucket, key] = dataclasses.replace(request, method="PUT", body=b"part")
        return ok(b"<CompleteMultipartUploadResult><Key>k</Key></CompleteMultipartUploadResult>")

    def is_completed() -> bool:
        """A success may begin with white space, and an error end it."""
        request = Request("POST", f"/{siege.bucket}/{key}{query}", [], complete)
        authorise(request, siege.target.signer(), host_of(siege.target.endpoint))
        got = exchange(siege.target.endpoint, request, timeout=30)
        return got.status == 200 and got.xml().tag.endswith("CompleteMultipartUploadResult")

    answers["GET", key] = [ok(listed.encode())]
    answers["POST", key] = [READ, completing]
    answers["HEAD", key] = [error(500, "InternalError")]
    try:
        got = siege.ask("POST", key, complete, query=query)
        assert (got.status, got.code) == UNAVAILABLE, str(got)
        del answers["HEAD", key]
        # It waits for the first attempt's lease, as that might yet land.
        until(is_completed, "it is taken once the first attempt can land no more", 60)
    finally:
        for method in ("GET", "POST", "HEAD"):
            answers.pop((method, key), None)
    tags = siege.ask("GET", key, query="?tagging")
    assert tags.status == 200 and tags.xml().findtext("TagSet/Tag/Value") == "b", str(tags)


def test_BE_06_the_tags_of_two_writes_at_once(siege):
    """The first lands before the second, and hears of it after the second: the tags that are kept are those of what stands."""
    key, heard = f"tagged-{next(NUMBERS)}", threading.Event()

    def landing(request) -> bytes:
        siege.home.objects[request.bucket, key] = request
        if request.body == b"first":
            heard.wait(0.7)  # the second may have to wait for the first
        return answer(200, ("ETag", etag(request.body)))

    siege.home.answers["PUT", key] = [READ, landing]
    try:
        with ThreadPoolExecutor() as pool:
            first = pool.submit(siege.ask, "PUT", key, b"first", x_amz_tagging="n=1")
            until(lambda: siege.home.objects.get((siege.home.asked("PUT", key)[0].bucket, key)), "the first has landed", 5)
            second = siege.ask("PUT", key, b"second", x_amz_tagging="n=2")
            heard.set()
            assert (first.result().status, second.status) == (200, 200)
    finally:
        del siege.home.answers["PUT", key]
    tags = siege.ask("GET", key, query="?tagging")
    assert tags.status == 200 and tags.xml().findtext("TagSet/Tag/Value") == "2", str(tags)


@pytest.mark.parametrize("made", ["of parts", "by a copy"])
def test_BE_06_tags_that_follow_an_object_are_never_anothers(made):
    """They are set by a request of their own; what is written meanwhile waits for it."""
    home, gateway = Hostile(), Solo().start()
    try:
        gateway.add_backend(Backend(HOME, home.endpoint, ACCESS_KEY, SECRET_KEY), HOME, tagging=True, list_uploads=False)
        gateway.add_tenant("acme", "--placement", HOME, "--replica-count", "1")
        target = gateway.target()
        bucket = until(lambda: target.make_bucket("tagged", HOME), "a first bucket is made", 20)
        named = {"Bucket": bucket, "Key": "k"}
        target.s3().put_object(Bucket=bucket, Key="source", Body=b"source")
        if made == "of parts":
            upload = {**named, "UploadId": target.s3().create_multipart_upload(**named, Tagging="t=1")["UploadId"]}
            sent = [{"PartNumber": 1, "ETag": target.s3().upload_part(**upload, PartNumber=1, Body=b"parts")["ETag"]}]
            make = lambda: target.s3().complete_multipart_upload(**upload, MultipartUpload={"Parts": sent})
        else:
            make = lambda: target.s3().copy_object(**named, CopySource={"Bucket": bucket, "Key": "source"}, TaggingDirective="REPLACE", Tagging="t=1")
        follows, order = threading.Event(), []
        gone_on = threading.Event()

        def put(request):
            if "tagging" in request.query:
                follows.set()
                assert gone_on.wait(10)
                order.append("tags")
                return answer(200)
            order.append("copy" if "x-amz-copy-source" in request.headers else "put")
            home.objects[request.bucket, "k"] = request
            result = f"<CopyObjectResult><ETag>{etag(b'source')}</ETag></CopyObjectResult>".encode() if order[-1] == "copy" else b""
            return answer(200, ("ETag", etag(request.body)), body=result)

        home.answers["PUT", "k"] = [READ, put]
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(make)
            assert follows.wait(10)
            second = pool.submit(lambda: target.s3().put_object(**named, Body=b"another"))
            # Long enough for a write that does not wait to be seen at the home.
            with pytest.raises(TimeoutError):
                second.result(0.5)
            gone_on.set()
            first.result(20), second.result(20)
        assert order == (["tags", "put"] if made == "of parts" else ["copy", "tags", "put"])
    finally:
        gateway.close()
        home.close()
