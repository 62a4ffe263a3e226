"""Errors: their form, and the codes of what is wrong with a request whatever its operation.

Source: Amazon S3 API Reference, "Error responses" (the form and the list of codes), "Authenticating Requests: Using the Authorization Header".
"""

from __future__ import annotations

from clients import md5
from conformance.case import case, each, equal
from conformance.s3 import Bucket, Reply
from sigv4 import Request, authorise, md5_base64

DELETE = b"<Delete><Object><Key>k</Key></Object></Delete>"
TAGGING = b"<Tagging><TagSet/></Tagging>"
ON_A_MISSING_BUCKET = {
    "GetObject": lambda b: b.get("k"),
    "PutObject": lambda b: b.put("k", b"x"),
    "DeleteObject": lambda b: b.delete("k"),
    "DeleteObjects": lambda b: b.post(query="delete", body=DELETE, content_md5=md5_base64(DELETE)),
    "GetBucketLocation": lambda b: b.get(query="location"),
    "GetBucketVersioning": lambda b: b.get(query="versioning"),
    "GetBucketTagging": lambda b: b.get(query="tagging"),
    "ListObjectVersions": lambda b: b.get(query="versions"),
    "ListMultipartUploads": lambda b: b.get(query="uploads"),
    "GetObjectTagging": lambda b: b.get("k", "tagging"),
    "PutObjectTagging": lambda b: b.put_xml("k", "tagging", TAGGING.decode()),
    "GetObjectAttributes": lambda b: b.get("k", "attributes", x_amz_object_attributes="ETag"),
}


@each(ON_A_MISSING_BUCKET)
def NoSuchBucket_for(b: Bucket, operation):
    operation(b.named(f"{b.name}-none")).fails(404, "NoSuchBucket")


@case
def An_error_has_code_message_and_request_id(b: Bucket):
    reply = b.get("missing").fails(404, "NoSuchKey")
    reply.root("Error")
    assert reply.text("Message") and reply.text("RequestId")


@case
def The_request_id_of_an_error_is_that_of_its_header(b: Bucket):
    reply = b.get("missing").fails(404, "NoSuchKey")
    equal(reply.text("RequestId"), reply.get("x-amz-request-id"))


@case
def NoSuchKey_names_the_key(b: Bucket):
    """The example of "REST error responses" and of GetObject carry what was asked for."""
    reply = b.get("missing").fails(404, "NoSuchKey")
    assert "missing" in f"{reply.text('Key')}{reply.text('Resource')}", reply.body


@case
def An_error_is_XML_in_UTF_8_with_its_declaration(b: Bucket):
    body = b.get("missing").fails(404, "NoSuchKey").body
    assert body.startswith(b"<?xml") and b"UTF-8" in body[:60].upper(), body[:60]


def altered(b: Bucket, change, method: str = "GET") -> Reply:
    request = b.signed(b.given("k", body=b"data").request(method, "k"))
    change(request)
    return b.exchange(request)


def replace_in(name: str, old: str, new: str):
    return lambda request: request.put(name, str(request.get(name)).replace(old, new))


@case
def A_request_without_a_signature_is_AccessDenied(b: Bucket):
    b.exchange(b.given("k").request("GET", "k").put("Host", b.host())).fails(403, "AccessDenied")


@case
def A_write_without_a_signature_is_AccessDenied(b: Bucket):
    b.exchange(b.request("PUT", "k", body=b"x").put("Host", b.host())).fails(403, "AccessDenied")
    b.get("k").fails(404, "NoSuchKey")


def signed_by(b: Bucket, **changes) -> Reply:
    request = b.given("k").request("GET", "k")
    authorise(request, b.signer().but(**changes), b.host())
    return b.exchange(request)


@case
def Another_secret_is_SignatureDoesNotMatch(b: Bucket):
    signed_by(b, secret_key="not the secret").fails(403, "SignatureDoesNotMatch")


@case
def An_unknown_access_key_is_InvalidAccessKeyId(b: Bucket):
    signed_by(b, access_key="AKIAIOSFODNN7EXAMPLE").fails(403, "InvalidAccessKeyId")


@case
def Another_region_is_AuthorizationHeaderMalformed_and_names_the_right_one(b: Bucket):
    """"The authorization header is malformed; the region '…' is wrong; expecting '…'"."""
    reply = signed_by(b, region="eu-nowhere-7").fails(400, "AuthorizationHeaderMalformed")
    assert b.target.region in reply.body.decode(), reply.body


@case
def Another_service_is_AuthorizationHeaderMalformed(b: Bucket):
    signed_by(b, service="ec2").fails(400, "AuthorizationHeaderMalformed")


@case
def Another_terminal_is_AuthorizationHeaderMalformed(b: Bucket):
    signed_by(b, terminal="aws3_request").fails(400, "AuthorizationHeaderMalformed")


@each({"slow": -20, "fast": 20})
def A_clock_of_more_than_15_minutes_is_RequestTimeTooSkewed(b: Bucket, minutes: int):
    request = b.given("k").request("GET", "k")
    authorise(request, b.signer().moved(minutes=minutes), b.host())
    b.exchange(request).fails(403, "RequestTimeTooSkewed")


@each({"slow": -10, "fast": 10})
def A_clock_of_less_than_15_minutes_is_accepted(b: Bucket, minutes: int):
    request = b.given("k").request("GET", "k")
    authorise(request, b.signer().moved(minutes=minutes), b.host())
    equal(b.exchange(request).is_(200).body, b"x")


@case
def A_request_without_a_date_is_AccessDenied(b: Bucket):
    """"AWS authentication requires a valid Date or x-amz-date header"."""
    altered(b, lambda r: r.drop("X-Amz-Date")).fails(403, "AccessDenied")


@case
def An_Authorization_without_Credential_is_AuthorizationHeaderMalformed(b: Bucket):
    altered(b, replace_in("Authorization", "Credential=", "Crdential=")).fails(400, "AuthorizationHeaderMalformed")


@case
def An_Authorization_without_SignedHeaders_is_AuthorizationHeaderMalformed(b: Bucket):
    altered(b, replace_in("Authorization", "SignedHeaders=", "SgndHeaders=")).fails(400, "AuthorizationHeaderMalformed")


@case
def An_Authorization_of_another_kind_is_refused(b: Bucket):
    altered(b, lambda r: r.put("Authorization", "Basic dXNlcjpwYXNz")).is_refused()


@case
def An_altered_query_is_SignatureDoesNotMatch(b: Bucket):
    def change(request: Request):
        request.target += "?response-content-type=text/html"

    altered(b, change).fails(403, "SignatureDoesNotMatch")


@case
def An_altered_signed_header_is_SignatureDoesNotMatch(b: Bucket):
    request = b.signed(b.request("PUT", "k", body=b"x", x_amz_meta_a="1")).put("x-amz-meta-a", "2")
    b.exchange(request).fails(403, "SignatureDoesNotMatch")
    b.get("k").fails(404, "NoSuchKey")


@case
def An_x_amz_header_that_is_not_signed_is_AccessDenied(b: Bucket):
    b.exchange(b.signed(b.request("PUT", "k", body=b"x")).add("x-amz-meta-late", "1")).fails(403, "AccessDenied")
    b.get("k").fails(404, "NoSuchKey")


@case
def A_header_without_x_amz_need_not_be_signed(b: Bucket):
    b.exchange(b.signed(b.request("PUT", "k", body=b"x")).add("Cache-Control", "no-store")).is_(200)
    b.head("k").is_(200).has("cache-control", "no-store")


@case
def A_session_token_of_nobody_s_is_InvalidToken(b: Bucket):
    b.given("k").get("k", x_amz_security_token="bm9ib2R5").is_(400, 403)


@case
def A_request_without_x_amz_content_sha256_is_refused(b: Bucket):
    """"The x-amz-content-sha256 header is required for all AWS Signature Version 4 requests." """
    request = b.given("k").request("GET", "k")
    authorise(request, b.signer(), b.host(), send_hash=False)
    b.exchange(request).is_refused()


@case
def An_x_amz_content_sha256_that_is_no_hash_is_InvalidArgument(b: Bucket):
    """"x-amz-content-sha256 must be UNSIGNED-PAYLOAD, …, or a valid sha256 value."."""
    b.exchange(b.signed(b.request("PUT", "k", body=b"x"), "not-a-hash")).fails(400, "InvalidArgument")


@case
def A_path_that_cannot_be_decoded_is_InvalidURI(b: Bucket):
    request = b.request("GET")
    request.target = f"/{b.name}/%zz"
    b.exchange(b.signed(request)).fails(400, "InvalidURI")


@each({"PATCH of an object": ("PATCH", "k"), "PUT of the service": ("PUT", None), "DELETE of the service": ("DELETE", None)})
def MethodNotAllowed_for(b: Bucket, row: tuple[str, str | None]):
    """"The specified method is not allowed against this resource."."""
    method, key = row
    request = b.request(method, key or "")
    if key is None:
        request.target = "/"
    b.exchange(b.signed(request)).fails(405, "MethodNotAllowed")


@each({"NoSuchKey": ("missing", {}, 404), "PreconditionFailed": ("k", {"if_match": f'"{md5(b"x")}0"'}, 412), "InvalidRange": ("k", {"range": "bytes=99-"}, 416)})
def HEAD_has_the_status_of_GET_and_no_body(b: Bucket, row: tuple[str, dict[str, str], int]):
    key, headers, status = row
    b.given("k").get(key, **headers).is_(status)
    b.head(key, **headers).is_(status)
