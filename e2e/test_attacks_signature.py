"""Attack groups SH (Authorization header) and PQ (presigned query) over a raw socket, signed by a signer of our own."""

from __future__ import annotations

import re

import pytest

from attacks import ARGUMENT, MISMATCH, Arena, Table, edit
from processes import until
from raw import Connection
from sigv4 import ALGORITHM, STREAMING_UNSIGNED_TRAILER, UNSIGNED, Request, presign, unsigned_chunks, with_parameter, without_parameter

MALFORMED = (400, "AuthorizationHeaderMalformed")
DENIED = (403, "AccessDenied")
QUERY = (400, "AuthorizationQueryParametersError")

SH = Table()


@SH.row("SH-00", {200}, control=True)
def valid(a: Arena, key):
    return a.signed_put(key)


@SH.row("SH-01", {ARGUMENT}, "garbage", "AWS4-HMAC-SHA256", "")
def no_auth_header(a, key, value):
    return a.signed_put(key).put("Authorization", value)


@SH.row("SH-02", {ARGUMENT}, "AWS4-HMAC-SHA512", "AWS4-ECDSA-P256-SHA256", "Basic", "Bearer")
def unknown_scheme(a, key, scheme):
    return edit(a.signed_put(key), "Authorization", lambda v: v.replace(ALGORITHM, scheme))


@SH.row("SH-03", {(400, "InvalidRequest")})
def signature_version_2(a, key):
    return a.signed_put(key).put("Authorization", f"AWS {a.signer.access_key}:bm9uc2Vuc2U9")


@SH.row("SH-04", {MALFORMED}, "Credential", "SignedHeaders", "Signature")
def component_missing(a, key, name):
    return edit(a.signed_put(key), "Authorization", lambda v: re.sub(rf"{name}=[^,]*(, )?", "", v).rstrip(", "))


@SH.row("SH-05", {MALFORMED})
def component_without_equals(a, key):
    return edit(a.signed_put(key), "Authorization", lambda v: v.replace("SignedHeaders=", "SignedHeaders-"))


@SH.row("SH-06", {MALFORMED, (403, "InvalidAccessKeyId")}, "{k}/{d}/s3/aws4_request", "{k}/x/{d}/us-east-1/s3/aws4_request", "{k}", "", "////", "/{d}/us-east-1/s3/aws4_request")
def credential_parts(a, key, form):
    credential = form.format(k=a.signer.access_key, d=a.signer.date())
    request = a.signed_put(key)
    return edit(request, "Authorization", lambda v: re.sub(r"Credential=[^,]*", f"Credential={credential}", v))


@SH.row("SH-07", {MALFORMED}, "aws_request", "AWS4_REQUEST", "")
def wrong_terminal(a, key, terminal):
    return a.signed_put(key, signer=a.signer.but(terminal=terminal))


@SH.row("SH-08", {MALFORMED}, "ec2", "sts", "s3tables", "s3express", "S3")
def wrong_service(a, key, service):
    return a.signed_put(key, signer=a.signer.but(service=service))


@SH.row("SH-09", {MALFORMED}, "eu-nowhere-1", "", extra="Region")
def wrong_region(a, key, region):
    return a.signed_put(key, signer=a.signer.but(region=region))


@SH.row("SH-10", {MALFORMED}, "3223423234", "2026013", "20261341", "today", "")
def scope_date_is_no_date(a, key, date):
    request = a.signed_put(key, signer=a.signer.but(scope_date=date or " "))
    return edit(request, "Authorization", lambda v: v.replace("/ /", "//")) if not date else request


@SH.row("SH-11", {MALFORMED, MISMATCH})
def scope_date_differs(a, key):
    return a.signed_put(key, signer=a.signer.but(scope_date=a.signer.moved(days=-1).date()))


@SH.row("SH-12", {DENIED})
def no_date(a, key):
    return a.signed_put(key, date_header=False)


@SH.row("SH-13", {DENIED}, "20260101", "2026-01-01T00:00:00Z", "20261301T000000Z", "20260101T000060Z", "-0010101T000000Z", "", "20260101T000000", "٢٠٢٦٠١٠١T000000Z")
def unparsable_date(a, key, date):
    return a.signed_put(key, timestamp=date)


@SH.row("SH-14", {(403, "RequestTimeTooSkewed")}, -16, 16, -100_000)
def skewed(a, key, minutes):
    return a.signed_put(key, signer=a.signer.moved(minutes=minutes))


@SH.row("SH-14-within", {200}, -14, 14, control=True)
def barely_in_time(a, key, minutes):
    return a.signed_put(key, signer=a.signer.moved(minutes=minutes))


@SH.row("SH-15", {(403, "InvalidAccessKeyId")}, "AKIAUNKNOWNUNKNOWN00", "x", "' or 1=1 --")
def unknown_key(a, key, access_key):
    return a.signed_put(key, signer=a.signer.but(access_key=access_key))


@SH.row("SH-16", {MISMATCH})
def wrong_secret(a, key):
    return a.signed_put(key, signer=a.signer.but(secret_key="not the secret"))


@SH.row("SH-16-digit", {MISMATCH})
def one_digit(a, key):
    return edit(a.signed_put(key), "Authorization", lambda v: v[:-1] + ("0" if v[-1] != "0" else "1"))


@SH.row("SH-16-form", {MISMATCH, MALFORMED}, "", "0", "zz" * 32, "A" * 65)
def signature_form(a, key, signature):
    return edit(a.signed_put(key), "Authorization", lambda v: re.sub("Signature=.*", f"Signature={signature}", v))


@SH.row("SH-18", {DENIED, MISMATCH})
def host_not_signed(a, key):
    return a.signed_put(key, do_not_sign=("host",))


@SH.row("SH-19", {DENIED}, "x-amz-copy-source", "X-AMZ-COPY-SOURCE", extra="HeadersNotSigned")
def unsigned_copy_source(a, key, name):
    return a.signed_put(key, body=b"").add(name, f"/{a.bucket}/{a.mark}")


@SH.row(
    "SH-20", {DENIED},
    ("x-amz-tagging", "a=b"), ("x-amz-acl", "public-read"), ("x-amz-grant-read", "id=1"), ("x-amz-storage-class", "GLACIER"), ("x-amz-meta-a", "b"),
    ("x-amz-object-lock-mode", "GOVERNANCE"), ("x-amz-website-redirect-location", "http://evil.test/"), ("x-amz-server-side-encryption", "AES256"),
    ("x-amz-server-side-encryption-customer-algorithm", "AES256"), ("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-decoded-content-length", "5"), ("x-amz-anything-new", "1"),
    extra="HeadersNotSigned",
)
def unsigned_headers(a, key, header):
    return a.signed_put(key).add(*header)


@SH.row("SH-21", {200}, control=True)
def content_hash_not_signed(a, key):
    return a.signed_put(key, do_not_sign=("x-amz-content-sha256",))


@SH.row("SH-22", {200}, "x-amzn-trace-id", "amz-sdk-request", "amz-sdk-invocation-id", "x-amzon", control=True)
def unsigned_but_harmless(a, key, name):
    return a.signed_put(key).add(name, "Root=1-2-3")


@SH.row("SH-23", {200}, "", "mine", control=True)
def gateways_own_header(a, key, value):
    """The gateway names each request itself; that is no part of what a client has signed, and a client's own name of it is."""
    return a.signed_put(key, headers=[("x-amz-request-id", value)] if value else [])


@SH.row("SH-24", {MISMATCH, MALFORMED, ARGUMENT}, "range", "x-amz-meta-absent")
def signed_header_absent(a, key, name):
    return a.signed_put(key, also_sign=(name,))


@SH.row("SH-25", {ARGUMENT}, "after", "before")
def two_authorizations(a, key, where):
    request = a.signed_put(key)
    return request.add("Authorization", "garbage") if where == "after" else _first(request, "Authorization", "garbage")


@SH.row("SH-26", {ARGUMENT, MISMATCH, DENIED, (400, "InvalidRequest")}, ("x-amz-date", "20200101T000000Z"), ("x-amz-content-sha256", UNSIGNED), ("x-amz-security-token", "abc"), ("x-amz-decoded-content-length", "9"))
def sent_twice(a, key, header):
    name, value = header
    request = a.signed_put(key)
    if request.get(name) is None:
        request.add(name, "first")
    return request.add(name, value)


@SH.row("SH-27", {ARGUMENT}, "X-Amz-Algorithm=AWS4-HMAC-SHA256", "Signature=abc", "X-Amz-Signature=abc", "AWSAccessKeyId=abc")
def two_mechanisms(a, key, query):
    return a.signed(a.put(key, query=query))


@SH.row("SH-28", {(400, "InvalidToken")})
def session_token(a, key):
    return a.signed_put(key, headers=[("x-amz-security-token", "abc")])


@SH.row("SH-30", {200}, "prefix=a%20b&delimiter=%2F&list-type=2", "list-type=2&delimiter=%2F&prefix=a%20b", "list-type=2&prefix=%E2%98%83", "uploads", "uploads=", "location", "prefix=~-._", control=True)
def query_canonicalisation(a, key, query):
    return a.signed(Request("GET", f"/{a.bucket}?{query}"))


@SH.row("SH-32", {200, ARGUMENT}, b"\xff\xfe", b"\xc3\xbc", b"\xed\xa0\x80")
def high_bytes(a, key, value):
    return a.signed_put(key, headers=[("x-amz-meta-a", value)])


@SH.row("SH-33", {DENIED})
def anonymous(a, key):
    return a.put(key).add("Host", a.host)


def _first(request, name, value):
    request.headers.insert(0, (name, value))
    return request


@pytest.mark.parametrize("row", SH, ids=SH.ids())
def test_header(arena, row):
    answer = arena.check(row)
    if row.id == "SH-09":
        assert answer.xml().findtext("Region") == answer.get("x-amz-bucket-region") == "us-east-1"
    if row.id == "SH-16":
        right = arena.signed_put("any")
        assert right.get("authorization")[-64:].encode() not in answer.body


def test_SH_17_a_disabled_key_is_refused_soon(gateway, arena):
    target = gateway.target("globex")
    created = gateway.new_key("globex")
    signer = target.signer().but(access_key=created[0], secret_key=created[1])
    bucket = target.make_bucket("revoked")

    def status():
        request = Request("GET", f"/{bucket}?list-type=2")
        answer = arena.send(arena.signed(request, signer))
        return answer.status, answer.code

    until(lambda: status() == (200, None), "the new key works", 5)
    gateway.disable_key(created[0])
    until(lambda: all(status() == (403, "InvalidAccessKeyId") for _ in range(4)), "the disabled key is refused by every proxy", 5)


def test_SH_29_spaces_in_header_values(arena):
    key = arena.key()
    request = arena.signed_put(key, headers=[("x-amz-meta-a", "   a   b  ")])
    assert arena.send(request).status == 200
    stored = arena.s3.head_object(Bucket=arena.bucket, Key=key)["Metadata"]["a"]
    assert stored in ("a   b", "a b")


def test_SH_31_plus_and_space_are_two_keys(arena):
    for path, body in (("p/a+b", b"plus"), ("p/a%20b", b"space"), ("p/a%2Bc", b"encoded plus")):
        request = Request("PUT", f"/{arena.bucket}/{path}", body=body)
        assert arena.send(arena.signed(request)).status == 200
    got = {k: arena.s3.get_object(Bucket=arena.bucket, Key=k)["Body"].read() for k in ("p/a+b", "p/a b", "p/a+c")}
    assert got == {"p/a+b": b"plus", "p/a b": b"space", "p/a+c": b"encoded plus"}


# PQ -----------------------------------------------------------------------------------------------------------------

PQ = Table()


def presigned_put(a: Arena, key, body=b"12345", signer=None, **options) -> Request:
    return presign(a.put(key, body), signer or a.signer, a.host, **options)


def presigned_get(a: Arena, key=None, signer=None, query="", **options) -> Request:
    return presign(a.get(key, query), signer or a.signer, a.host, **options)


@PQ.row("PQ-00", {200}, "PUT", "GET", control=True)
def presigned_valid(a, key, method):
    return presigned_put(a, key) if method == "PUT" else presigned_get(a)


@PQ.row("PQ-01", {QUERY, DENIED})
def expires_zero(a, key):
    return presigned_put(a, key, expires=0)


@PQ.row("PQ-02", {QUERY}, "604801", "99999999999999999999")
def expires_too_late(a, key, expires):
    return presigned_put(a, key, expires=expires)


@PQ.row("PQ-02-edge", {200}, "604800", "1", control=True)
def expires_edge(a, key, expires):
    return presigned_put(a, key, expires=expires, signer=a.signer.moved(seconds=2))


@PQ.row("PQ-03", {QUERY}, "-1", "abc", "6e1", "60.0", "+60", " 60", "", "0x10", "٦٠")
def expires_no_number(a, key, expires):
    return presigned_put(a, key, expires=expires)


@PQ.row("PQ-04", {DENIED})
def expired(a, key):
    return presigned_put(a, key, expires=60, signer=a.signer.moved(seconds=-61))


@PQ.row("PQ-05", {DENIED, (403, "RequestTimeTooSkewed")})
def from_the_future(a, key):
    return presigned_put(a, key, signer=a.signer.moved(hours=1))


@PQ.row("PQ-06", {QUERY}, "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature")
def parameter_missing(a, key, name):
    request = presigned_put(a, key)
    request.target = without_parameter(request.target, name)
    return request


@PQ.row("PQ-07", {MISMATCH, (405, "MethodNotAllowed")}, "versionId=x", "response-content-disposition=inline", "acl", "tagging", "x-id=PutObject", "partNumber=1&uploadId=abc", "uploads", "delete", "x-amz-copy-source=%2Fb%2Fk", "x-amz-acl=private", "X-Amz-Meta-A=b", "x-amz-checksum-crc32=AAAAAA%3D%3D")
def parameter_added(a, key, query):
    request = presigned_put(a, key)
    request.target += f"&{query}"
    return request


@PQ.row("PQ-08", {403, (405, "MethodNotAllowed")}, "GET PUT", "GET DELETE", "GET POST", "PUT GET", "GET HEAD")
def method_swapped(a, key, methods):
    signed, sent = methods.split()
    request = presigned_put(a, key) if signed == "PUT" else presigned_get(a, key)
    request.method = sent
    request.body = b"12345" if sent in ("PUT", "POST") else b""
    return request


@PQ.row("PQ-09", {MISMATCH}, "key", "bucket", "slash", "dot")
def path_changed(a, key, what):
    request = presigned_put(a, key)
    path, _, query = request.target.partition("?")
    changed = {"key": path + "x", "bucket": path.replace(a.bucket, a.bucket + "x"), "slash": path + "/", "dot": path.replace(a.bucket + "/", a.bucket + "/./")}[what]
    request.target = f"{changed}?{query}"
    return request


@PQ.row("PQ-10", {DENIED}, ("x-amz-copy-source", b""), ("X-AMZ-COPY-SOURCE", b""), ("x-amz-copy-source", b"12345"), extra="HeadersNotSigned")
def presigned_copy(a, key, how):
    name, body = how
    return presigned_put(a, key, body).add(name, f"/{a.bucket}/{a.mark}")


@PQ.row("PQ-11", {DENIED}, ("x-amz-tagging", "a=b"), ("x-amz-acl", "public-read"), ("x-amz-meta-a", "b"), ("x-amz-website-redirect-location", "http://evil.test"), ("x-amz-storage-class", "GLACIER"))
def presigned_headers(a, key, header):
    return presigned_put(a, key).add(*header)


@PQ.row("PQ-12", {200, 206, 304}, ("PUT", "Content-Type", "text/x"), ("GET", "Range", "bytes=0-1"), ("GET", "If-None-Match", '"0"'), ("PUT", "x-amzn-trace-id", "1"), control=True)
def presigned_plain_headers(a, key, how):
    method, name, value = how
    return (presigned_put(a, key) if method == "PUT" else presigned_get(a)).add(name, value)


@PQ.row("PQ-13", {MISMATCH}, "content-type", "x-amz-meta-a")
def signed_header_changed(a, key, name):
    request = a.put(key).add(name, "one")
    presign(request, a.signer, a.host, sign_headers=(name,))
    return request.put(name, "two")


@PQ.row("PQ-14", {QUERY}, "algorithm", "service", "region", "terminal", "date")
def wrong_scope(a, key, what):
    if what == "algorithm":
        return presigned_put(a, key, algorithm="AWS4-HMAC-SHA512")
    if what == "date":
        return presigned_put(a, key, signer=a.signer.but(scope_date=a.signer.moved(days=-1).date()))
    return presigned_put(a, key, signer=a.signer.but(**{what: "other"}))


@PQ.row("PQ-15", {ARGUMENT}, "garbage", "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=00", "Basic YTpi")
def header_added(a, key, value):
    return presigned_put(a, key).add("Authorization", value)


@PQ.row("PQ-16", {(400, "InvalidRequest")})
def presigned_version_2(a, key):
    return a.put(key, query=f"AWSAccessKeyId={a.signer.access_key}&Expires=9999999999&Signature=bm9uc2Vuc2U%3D").add("Host", a.host)


@PQ.row("PQ-17", {MISMATCH, DENIED})
def streaming_with_a_false_signature(a, key):
    body = b"".join(unsigned_chunks([b"12345"]))
    request = presigned_put(a, key, body)
    request.target = with_parameter(request.target, "X-Amz-Signature", "0" * 64)
    return request.add("x-amz-content-sha256", STREAMING_UNSIGNED_TRAILER).add("x-amz-decoded-content-length", "5")


@PQ.row("PQ-19", {QUERY, ARGUMENT, MISMATCH}, "X-Amz-Expires=9", "X-Amz-Signature=0", "X-Amz-Credential=a", "X-Amz-Date=20200101T000000Z")
def parameter_twice(a, key, query):
    request = presigned_put(a, key)
    request.target += f"&{query}"
    return request


@PQ.row("PQ-20", {MISMATCH, DENIED, QUERY})
def host_not_signed_in_query(a, key):
    request = presigned_put(a, key)
    request.target = with_parameter(request.target, "X-Amz-SignedHeaders", "x-amz-date")
    return request


@pytest.mark.parametrize("row", PQ, ids=PQ.ids())
def test_presigned(arena, row):
    arena.check(row)
    if row.id == "PQ-08":
        assert arena.stored(arena.mark) == b"12345"


def test_PQ_13_signed_length_and_other_length(arena):
    key = arena.key()
    request = arena.put(key, b"12345").add("Content-Length", "5")
    presign(request, arena.signer, arena.host, sign_headers=("content-length",))
    request.put("Content-Length", "4")
    request.body = b"1234"
    answer = arena.send(request)
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch"), str(answer)
    assert arena.stored(key) is None


def test_PQ_18_a_url_ends_with_its_key(gateway, arena):
    access_key, secret_key = gateway.new_key("acme")
    request = presigned_get(arena, signer=arena.signer.but(access_key=access_key, secret_key=secret_key), expires=604_800)
    until(lambda: arena.send(request).status == 200, "the URL works", 5)
    gateway.disable_key(access_key)
    until(lambda: all(arena.send(request).status == 403 for _ in range(4)), "the URL is refused by every proxy", 5)


def test_HT_27_each_pipelined_request_has_its_own_credentials(arena, gateway):
    """Good and bad credentials in one write: each that is answered is judged alone and in order; identity is not the connection's."""
    good, bad, foreign = arena.get(), arena.get(), arena.get()
    arena.sign(good)
    arena.sign(bad, arena.signer.but(secret_key="wrong"))
    arena.sign(foreign, gateway.target("globex").signer())
    wanted = {id(good): 200, id(bad): 403, id(foreign): 404}
    for order in ([good, bad, foreign], [bad, good, foreign], [foreign, good, bad]):
        with Connection(arena.endpoint) as connection:
            connection.send(b"".join(r.to_bytes() for r in order))
            got = []
            while len(got) < len(order) and (answer := connection.answer()).status:
                got.append(answer.status)
        # A connection that is closed after the first answer leaves the client to ask again: slow, but safe.
        assert got and got == [wanted[id(r)] for r in order][: len(got)], got
