"""Group BE, where something is said to be missing: a 404 counts only in S3's words, and only for what it names."""

from __future__ import annotations

import itertools
from urllib.parse import quote

import pytest

from gateway import HOME
from hostile import CLOSE, READ, answer, error, ok
from test_hostile_backend import DOCUMENTS, UNAVAILABLE, outcome, siege  # noqa: F401 - a fixture

INGRESS = {what: answer(404, body=DOCUMENTS[what]) for what in ("empty", "HTML", "no XML")}
"""What stands before a backend says of a host or path that it does not know."""
NUMBERS = itertools.count()
COMPLETE = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag></Part></CompleteMultipartUpload>"


@pytest.mark.parametrize("what", INGRESS)
def test_BE_01_a_404_that_is_not_S3s_is_no_delete(siege, what):
    got = outcome(siege, "DELETE", [INGRESS[what]])
    assert (got.status, got.code) == UNAVAILABLE, str(got)


@pytest.mark.parametrize("what", INGRESS)
def test_BE_01_a_404_that_is_not_S3s_is_no_end_of_an_upload(siege, what):
    key, query = begin_upload(siege)
    for method, asked, body in (("DELETE", "DELETE", b""), ("POST", "GET", COMPLETE), ("GET", "GET", b"")):
        siege.home.answers[asked, key] = [INGRESS[what]]
        try:
            got = siege.ask(method, key, body, query=query)
        finally:
            del siege.home.answers[asked, key]
        assert (got.status, got.code) == UNAVAILABLE, f"{method}: {got}"
    assert len(siege.home.asked("POST", key)) == 1, "nothing was completed"


def test_BE_01_an_upload_that_is_missed_is_no_key(siege):
    """Some backends say that it is the key. Once that was said, the upload has ended."""
    key, query = begin_upload(siege)
    siege.home.answers["DELETE", key] = [error(404, "NoSuchKey")]
    for _ in range(2):
        got = siege.ask("DELETE", key, query=query)
        assert (got.status, got.code) == (404, "NoSuchUpload"), str(got)
    del siege.home.answers["DELETE", key]
    assert len(siege.home.asked("DELETE", key)) == 1


def begin_upload(siege, bucket: str = "", **headers: str) -> tuple[str, str]:
    """Its key, and the query that names it."""
    key = f"upload-{next(NUMBERS)}"
    siege.home.answers["POST", key] = [READ, ok(f"<InitiateMultipartUploadResult><UploadId>{key}</UploadId></InitiateMultipartUploadResult>".encode())]
    begun = siege.ask("POST", key, query="?uploads", bucket=bucket, **headers)
    del siege.home.answers["POST", key]
    assert begun.status == 200, str(begun)
    return key, f"?uploadId={quote(begun.xml().findtext('UploadId'), safe='')}"


@pytest.mark.parametrize("refusal", [*INGRESS.values(), error(404, "NoSuchBucket")], ids=[*INGRESS, "NoSuchBucket"])
def test_BE_01_a_bucket_that_holds_objects_is_not_deleted_because_it_is_missed(siege, refusal):
    siege.home.answers["GET", ""] = [refusal]
    try:
        got = siege.ask("DELETE", "")
    finally:
        del siege.home.answers["GET", ""]
    assert (got.status, got.code) == UNAVAILABLE, str(got)
    assert not siege.home.asked("DELETE", "")
    siege.still_serves()


def test_BE_01_an_empty_bucket_that_is_missed_is_deleted(siege):
    """An earlier attempt may have dropped it and lost the answer."""
    bucket = siege.target.make_bucket("missed", HOME)
    for refusal, want in [*((refusal, 503) for refusal in INGRESS.values()), (error(404, "NoSuchBucket"), 204)]:
        siege.home.answers["GET", ""] = [refusal]
        try:
            got = siege.ask("DELETE", "", bucket=bucket)
        finally:
            del siege.home.answers["GET", ""]
        assert got.status == want, str(got)
    assert siege.ask("GET", "", query="?location", bucket=bucket).code == "NoSuchBucket"
    siege.still_serves()


@pytest.mark.parametrize("what,want", [*((what, 503) for what in INGRESS), ("NoSuchBucket", 204)])
def test_BE_01_a_bucket_that_is_missed_as_it_is_dropped(siege, what, want):
    """It was listed as empty just before."""
    bucket = siege.target.make_bucket("dropped", HOME)
    siege.home.answers["DELETE", ""] = [INGRESS.get(what) or error(404, what)]
    try:
        assert siege.ask("DELETE", "", bucket=bucket).status == want
    finally:
        del siege.home.answers["DELETE", ""]


def test_BE_01_a_bucket_whose_end_is_not_told(siege):
    """The home drops it and breaks off; asked again it does not know it."""
    bucket = siege.target.make_bucket("untold", HOME)

    def drop(_) -> bytes:
        siege.home.answers["GET", ""] = [error(404, "NoSuchBucket")]
        return b""

    siege.home.answers["DELETE", ""] = [drop, CLOSE]
    try:
        assert siege.ask("DELETE", "", bucket=bucket).status == 204
    finally:
        for method in ("DELETE", "GET"):
            siege.home.answers.pop((method, ""), None)


def test_BE_01_a_bucket_goes_with_its_uploads_or_not_at_all(siege):
    """What stands before the backend has ended none of them."""
    bucket = siege.target.make_bucket("uploading", HOME)
    key, _ = begin_upload(siege, bucket=bucket)
    siege.home.answers["DELETE", key] = [INGRESS["HTML"]]
    assert siege.ask("DELETE", "", bucket=bucket).status == 503 and not dropped(siege, key)
    siege.home.answers["DELETE", key] = [error(404, "NoSuchUpload")]
    assert siege.ask("DELETE", "", bucket=bucket).status == 204 and dropped(siege, key)


def dropped(siege, key: str) -> list:
    """Deletions of the bucket in which the upload was begun."""
    return [asked for asked in siege.home.asked("DELETE", "") if asked.bucket == siege.home.asked("POST", key)[0].bucket]
