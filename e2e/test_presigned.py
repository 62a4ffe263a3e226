"""Every operation that a presigner signs, done by plain curl: with the headers that the URL asks for and no others."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

import pytest

from clients import payload
from curl import curl
from presigners import METHODS, PRESIGNERS
from raw import Answer

PART = 5 * 1024 * 1024


class Holder:
    """Somebody who is given URLs for one bucket and one odd key."""

    def __init__(self, presigner, bucket: str):
        self.presigner, self.bucket, self.done = presigner, bucket, set()
        self.key = "a b/ü+%"

    def can(self, *operations: str) -> bool:
        return self.presigner.operations >= set(operations)

    def url(self, operation: str, **parameters: object) -> tuple[str, dict[str, str]]:
        place = {} if operation == "ListBuckets" else {"Bucket": self.bucket}
        if "Bucket" not in operation and not operation.startswith(("ListObject", "ListMulti", "DeleteObjects")):
            place["Key"] = self.key
        self.done.add(operation)
        return self.presigner.sign(operation, place | parameters)

    def ask(self, operation: str, *, body: bytes | None = None, status: int | None = None, **parameters: object) -> Answer:
        """Signs, and does it at once."""
        url, headers = self.url(operation, **parameters)
        if body is None and METHODS[operation] in ("PUT", "POST"):
            body = b""
        if child := getattr(self.presigner, "child", None):
            body = child.body or body
        if operation == "DeleteObjects":
            # It wants the body's checksum, and no checksum that the query says counts.
            headers = headers | {"Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode()}
        answer = curl(METHODS[operation], url, headers, body)
        wanted = status or (204 if METHODS[operation] == "DELETE" else 200)
        assert answer.status == wanted, f"{operation} {url} {headers}: {answer}"
        return answer


@pytest.fixture(params=PRESIGNERS)
def holder(request, gateway, target):
    presigner = PRESIGNERS[request.param](target)
    yield Holder(presigner, target.make_bucket("presigned"))
    presigner.close()


def test_every_operation(holder, target):
    s3, where = target.s3(), {"Bucket": holder.bucket, "Key": holder.key}
    data = payload(100_000, "presigned")
    objects(holder, s3, where, data)
    listings(holder)
    multipart(holder, s3, where)
    aspects(holder, s3, where)
    copies(holder, s3, where, data)
    holder.ask("DeleteObject")
    assert "Contents" not in s3.list_objects_v2(Bucket=holder.bucket, Prefix=holder.key)
    if holder.can("DeleteObjects"):
        s3.put_object(**where, Body=b"x")
        holder.ask("DeleteObjects", Delete={"Objects": [{"Key": holder.key}]}, body=f"<Delete><Object><Key>{holder.key}</Key></Object></Delete>".encode())
        assert "Contents" not in s3.list_objects_v2(Bucket=holder.bucket, Prefix=holder.key)
    assert holder.done == holder.presigner.operations


def objects(holder, s3, where, data):
    holder.ask("PutObject", body=data)
    assert holder.ask("GetObject").body == data
    head = holder.ask("HeadObject")
    assert head.get("content-length") == str(len(data))
    given = {"ResponseContentType": "text/x-other; a=b", "ResponseContentDisposition": 'attachment; filename="a b.txt"', "ResponseCacheControl": "no-store"}
    shown = holder.ask("GetObject", **given)
    assert [shown.get(name) for name in ("content-type", "content-disposition", "cache-control")] == list(given.values())
    url, headers = holder.url("GetObject")
    part = curl("GET", url, headers | {"Range": "bytes=10-19"})
    assert (part.status, part.body) == (206, data[10:20]), "a header that is not signed and not x-amz-*"
    assert curl("PUT", url, headers, b"x").code == "SignatureDoesNotMatch"
    if holder.can("HeadBucket"):
        holder.ask("HeadBucket")


def listings(holder):
    for operation in ("ListObjects", "ListObjectsV2"):
        if holder.can(operation):
            listed = holder.ask(operation, Prefix="a b/", Delimiter="/", EncodingType="url").xml()
            assert [e.text for e in listed.findall("Contents/Key")] in (["a+b/%C3%BC%2B%25"], ["a%20b/%C3%BC%2B%25"])
    if holder.can("ListObjectVersions"):
        assert [e.text for e in holder.ask("ListObjectVersions", Prefix="a b/").xml().findall("Version/VersionId")] == ["null"]
    for operation, inside in (("ListBuckets", "Buckets"), ("GetBucketLocation", None), ("GetBucketVersioning", None)):
        if holder.can(operation):
            assert inside is None or holder.ask(operation).xml().find(inside) is not None
            holder.ask(operation)


def multipart(holder, s3, where):
    pieces = {1: payload(PART, "one"), 2: payload(1000, "two")}
    upload = holder.ask("CreateMultipartUpload").xml().findtext("UploadId") if holder.can("CreateMultipartUpload") else s3.create_multipart_upload(**where)["UploadId"]
    tags = {n: holder.ask("UploadPart", UploadId=upload, PartNumber=n, body=piece).get("etag") for n, piece in pieces.items()}
    if holder.can("ListParts"):
        assert [e.text for e in holder.ask("ListParts", UploadId=upload).xml().findall("Part/Size")] == [str(PART), "1000"]
    if holder.can("ListMultipartUploads"):
        assert [e.text for e in holder.ask("ListMultipartUploads").xml().findall("Upload/Key")] == [holder.key]
    if holder.can("CompleteMultipartUpload"):
        named = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{escape(tag)}</ETag></Part>" for n, tag in tags.items())
        holder.ask("CompleteMultipartUpload", UploadId=upload, body=f"<CompleteMultipartUpload>{named}</CompleteMultipartUpload>".encode())
        assert s3.get_object(**where)["Body"].read() == pieces[1] + pieces[2]
    else:
        s3.abort_multipart_upload(**where, UploadId=upload)
    if holder.can("AbortMultipartUpload"):
        upload = s3.create_multipart_upload(**where)["UploadId"]
        holder.ask("AbortMultipartUpload", UploadId=upload)
        assert not s3.list_multipart_uploads(Bucket=holder.bucket).get("Uploads")


def aspects(holder, s3, where):
    if holder.can("PutObjectTagging"):
        holder.ask("PutObjectTagging", Tagging={"TagSet": [{"Key": "team", "Value": "blue"}]}, body=b"<Tagging><TagSet><Tag><Key>team</Key><Value>blue</Value></Tag></TagSet></Tagging>")
    else:
        s3.put_object_tagging(**where, Tagging={"TagSet": [{"Key": "team", "Value": "blue"}]})
    if holder.can("GetObjectTagging", "DeleteObjectTagging"):
        assert [e.text for e in holder.ask("GetObjectTagging").xml().iter("Value")] == ["blue"]
        holder.ask("DeleteObjectTagging")
        assert s3.get_object_tagging(**where)["TagSet"] == []
    if holder.can("GetObjectAttributes"):
        seen = holder.ask("GetObjectAttributes", ObjectAttributes=["ETag", "ObjectSize"]).xml()
        assert seen.findtext("ObjectSize") == str(s3.head_object(**where)["ContentLength"]) and seen.findtext("ETag")


def copies(holder, s3, where, data):
    source = f"{holder.bucket}/source"
    s3.put_object(Bucket=holder.bucket, Key="source", Body=data)
    if holder.can("CopyObject"):
        holder.ask("CopyObject", CopySource=source)
        assert s3.get_object(**where)["Body"].read() == data
    if holder.can("UploadPartCopy"):
        upload = s3.create_multipart_upload(**where)["UploadId"]
        holder.ask("UploadPartCopy", UploadId=upload, PartNumber=1, CopySource=source, CopySourceRange="bytes=5-99")
        assert s3.list_parts(**where, UploadId=upload)["Parts"][0]["Size"] == 95
        s3.abort_multipart_upload(**where, UploadId=upload)


def test_what_a_url_says_of_the_object_is_kept(holder, target):
    """Headers of the SDK's parameters, be they in the URL's list of signed headers or in its query."""
    if not holder.can("HeadBucket"):
        pytest.skip("this presigner takes no headers")
    s3, where = target.s3(), {"Bucket": holder.bucket, "Key": holder.key}
    said = {"Metadata": {"kind": "a  b"}, "Tagging": "team=blue&x=1", "ACL": "private", "StorageClass": "STANDARD", "ContentType": "text/x-signed"}
    url, headers = holder.url("PutObject", **said)
    answer = curl("PUT", url, {name.lower(): value for name, value in headers.items()} | {"content-type": "text/x-signed"}, b"12345")
    assert answer.status == 200, str(answer)
    head = s3.head_object(**where)
    assert (head["ContentType"], head["Metadata"]["kind"].split()) == ("text/x-signed", ["a", "b"])
    assert {t["Key"]: t["Value"] for t in s3.get_object_tagging(**where)["TagSet"]} == {"team": "blue", "x": "1"}
    again, headers = holder.url("PutObject", IfNoneMatch="*")
    assert curl("PUT", again, headers, b"other").code == "PreconditionFailed"
    for asked, code in (({"ACL": "public-read"}, "AccessControlListNotSupported"), ({"StorageClass": "GLACIER"}, "InvalidStorageClass"), ({"ServerSideEncryption": "AES256"}, "NotImplemented")):
        url, headers = holder.url("PutObject", **asked)
        assert curl("PUT", url, headers, b"unprotected").code == code
    assert s3.get_object(**where)["Body"].read() == b"12345"
    url, headers = holder.url("GetObject", ChecksumMode="ENABLED")
    s3.put_object(**where, Body=b"sum", ChecksumAlgorithm="SHA256")
    assert curl("GET", url, headers).get("x-amz-checksum-sha256")


@pytest.fixture
def hoisting(gateway, target):
    presigner = PRESIGNERS["js"](target)
    yield Holder(presigner, target.make_bucket("hoisted"))
    presigner.close()


def test_the_javascript_sdks_checksum_of_nothing_is_ignored(hoisting, target):
    """It signs the checksum of an empty body into a URL for any body; AWS ignores what the query says of checksums."""
    url, headers = hoisting.url("PutObject")
    query = dict(parse_qsl(urlsplit(url).query))
    assert (query["x-amz-checksum-crc32"], query["x-amz-sdk-checksum-algorithm"], headers) == ("AAAAAA==", "CRC32", {})
    assert curl("PUT", url, {}, b"not empty").status == 200
    got = target.s3().get_object(Bucket=hoisting.bucket, Key=hoisting.key, ChecksumMode="ENABLED")
    assert got["Body"].read() == b"not empty" and got.get("ChecksumCRC32") != "AAAAAA=="


def test_what_a_query_says_is_signed_and_not_contradicted(hoisting, target):
    s3, where = target.s3(), {"Bucket": hoisting.bucket, "Key": hoisting.key}
    url, headers = hoisting.url("PutObject", Metadata={"kind": "signed"}, Tagging="a=1")
    assert headers == {} and "x-amz-meta-kind=signed" in url and "x-amz-tagging=a%3D1" in url
    for changed, sent, code in (
        (url.replace("kind=signed", "kind=forged"), {}, "SignatureDoesNotMatch"),
        (url.replace("&x-amz-tagging=a%3D1", ""), {}, "SignatureDoesNotMatch"),
        (url + "&x-amz-meta-more=1", {}, "SignatureDoesNotMatch"),
        (url + "&x-amz-copy-source=%2Fa%2Fb", {}, "SignatureDoesNotMatch"),
        (url, {"x-amz-meta-kind": "other"}, "InvalidArgument"),
        (url, {"x-amz-meta-kind": "signed"}, "AccessDenied"),
        (url, {"x-amz-meta-more": "1"}, "AccessDenied"),
        (url, {"x-amz-copy-source": f"{hoisting.bucket}/other"}, "AccessDenied"),
    ):
        assert curl("PUT", changed, sent, b"x").code == code, (changed, sent)
    assert "Contents" not in s3.list_objects_v2(Bucket=hoisting.bucket)
    assert curl("PUT", url, {}, b"x").status == 200
    assert s3.head_object(**where)["Metadata"] == {"kind": "signed"}
