"""Two tenants with equal bucket names: neither can name, list, read, write or infer what the other has, by any way to name it."""

from __future__ import annotations

import uuid

import pytest

from clients import create_bucket, fails, payload, read
from gateway import HOME
from raw import Answer, exchange, host_of
from sigv4 import Request, authorise, encode_key, presign


class Pair:
    """Both tenants own a bucket of the same name; the second's holds a secret."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.mine, self.other = gateway.target("acme"), gateway.target("globex")
        self.a, self.b = self.mine.s3(), self.other.s3()
        self.bucket = f"photos-{uuid.uuid4().hex[:8]}"
        self.secret_key = f"secret-{uuid.uuid4().hex}"
        for s3 in (self.a, self.b):
            create_bucket(s3, self.bucket, HOME)
        self.b.put_object(Bucket=self.bucket, Key=self.secret_key, Body=b"the secret", Tagging="t=secret")
        self.only_b = f"only-{uuid.uuid4().hex[:8]}"
        create_bucket(self.b, self.only_b, HOME)
        self.b.put_object(Bucket=self.only_b, Key="k", Body=b"the secret")
        self.physical = gateway.physical(HOME, self.secret_key)

    def send(self, method: str, target: str, body: bytes = b"", headers=(), host: str | None = None) -> Answer:
        request = Request(method, target, [*headers], body)
        authorise(request, self.mine.signer(), host or host_of(self.mine.endpoint))
        return exchange(self.mine.endpoint, request)


@pytest.fixture(scope="module")
def pair(shape):
    if shape.name == "direct":
        pytest.skip("needs the gateway")
    return Pair(shape)


NO_BUCKET = (404, "NoSuchBucket")
NO_KEY = (404, "NoSuchKey")


def test_TR_01_equal_names_are_two_buckets(pair):
    assert fails(pair.a.get_object, Bucket=pair.bucket, Key=pair.secret_key) == NO_KEY
    assert fails(pair.a.head_object, Bucket=pair.bucket, Key=pair.secret_key)[0] == 404
    assert not pair.a.list_objects_v2(Bucket=pair.bucket).get("Contents")
    assert fails(pair.a.get_object_tagging, Bucket=pair.bucket, Key=pair.secret_key) == NO_KEY
    pair.a.put_object(Bucket=pair.bucket, Key=pair.secret_key, Body=b"mine")
    assert read(pair.b, pair.bucket, pair.secret_key) == b"the secret"
    pair.a.delete_object(Bucket=pair.bucket, Key=pair.secret_key)
    pair.a.delete_objects(Bucket=pair.bucket, Delete={"Objects": [{"Key": pair.secret_key}]})
    assert read(pair.b, pair.bucket, pair.secret_key) == b"the secret"


def test_a_name_that_another_tenant_uses_is_free(pair):
    create_bucket(pair.a, pair.only_b, HOME)
    assert not pair.a.list_objects_v2(Bucket=pair.only_b).get("Contents")
    pair.a.delete_bucket(Bucket=pair.only_b)
    assert read(pair.b, pair.only_b, "k") == b"the secret"


def test_an_others_bucket_looks_like_none(pair):
    """The same answer as for a name that nobody uses, but for name and request id."""
    nobody = f"nobody-{uuid.uuid4().hex[:8]}"
    for method, query in (("GET", ""), ("GET", "?location"), ("HEAD", ""), ("GET", "?uploads"), ("DELETE", ""), ("GET", "/k"), ("PUT", "/k"), ("DELETE", "/k"), ("POST", "/k?uploads")):
        answers = []
        for bucket in (pair.only_b, nobody):
            answer = pair.send(method, f"/{bucket}{query}", b"x" if method == "PUT" else b"")
            text = answer.body.replace(bucket.encode(), b"BUCKET")
            if answer.code:
                text = text.replace(answer.xml().findtext("RequestId").encode(), b"ID")
            headers = sorted((n.lower(), v) for n, v in answer.headers if n.lower() not in ("date", "x-amz-request-id", "content-length", "x-amz-id-2"))
            answers.append((answer.status, text, headers))
        assert answers[0] == answers[1], f"{method} {query}"
        assert answers[0][0] == 404


def test_TR_13_list_buckets_shows_ones_own(pair):
    assert pair.only_b not in [b["Name"] for b in pair.a.list_buckets()["Buckets"]]
    owner = pair.a.list_buckets()["Owner"]["ID"], pair.b.list_buckets()["Owner"]["ID"]
    assert owner[0] != owner[1]
    answer = pair.send("GET", f"/?prefix={pair.only_b[:8]}")
    assert answer.status == 200 and pair.only_b.encode() not in answer.body
    assert pair.send("GET", "/?max-buckets=0").status == 400


@pytest.mark.names_physical
def test_TR_02_guessed_physical_name(pair):
    for s3 in (pair.a, pair.b):
        assert fails(s3.get_object, Bucket=pair.physical, Key=pair.secret_key) == NO_BUCKET
        assert fails(s3.list_objects_v2, Bucket=pair.physical) == NO_BUCKET
        assert fails(s3.head_bucket, Bucket=pair.physical)[0] == 404
        assert fails(s3.put_object, Bucket=pair.physical, Key="k", Body=b"x") == NO_BUCKET


@pytest.mark.names_physical
def test_TR_03_a_bucket_of_a_physical_name_is_a_bucket_like_any_other(pair):
    try:
        create_bucket(pair.a, pair.physical, HOME)
    except Exception as error:  # noqa: BLE001
        assert "InvalidBucketName" in str(error)
        return
    assert not pair.a.list_objects_v2(Bucket=pair.physical).get("Contents")
    pair.a.put_object(Bucket=pair.physical, Key=pair.secret_key, Body=b"mine")
    assert read(pair.b, pair.bucket, pair.secret_key) == b"the secret"
    pair.a.delete_object(Bucket=pair.physical, Key=pair.secret_key)
    pair.a.delete_bucket(Bucket=pair.physical)




SOURCES = [
    "/{bucket}/{key}", "{bucket}/{key}", "/{only}/k", "/{physical}/{key}", "/{bucket}/../{only}/k", "{bucket}%2f..%2f{only}%2fk", "/{bucket}/a/../../{only}/k",
    "/{only}%2Fk", "http://127.0.0.1/{only}/k", "arn:aws:s3:us-east-1:1:accesspoint/x/object/k", "/", "", "{bucket}", "/{bucket}/", "/{bucket}/%00", "/{bucket}/%ff",
    "/{bucket}/k?versionId=", "/{bucket}/k?versionId=a&versionId=b", "/{bucket}/k?partNumber=1", "//{only}/k", "?versionId=1",
]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("part", [False, True], ids=["copy", "part"])
def test_TR_08_TR_09_TR_10_copy_sources(pair, source, part):
    filled = source.format(bucket=pair.bucket, key=pair.secret_key, only=pair.only_b, physical=pair.physical)
    key = f"copied-{uuid.uuid4().hex}"
    target = f"/{pair.bucket}/{key}"
    if part:
        upload = pair.a.create_multipart_upload(Bucket=pair.bucket, Key=key)["UploadId"]
        target += f"?partNumber=1&uploadId={upload}"
    answer = pair.send("PUT", target, headers=[("x-amz-copy-source", filled)])
    assert answer.status in (400, 403, 404) and answer.code, str(answer)
    assert b"the secret" not in answer.body
    if part:
        assert not pair.a.list_parts(Bucket=pair.bucket, Key=key, UploadId=upload).get("Parts")
        pair.a.abort_multipart_upload(Bucket=pair.bucket, Key=key, UploadId=upload)
    else:
        assert fails(pair.a.head_object, Bucket=pair.bucket, Key=key)[0] == 404


def test_presigned_url_of_ones_own_bucket_reads_ones_own(pair):
    """The same path under the other's credentials is another object."""
    target = f"/{pair.bucket}/{pair.secret_key}"
    request = presign(Request("GET", target), pair.mine.signer(), host_of(pair.mine.endpoint))
    answer = exchange(pair.mine.endpoint, request)
    assert (answer.status, answer.code) == NO_KEY
    # The other's URL with one's own key id put in.
    foreign = presign(Request("GET", target), pair.other.signer(), host_of(pair.other.endpoint))
    foreign.target = foreign.target.replace(pair.other.access_key, pair.mine.access_key)
    answer = exchange(pair.mine.endpoint, foreign)
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")


def test_TR_11_upload_ids_of_others(pair):
    key = f"upload-{uuid.uuid4().hex}"
    foreign = pair.b.create_multipart_upload(Bucket=pair.bucket, Key=key)["UploadId"]
    pair.b.upload_part(Bucket=pair.bucket, Key=key, UploadId=foreign, PartNumber=1, Body=payload(100, "part"))
    own = pair.a.create_multipart_upload(Bucket=pair.bucket, Key="own")["UploadId"]
    raw = pair.gateway.backends[HOME].s3()
    inner = [u["UploadId"] for u in raw.list_multipart_uploads(Bucket=pair.physical).get("Uploads", [])]
    gone = (404, "NoSuchUpload")
    for upload, name in [(foreign, key), (own, key), (own + "x", "own"), ("a/../b", "own"), ("x" * 5000, "own"), *[(i, key) for i in inner]]:
        k = {"Bucket": pair.bucket, "Key": name, "UploadId": upload}
        assert fails(pair.a.upload_part, **k, PartNumber=2, Body=b"x") == gone, upload[:50]
        assert fails(pair.a.list_parts, **k) == gone
        assert fails(pair.a.abort_multipart_upload, **k) == gone
        assert fails(pair.a.complete_multipart_upload, **k, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": '"0"'}]}) == gone
    assert [p["PartNumber"] for p in pair.b.list_parts(Bucket=pair.bucket, Key=key, UploadId=foreign)["Parts"]] == [1], "the other's upload was touched"
    assert [u["Key"] for u in pair.a.list_multipart_uploads(Bucket=pair.bucket).get("Uploads", [])].count(key) == 0
    pair.b.abort_multipart_upload(Bucket=pair.bucket, Key=key, UploadId=foreign)
    pair.a.abort_multipart_upload(Bucket=pair.bucket, Key="own", UploadId=own)


def test_continuation_tokens_of_others(pair):
    for n in range(3):
        pair.b.put_object(Bucket=pair.bucket, Key=f"page/{n}", Body=b"x")
    token = pair.b.list_objects_v2(Bucket=pair.bucket, Prefix="page/", MaxKeys=1)["NextContinuationToken"]
    assert fails(pair.a.list_objects_v2, Bucket=pair.bucket, Prefix="page/", ContinuationToken=token) == (400, "InvalidArgument")
    assert fails(pair.b.list_objects_v2, Bucket=pair.bucket, Prefix="page/", ContinuationToken="made-up") == (400, "InvalidArgument")
    assert len(pair.b.list_objects_v2(Bucket=pair.bucket, Prefix="page/", ContinuationToken=token)["Contents"]) == 2


@pytest.mark.parametrize("path", ["/{mine}/../{only}/k", "/{mine}/a/../../{only}/k", "/{mine}/%2e%2e/{only}/k", "/{mine}/..%2f{only}%2fk", "//{only}/k", "/./{only}/k", "/{mine}/./../{only}/k"])
def test_TR_06_dots_lead_nowhere(pair, path):
    answer = pair.send("GET", path.format(mine=pair.bucket, only=pair.only_b))
    assert answer.status in (400, 404) and answer.code in ("NoSuchKey", "NoSuchBucket", "InvalidArgument", "InvalidBucketName", "InvalidURI"), str(answer)
    assert b"the secret" not in answer.body


@pytest.mark.parametrize("bucket", ["..", "a..b", "192.168.1.1", "Aaa", "ab", "a" * 64, "xn--abc", "abc-s3alias", "-abc", "abc-", "b%C3%BCcket", "a_b", "a%2Fb", ".abc", "abc%00"])
def test_TR_05_bucket_names(pair, bucket):
    made = pair.send("PUT", f"/{bucket}")
    assert made.status == 400 and made.code in ("InvalidBucketName", "InvalidURI", "InvalidArgument"), str(made)
    used = pair.send("GET", f"/{bucket}?list-type=2")
    assert used.status in (400, 404), str(used)


@pytest.mark.parametrize("key", ["/k", "a//b", "a/b/", "a\\b", "a/./b"])
def test_TR_07_slashes_are_kept_or_refused(pair, key):
    answer = pair.send("PUT", f"/{pair.bucket}/{encode_key(key)}", b"slash")
    assert answer.status == 200, str(answer)
    assert key in [o["Key"] for o in pair.a.list_objects_v2(Bucket=pair.bucket)["Contents"]]
    assert read(pair.a, pair.bucket, key) == b"slash"
    pair.a.delete_object(Bucket=pair.bucket, Key=key)


@pytest.mark.parametrize("query", ["list-type=2&max-keys=-1", "list-type=2&max-keys=abc", "max-keys=1e9", "encoding-type=foo", "list-type=2&encoding-type=foo", "list-type=2&start-after=%ff", "list-type=3", "uploads&max-uploads=-1"])
def test_TR_12_list_parameters(pair, query):
    answer = pair.send("GET", f"/{pair.bucket}?{query}")
    assert (answer.status, answer.code) in ((400, "InvalidArgument"), (400, "InvalidURI"), (501, "NotImplemented")), str(answer)


def test_TR_12_a_large_max_keys_is_capped(pair):
    answer = pair.send("GET", f"/{pair.bucket}?list-type=2&max-keys=1000000000")
    assert answer.status == 200 and answer.xml().findtext("MaxKeys") == "1000"


@pytest.mark.parametrize("header", [None, ("If-Modified-Since", "Thu, 01 Jan 2099 00:00:00 GMT"), ("If-None-Match", "*"), ("Range", "bytes=0-0")], ids=str)
def test_TR_14_anonymous_learns_nothing(pair, header):
    pair.a.put_object(Bucket=pair.bucket, Key="there", Body=b"x")
    answers = []
    for path in (f"/{pair.bucket}/there", f"/{pair.bucket}/missing", f"/{pair.only_b}/k", "/nobody-has-this/k"):
        request = Request("GET", path, [("Host", host_of(pair.mine.endpoint)), *([header] if header else [])])
        answer = exchange(pair.mine.endpoint, request)
        answers.append((answer.status, answer.code))
        assert answer.get("etag") is None and answer.get("last-modified") is None
    assert set(answers) == {(403, "AccessDenied")}


@pytest.mark.parametrize("name", ["x-amz-meta-a", "x-amz-meta-a_b", "X-AMZ-Meta-UPPER"])
def test_TR_15_metadata_names(pair, name):
    if pair.gateway.name == "production" and "_" in name:
        pytest.skip("radosgw turns '_' into '-' in names of metadata")
    answer = pair.send("PUT", f"/{pair.bucket}/meta", b"x", [(name, "value")])
    assert answer.status == 200, str(answer)
    got = pair.send("HEAD", f"/{pair.bucket}/meta")
    assert got.get(name) == "value"


def test_TR_15_line_breaks_do_not_split_answers(pair):
    for header in (("x-amz-meta-a", b"b\rx-evil: 1"), ("x-amz-meta-a", b"b\nx-evil: 1"), ("x-amz-meta-a", b"b\r\nx-evil: 1")):
        pair.send("PUT", f"/{pair.bucket}/split", b"x", [header])
        assert pair.send("HEAD", f"/{pair.bucket}/split").get("x-evil") is None
    answer = pair.send("GET", f"/{pair.bucket}/there?response-content-type=text%2Fhtml%0d%0aSet-Cookie:%20a=b")
    assert answer.status == 400 and answer.get("set-cookie") is None, str(answer)


@pytest.mark.parametrize("tags", ["&".join(f"k{n}=v" for n in range(11)), f"{'k' * 129}=v", f"k={'v' * 257}", "a=1&a=2", "a=%zz", "aws:x=1"], ids=lambda v: v[:12])
def test_TR_19_tag_limits(pair, tags):
    key = f"tag-{uuid.uuid4().hex}"
    answer = pair.send("PUT", f"/{pair.bucket}/{key}", b"x", [("x-amz-tagging", tags)])
    assert answer.status == 400 and answer.code in ("BadRequest", "InvalidTag", "InvalidArgument"), str(answer)
    assert fails(pair.a.head_object, Bucket=pair.bucket, Key=key)[0] == 404


@pytest.mark.parametrize("name", ["admin", "healthz", "metrics", "readyz"])
def test_AD_12_names_of_the_admin_api_are_buckets_like_others(pair, name):
    assert (pair.send("GET", f"/{name}/k").code) == "NoSuchBucket"
    create_bucket(pair.a, name, HOME)
    pair.a.put_object(Bucket=name, Key="k", Body=b"x")
    assert read(pair.a, name, "k") == b"x"
    pair.a.delete_object(Bucket=name, Key="k")
    pair.a.delete_bucket(Bucket=name)
