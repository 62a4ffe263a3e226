"""What the gateway answers itself, where servers differ: lists of uploads, repeated completions, stored headers, lost buckets."""

from __future__ import annotations

import uuid
from urllib.parse import quote, unquote

import pytest

from clients import MIB, fails, payload
from gateway import HOME
from processes import until
from raw import exchange, host_of
from sigv4 import Request, authorise, encode_key
from test_tls import secure  # noqa: F401 - a fixture

pytestmark = pytest.mark.lent

PART = payload(5 * MIB, "part")


@pytest.fixture
def s3(target):
    return target.s3()


@pytest.fixture
def bucket(target, s3):
    return target.make_bucket("ops", s3=s3)


class Upload:
    """A multipart upload of two parts."""

    def __init__(self, s3, bucket: str, key: str, **begin):
        self.s3, self.name = s3, {"Bucket": bucket, "Key": key}
        self.id = s3.create_multipart_upload(**self.name, **begin)["UploadId"]
        self.etags = [s3.upload_part(**self.name, UploadId=self.id, PartNumber=n, Body=body)["ETag"] for n, body in ((1, PART), (2, b"tail"))]

    def complete(self) -> dict:
        parts = [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(self.etags, 1)]
        return self.s3.complete_multipart_upload(**self.name, UploadId=self.id, MultipartUpload={"Parts": parts})


def test_the_location_of_a_completed_object_is_the_clients_own_address(gateway, target, s3, bucket):
    done = Upload(s3, bucket, "a b/ä+%41").complete()
    assert done["Location"] == f"{target.endpoint}/{bucket}/{quote('a b/ä+%41')}"
    assert (done["Bucket"], done["Key"]) == (bucket, "a b/ä+%41")


def test_the_location_has_the_scheme_of_the_clients_connection(secure):
    target = secure.target()
    s3 = target.s3()
    bucket = target.make_bucket("ops", s3=s3)
    assert Upload(s3, bucket, "k").complete()["Location"] == f"{target.endpoint}/{bucket}/k"


def test_a_completion_may_be_repeated(gateway, s3, bucket):
    upload = Upload(s3, bucket, "k", Tagging="a=b", Metadata={"m": "1"})
    first = upload.complete()
    assert upload.complete()["ETag"] == first["ETag"]
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ETag"], head["Metadata"]) == (first["ETag"], {"m": "1"})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "a", "Value": "b"}]
    s3.delete_object(Bucket=bucket, Key="k")
    assert fails(upload.complete) == (404, "NoSuchUpload")


def test_an_aborted_upload_cannot_be_completed(gateway, s3, bucket):
    upload = Upload(s3, bucket, "k")
    s3.abort_multipart_upload(**upload.name, UploadId=upload.id)
    assert fails(upload.complete) == (404, "NoSuchUpload")
    assert fails(s3.head_object, Bucket=bucket, Key="k")[0] == 404


def test_an_object_without_a_type_gets_that_of_s3(gateway, s3, bucket):
    Upload(s3, bucket, "parts").complete()
    s3.put_object(Bucket=bucket, Key="source", Body=b"1", ContentType="text/plain")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "source"}, MetadataDirective="REPLACE")
    s3.copy_object(Bucket=bucket, Key="same", CopySource={"Bucket": bucket, "Key": "source"})
    types = {key: s3.head_object(Bucket=bucket, Key=key)["ContentType"] for key in ("parts", "copy", "same")}
    assert types == {"parts": "binary/octet-stream", "copy": "binary/octet-stream", "same": "text/plain"}


@pytest.mark.parametrize("method, target_of, extra", [("POST", "/{}/k?uploads=", []), ("PUT", "/{}/k", [("x-amz-copy-source", "{}/source"), ("x-amz-metadata-directive", "REPLACE")])])
def test_metadata_that_is_not_utf8_is_refused(gateway, target, s3, bucket, method, target_of, extra):
    s3.put_object(Bucket=bucket, Key="source", Body=b"1")
    headers = [("x-amz-meta-a", b"caf\xe9"), *((n, v.format(bucket)) for n, v in extra)]
    request = Request(method, target_of.format(bucket), headers)
    authorise(request, target.signer(), host_of(target.endpoint))
    answer = exchange(target.endpoint, request)
    assert (answer.status, answer.code) == (400, "InvalidArgument"), answer
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")


ODD = ["a", "a", "a-b", "a.b", "p/1", "p/2", "q/1", "r", "ä k", "x+y", "50%41", "x&<y>"]
"""Keys whose order, grouping or encoding some server gets wrong. radosgw lists `a-b` before `a`."""


def entries(s3, bucket: str, size: int, **asked) -> list:
    """All pages, each no longer than asked for: uploads as key and id, groups as text."""
    found, markers = [], {}
    for _ in range(100):
        page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=size, **asked, **markers)
        uploads = [(u["Key"], u["UploadId"]) for u in page.get("Uploads", [])]
        groups = [p["Prefix"] for p in page.get("CommonPrefixes", [])]
        assert len(uploads) + len(groups) <= size
        found += uploads + groups
        if not page["IsTruncated"]:
            return found
        markers = {"KeyMarker": page["NextKeyMarker"]}
        if page.get("NextUploadIdMarker"):
            markers["UploadIdMarker"] = page["NextUploadIdMarker"]
    raise AssertionError("the list has no end")


def test_uploads_are_listed_in_order_by_pages_of_any_size(gateway, s3, bucket):
    begun = [(key, s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]) for key in ODD]
    in_order = sorted(begun, key=lambda upload: upload[0].encode())  # stable: as they were begun
    for size in (1, 2, 5, 1000):
        assert entries(s3, bucket, size) == in_order, size
        assert entries(s3, bucket, size, Prefix="p/") == [u for u in in_order if u[0].startswith("p/")], size
        grouped = entries(s3, bucket, size, Delimiter="/")
        assert sorted(g for g in grouped if isinstance(g, str)) == ["p/", "q/"], size
        assert [u for u in grouped if not isinstance(u, str)] == [u for u in in_order if "/" not in u[0]], size
    after = s3.list_multipart_uploads(Bucket=bucket, KeyMarker="p/", Delimiter="/")
    assert [u["Key"] for u in after["Uploads"]] == ["r", "x&<y>", "x+y", "ä k"] and [p["Prefix"] for p in after["CommonPrefixes"]] == ["q/"]
    encoded = s3.list_multipart_uploads(Bucket=bucket, EncodingType="url")
    assert encoded["EncodingType"] == "url" and {u["Key"] for u in encoded["Uploads"]} == {quote(k) for k in ODD}


def test_uploads_can_be_ended_page_by_page(gateway, s3, bucket):
    """As cleaning scripts do: each page is aborted before the next is asked for."""
    begun = {s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in ("k", "k", "k", "l/1", "m")}
    ended, markers = set(), {}
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=2, **markers)
        for upload in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            ended.add(upload["UploadId"])
        if not page["IsTruncated"]:
            break
        markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert ended == begun
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")


def test_uploads_of_keys_that_xml_cannot_hold_are_listed(gateway, target, s3, bucket):
    if not target.any_key:
        pytest.skip("the home holds no such key")
    keys = ["\x01", "a\r\nb", "\t", " lead", "\x7f", "\ufffe"]
    for key in keys:
        # Over a socket: boto3 cannot read an answer that names such a key.
        request = Request("POST", f"/{bucket}/{encode_key(key)}?uploads=")
        authorise(request, target.signer(), host_of(target.endpoint))
        assert exchange(target.endpoint, request).status == 200, repr(key)
    listed = s3.list_multipart_uploads(Bucket=bucket, EncodingType="url")["Uploads"]
    assert {u["Key"] for u in listed} == {quote(key) for key in keys}
    for upload in listed:
        s3.abort_multipart_upload(Bucket=bucket, Key=unquote(upload["Key"]), UploadId=upload["UploadId"])
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")


@pytest.mark.shape("embedded", "production")
def test_a_home_that_has_lost_its_bucket_is_an_outage(gateway, s3):
    bucket = gateway.target().make_bucket("lost", HOME, s3=s3)
    key = f"k-{uuid.uuid4().hex}"
    s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    physical, home = gateway.physical(HOME, key), gateway.backends[HOME].s3()
    assert fails(s3.get_object_attributes, Bucket=bucket, Key="other", ObjectAttributes=["ETag"]) == (404, "NoSuchKey")
    until(lambda: gateway.idle(bucket), "nothing is under way", 20)
    home.delete_object(Bucket=physical, Key=key)
    home.delete_bucket(Bucket=physical)
    calls = [
        lambda: s3.list_objects_v2(Bucket=bucket),
        lambda: s3.get_object_tagging(Bucket=bucket, Key=key),
        lambda: s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key}),
        lambda: s3.get_object_attributes(Bucket=bucket, Key=key, ObjectAttributes=["ETag"]),
    ]
    # That the bucket is there is remembered for a while, and then asked for anew.
    until(lambda: fails(calls[-1])[0] == 503, "the loss is noticed", 20)
    assert [fails(call)[0] for call in calls] == [503] * len(calls)
    home.create_bucket(Bucket=physical)
    assert fails(calls[-1]) == (404, "NoSuchKey")
    s3.delete_bucket(Bucket=bucket)


def test_a_backend_shows_health_and_breaker(gateway):
    shown = {b["id"]: (b["health"], b["breaker"]) for b in gateway.call("GET", "/v1/backends")["backends"]}
    assert shown[HOME] == ("healthy", "closed")
    assert "BREAKER" in gateway.admin("backend", "list")
