"""Protection and placement that a request asks for: given and shown, or refused; never quietly left out.

Source: Amazon S3 API Reference, PutObject, CopyObject, CreateMultipartUpload, CreateBucket (encryption, ACL, Object Lock, storage class,
expected bucket owner); User Guide, "Using server-side encryption with customer-provided keys", "Object Lock".
"""

from __future__ import annotations

import base64
import hashlib

from conformance.case import Differs, case, each, equal
from conformance.s3 import Bucket, Reply

KEY = bytes(range(32))
CUSTOMER_KEY = {
    "x_amz_server_side_encryption_customer_algorithm": "AES256",
    "x_amz_server_side_encryption_customer_key": base64.b64encode(KEY).decode(),
    "x_amz_server_side_encryption_customer_key_MD5": base64.b64encode(hashlib.md5(KEY).digest()).decode(),
}
ALL_USERS = b"http://acs.amazonaws.com/groups/global/AllUsers"


def sse(b: Bucket) -> bool:
    return b.head("k").get("x-amz-server-side-encryption") is not None


def customer_key(b: Bucket) -> bool:
    return b.get("k").status == 400


def public(b: Bucket) -> bool:
    return ALL_USERS in b.get("k", "acl").body


def locked(b: Bucket) -> bool:
    return b.head("k").get("x-amz-object-lock-mode") is not None


def held(b: Bucket) -> bool:
    return b.head("k").get("x-amz-object-lock-legal-hold") == "ON"


ASKED = {
    "server-side encryption with AES256": ({"x_amz_server_side_encryption": "AES256"}, sse),
    "server-side encryption with aws:kms": ({"x_amz_server_side_encryption": "aws:kms"}, sse),
    "server-side encryption with aws:kms:dsse": ({"x_amz_server_side_encryption": "aws:kms:dsse"}, sse),
    "a customer's key": (CUSTOMER_KEY, customer_key),
    "the ACL public-read": ({"x_amz_acl": "public-read"}, public),
    "a grant to everybody": ({"x_amz_grant_read": f'uri="{ALL_USERS.decode()}"'}, public),
    "retention": ({"x_amz_object_lock_mode": "COMPLIANCE", "x_amz_object_lock_retain_until_date": "2038-01-01T00:00:00Z"}, locked),
    "a legal hold": ({"x_amz_object_lock_legal_hold": "ON"}, held),
}


def given_or_refused(b: Bucket, reply: Reply, shown, status: int = 200):
    if reply.status == status:
        if not shown(b):
            raise Differs("S3 gives what is asked for or refuses; accepted without it")
        return
    reply.is_refused()
    equal(b.get("k").status, 404, "status of the object after a refusal")


@each(ASKED)
def PutObject_asking_for(b: Bucket, row):
    headers, shown = row
    given_or_refused(b, b.put("k", b"data", **headers), shown)


@each(ASKED)
def CopyObject_asking_for(b: Bucket, row):
    headers, shown = row
    b.given("source")
    given_or_refused(b, b.put("k", x_amz_copy_source=f"{b.name}/source", **headers), shown)


@each(ASKED)
def CreateMultipartUpload_asking_for(b: Bucket, row):
    headers, shown = row
    reply = b.post("k", "uploads", **headers)
    if reply.status != 200:
        reply.is_refused()
        return
    query = f"uploadId={reply.text('UploadId')}"
    key = CUSTOMER_KEY if headers is CUSTOMER_KEY else {}
    part = b.put("k", b"data", f"partNumber=1&{query}", **key)
    if part.status != 200:
        part.is_refused()
        return
    document = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part.get('etag')}</ETag></Part></CompleteMultipartUpload>"
    given_or_refused(b, b.post("k", query, document.encode()), shown)


@each({
    "an unknown encryption": {"x_amz_server_side_encryption": "ROT13"},
    "an unknown ACL": {"x_amz_acl": "everybody-welcome"},
    "an unknown lock mode": {"x_amz_object_lock_mode": "MAYBE", "x_amz_object_lock_retain_until_date": "2038-01-01T00:00:00Z"},
    "a lock mode without a date": {"x_amz_object_lock_mode": "GOVERNANCE"},
    "a customer's key without its MD5": {n: v for n, v in CUSTOMER_KEY.items() if not n.endswith("MD5")},
    "another expected owner": {"x_amz_expected_bucket_owner": "999999999999"},
})
def PutObject_is_refused_for(b: Bucket, headers: dict[str, str]):
    b.put("k", b"data", **headers).is_refused()
    b.get("k").fails(404, "NoSuchKey")


@each({"private": "private", "bucket-owner-full-control": "bucket-owner-full-control"})
def PutObject_takes_an_ACL_that_opens_nothing(b: Bucket, acl: str):
    b.put("k", b"data", x_amz_acl=acl).is_(200)
    b.exchange(b.request("GET", "k").put("Host", b.host())).fails(403, "AccessDenied")


@each(["STANDARD_IA", "GLACIER", "REDUCED_REDUNDANCY"])
def PutObject_in_storage_class(b: Bucket, name: str):
    """HeadObject shows it unless it is STANDARD."""
    given_or_refused(b, b.put("k", b"data", x_amz_storage_class=name), lambda b: b.head("k").get("x-amz-storage-class") == name)


@case
def PutObject_with_a_website_redirect(b: Bucket):
    given_or_refused(b, b.put("k", b"data", x_amz_website_redirect_location="/other"), lambda b: b.head("k").get("x-amz-website-redirect-location") == "/other")


@each({
    "the ACL public-read": ({"x_amz_acl": "public-read"}, lambda b: ALL_USERS in b.get(query="acl").body),
    "Object Lock": ({"x_amz_bucket_object_lock_enabled": "true"}, lambda b: b"Enabled" in b.get(query="object-lock").body),
    "ownership by the writer": ({"x_amz_object_ownership": "ObjectWriter"}, lambda b: b"ObjectWriter" in b.get(query="ownershipControls").body),
})
def CreateBucket_asking_for(b: Bucket, row):
    headers, shown = row
    new = b.named(f"{b.name}-new")
    reply = new.call("PUT", **headers)
    if reply.status == 200:
        if not shown(new):
            raise Differs("S3 gives what is asked for or refuses; accepted without it")
    else:
        reply.is_refused()
        new.head().is_(404)


@each({"GetObject": lambda b, **h: b.get("k", **h), "HeadObject": lambda b, **h: b.head("k", **h), "DeleteObject": lambda b, **h: b.delete("k", **h), "ListObjectsV2": lambda b, **h: b.get(query="list-type=2", **h)})
def Another_expected_owner_is_refused_by(b: Bucket, operation):
    """"If the account ID that you provide does not match the actual owner of the bucket, the request fails with … 403 Forbidden"."""
    operation(b.given("k"), x_amz_expected_bucket_owner="999999999999").is_refused()
    b.get("k").is_(200)


@case
def A_bucket_of_one_s_own_is_closed_to_others(b: Bucket):
    b.given("k")
    for request in (b.request("GET", "k"), b.request("GET"), b.request("DELETE", "k")):
        b.exchange(request.put("Host", b.host())).fails(403, "AccessDenied")
