"""Presigned URLs: every kind of operation, overrides, expiry, tampering.

Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)", "Error responses"; User Guide,
"Download and upload objects with presigned URLs".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from datetime import datetime, timedelta, timezone

from clients import md5
from conformance.case import case, each, equal
from conformance.s3 import Bucket, Reply
from sigv4 import Request, authorise, crc32_base64, encode, md5_base64, presign, with_parameter, without_parameter


def ready(b: Bucket, method: str = "GET", key: str = "k", query: str = "", **headers: str) -> Request:
    """A presigned request that would succeed, to be bent."""
    b.given("k", body=b"data")
    return presign(b.request(method, key, query, **headers), b.signer(), b.host())


def bent(b: Bucket, change) -> Reply:
    request = ready(b)
    request.target = change(request.target)
    return b.exchange(request)


@case
def GetObject(b: Bucket):
    equal(b.given("k", body=b"data").presigned("GET", "k").is_(200).body, b"data")


@case
def HeadObject(b: Bucket):
    b.given("k", body=b"data").presigned("HEAD", "k").is_(200).has("content-length", "4")


@case
def PutObject_of_any_body(b: Bucket):
    b.presigned("PUT", "k", body=b"new").is_(200).has("etag", f'"{md5(b"new")}"')
    equal(b.get("k").body, b"new")


@case
def DeleteObject(b: Bucket):
    b.given("k").presigned("DELETE", "k").is_(204)
    b.get("k").fails(404, "NoSuchKey")


@each({"ListObjects": "", "ListObjectsV2": "list-type=2"})
def Listings(b: Bucket, query: str):
    equal(b.given("k").presigned("GET", query=query).is_(200).texts("Contents/Key"), ["k"])


@case
def ListObjectsV2_by_prefix_and_delimiter(b: Bucket):
    equal(b.given("a b/1", "c").presigned("GET", query="list-type=2&prefix=a%20b&delimiter=%2F").is_(200).texts("CommonPrefixes/Prefix"), ["a b/"])


@case
def HeadBucket(b: Bucket):
    b.presigned("HEAD").is_(200)
    b.named(f"{b.name}-none").presigned("HEAD").is_(404)


@case
def CreateBucket_and_DeleteBucket(b: Bucket):
    new = b.named(f"{b.name}-new")
    new.presigned("PUT").is_(200)
    new.presigned("DELETE").is_(204)


@case
def GetBucketLocation(b: Bucket):
    b.presigned("GET", query="location").is_(200).root("LocationConstraint")


@case
def A_whole_multipart_upload(b: Bucket):
    upload = b.presigned("POST", "k", "uploads").is_(200).text("UploadId")
    etag = b.presigned("PUT", "k", f"partNumber=1&uploadId={upload}", b"part").is_(200).get("etag")
    equal(b.presigned("GET", "k", f"uploadId={upload}").is_(200).texts("Part/PartNumber"), ["1"])
    body = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>".encode()
    b.presigned("POST", "k", f"uploadId={upload}", body).is_(200)
    equal(b.get("k").body, b"part")


@case
def AbortMultipartUpload(b: Bucket):
    upload = b.post("k", "uploads").is_(200).text("UploadId")
    b.presigned("DELETE", "k", f"uploadId={upload}").is_(204)


@case
def DeleteObjects(b: Bucket):
    document = b"<Delete><Object><Key>k</Key></Object></Delete>"
    b.given("k").presigned("POST", query="delete", body=document, content_md5=md5_base64(document)).is_(200)
    b.get("k").fails(404, "NoSuchKey")


@case
def Tagging(b: Bucket):
    document = b"<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
    b.given("k").presigned("PUT", "k", "tagging", document, content_md5=md5_base64(document)).is_(200)
    equal(b.presigned("GET", "k", "tagging").is_(200).texts("TagSet/Tag/Key"), ["a"])


@case
def CopyObject_with_a_signed_copy_source(b: Bucket):
    b.given("source", body=b"data").presigned("PUT", "k", x_amz_copy_source=f"{b.name}/source", sign=("x-amz-copy-source",)).is_(200)
    equal(b.get("k").body, b"data")


@case
def A_key_that_needs_encoding(b: Bucket):
    equal(b.given("a b+ü%/c", body=b"data").presigned("GET", "a b+ü%/c").is_(200).body, b"data")


@case
def GetObject_of_a_missing_key_is_NoSuchKey(b: Bucket):
    b.presigned("GET", "missing").fails(404, "NoSuchKey")


@case
def A_range_needs_no_signature(b: Bucket):
    equal(b.given("k", body=b"data").presigned("GET", "k", range="bytes=1-2").is_(206).body, b"at")


@case
def A_condition_needs_no_signature(b: Bucket):
    b.given("k", body=b"data").presigned("GET", "k", if_none_match=f'"{md5(b"data")}"').is_(304)


@case
def Response_overrides(b: Bucket):
    query = f"response-content-type=text%2Fx-conf&response-content-disposition={encode('attachment; filename=a b.txt')}"
    reply = b.given("k").presigned("GET", "k", query).is_(200)
    reply.has("content-type", "text/x-conf").has("content-disposition", "attachment; filename=a b.txt")


@case
def A_signed_Content_Type_must_be_sent_as_signed(b: Bucket):
    b.presigned("PUT", "k", body=b"x", content_type="text/x-conf", sign=("content-type",)).is_(200)
    b.head("k").is_(200).has("content-type", "text/x-conf")


@case
def Another_Content_Type_than_signed_is_SignatureDoesNotMatch(b: Bucket):
    request = presign(b.request("PUT", "k", body=b"x", content_type="text/x-conf"), b.signer(), b.host(), sign_headers=("content-type",))
    b.exchange(request.put("content-type", "text/html")).fails(403, "SignatureDoesNotMatch")


@case
def Signed_metadata_is_kept(b: Bucket):
    b.presigned("PUT", "k", body=b"x", x_amz_meta_a="1", sign=("x-amz-meta-a",)).is_(200)
    b.head("k").is_(200).has("x-amz-meta-a", "1")


@case
def A_signed_checksum_is_verified(b: Bucket):
    b.presigned("PUT", "k", body=b"x", x_amz_checksum_crc32=crc32_base64(b"other"), sign=("x-amz-checksum-crc32",)).fails(400, "BadDigest")


@case
def Content_MD5_is_verified(b: Bucket):
    b.presigned("PUT", "k", body=b"x", content_md5=md5_base64(b"other")).fails(400, "BadDigest")


@each({"copy source": ("x-amz-copy-source", "{b}/source"), "ACL": ("x-amz-acl", "public-read"), "tags": ("x-amz-tagging", "a=1"), "metadata": ("x-amz-meta-a", "1")})
def An_x_amz_header_that_is_not_signed_is_AccessDenied(b: Bucket, row: tuple[str, str]):
    """"All headers with the x-amz- prefix … must be signed." """
    name, value = row
    b.given("source", body=b"data")
    b.exchange(presign(b.request("PUT", "k", body=b"x"), b.signer(), b.host()).add(name, value.replace("{b}", b.name))).fails(403, "AccessDenied")
    b.get("k").fails(404, "NoSuchKey")


@case
def An_expired_URL_is_AccessDenied(b: Bucket):
    b.given("k").presigned("GET", "k", expires=60, signer=b.signer().moved(seconds=-120)).fails(403, "AccessDenied")


@case
def A_URL_expires_while_it_is_held(b: Bucket):
    request = presign(b.given("k").request("GET", "k"), b.signer(), b.host(), 2)
    b.exchange(request).is_(200)
    until = datetime.now(timezone.utc) + timedelta(seconds=3)
    while datetime.now(timezone.utc) < until:
        time.sleep(0.1)
    b.exchange(request).fails(403, "AccessDenied")


@case
def A_URL_of_a_time_to_come_is_AccessDenied(b: Bucket):
    b.given("k").presigned("GET", "k", signer=b.signer().moved(hours=2)).fails(403, "AccessDenied")


@case
def A_URL_may_be_valid_for_seven_days(b: Bucket):
    b.given("k").presigned("GET", "k", expires=604800, signer=b.signer().moved(days=-6)).is_(200).has("content-length", "1")


@each({"longer than seven days": 604801, "less than nothing": -1, "a word": "soon"})
def An_expiry_is_AuthorizationQueryParametersError(b: Bucket, expires: object):
    b.given("k").presigned("GET", "k", expires=str(expires)).fails(400, "AuthorizationQueryParametersError")


@each(["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"])
def AuthorizationQueryParametersError_without(b: Bucket, name: str):
    """"Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."."""
    reply = bent(b, lambda target: without_parameter(target, name))
    if name == "X-Amz-Algorithm":  # then nothing says that it is a presigned URL of version 4
        reply.is_(400, 403)
    else:
        reply.fails(400, "AuthorizationQueryParametersError")


@case
def Another_algorithm_is_AuthorizationQueryParametersError(b: Bucket):
    bent(b, lambda t: with_parameter(t, "X-Amz-Algorithm", "AWS4-HMAC-MD5")).fails(400, "AuthorizationQueryParametersError")


@case
def A_malformed_date_is_AuthorizationQueryParametersError(b: Bucket):
    bent(b, lambda t: with_parameter(t, "X-Amz-Date", "yesterday")).fails(400, "AuthorizationQueryParametersError")


@each({
    "key": lambda t: t.replace("/k?", "/other?"),
    "query": lambda t: t + "&response-content-type=text%2Fhtml",
    "expiry": lambda t: with_parameter(t, "X-Amz-Expires", "86400"),
    "signature": lambda t: t[:-4] + ("0000" if t[-4:] != "0000" else "1111"),
})
def SignatureDoesNotMatch_for_another(b: Bucket, change):
    bent(b, change).fails(403, "SignatureDoesNotMatch")


@case
def SignatureDoesNotMatch_for_another_method(b: Bucket):
    request = ready(b)
    request.method = "DELETE"
    b.exchange(request).fails(403, "SignatureDoesNotMatch")
    b.get("k").is_(200)


@case
def SignatureDoesNotMatch_for_another_host(b: Bucket):
    b.exchange(ready(b).put("Host", "localhost:1")).fails(403, "SignatureDoesNotMatch")


@case
def SignatureDoesNotMatch_for_another_secret(b: Bucket):
    b.given("k").presigned("GET", "k", signer=b.signer().but(secret_key="not the secret")).fails(403, "SignatureDoesNotMatch")


@case
def InvalidAccessKeyId_for_an_unknown_key(b: Bucket):
    b.given("k").presigned("GET", "k", signer=b.signer().but(access_key="AKIAIOSFODNN7EXAMPLE")).fails(403, "InvalidAccessKeyId")


@case
def AuthorizationQueryParametersError_for_another_region(b: Bucket):
    b.given("k").presigned("GET", "k", signer=b.signer().but(region="eu-nowhere-7")).fails(400, "AuthorizationQueryParametersError")


@case
def Two_ways_of_signing_at_once_are_InvalidArgument(b: Bucket):
    request = ready(b)
    authorise(request, b.signer(), b.host())
    b.exchange(request).fails(400, "InvalidArgument")


@case
def A_URL_of_signature_version_2_is_InvalidRequest(b: Bucket):
    """"The authorization mechanism that you provided is not supported. Please use AWS4-HMAC-SHA256."."""
    expires = int(datetime.now(timezone.utc).timestamp()) + 300
    text = f"GET\n\n\n{expires}\n/{b.name}/k"
    signature = base64.b64encode(hmac.new(b.target.secret_key.encode(), text.encode(), hashlib.sha1).digest()).decode()
    query = f"AWSAccessKeyId={encode(b.target.access_key)}&Expires={expires}&Signature={encode(signature)}"
    b.exchange(b.given("k").request("GET", "k", query).put("Host", b.host())).fails(400, "InvalidRequest")
