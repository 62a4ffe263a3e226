"""Attack groups HT (framing and heads), XM (documents) and HB (headers that steer a backend) over a raw socket."""

from __future__ import annotations

from urllib.parse import unquote_plus

import pytest

from attacks import ARGUMENT, NO_ANSWER, Arena, Table
from clients import MIB
from gateway import HOME
from raw import Connection, host_of
from sigv4 import CHECKSUMS, UNSIGNED, Request, encode_key, md5_base64

BAD = {400, NO_ANSWER}
URI = (400, "InvalidURI")
XML = (400, "MalformedXML")

HT = Table()


def smuggle(a: Arena, key: str, *framing: str, body: bytes, method: str = "PUT") -> bytes:
    """A signed write with framing of one's own, and a second request behind it that must never be answered."""
    request = a.put(key)
    request.method = method
    a.sign(request, None, UNSIGNED)
    request.length = None
    head = request.head_bytes()[:-2] + "".join(f"{line}\r\n" for line in framing).encode("latin-1") + b"\r\n"
    hidden = a.get()
    a.sign(hidden)
    return head + body + hidden.to_bytes()


@HT.row("HT-01", {400, (411, "MissingContentLength"), (501, "NotImplemented"), NO_ANSWER})
def cl_te(a, key):
    return smuggle(a, key, "Content-Length: 6", "Transfer-Encoding: chunked", body=b"0\r\n\r\nG")


@HT.row("HT-02", {400, (411, "MissingContentLength"), (501, "NotImplemented"), NO_ANSWER})
def te_cl(a, key):
    return smuggle(a, key, "Transfer-Encoding: chunked", "Content-Length: 4", body=b"5\r\n12345\r\n0\r\n\r\n")


@HT.row("HT-03", {400, 411, 501, NO_ANSWER}, "xchunked", "chunked, identity", "identity, chunked", "chunked, chunked", "\tchunked", "chunked\x0b", "gzip, chunked", "identity", "")
def te_forms(a, key, value):
    return smuggle(a, key, f"Transfer-Encoding: {value}", body=b"5\r\n12345\r\n0\r\n\r\n")


@HT.row("HT-03-twice", {400, 411, 501, NO_ANSWER})
def te_twice(a, key):
    return smuggle(a, key, "Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=b"5\r\n12345\r\n0\r\n\r\n")


@HT.row("HT-04", BAD, "5 6", "5 5")
def cl_twice(a, key, lengths):
    one, two = lengths.split()
    return smuggle(a, key, f"Content-Length: {one}", f"Content-Length: {two}", body=b"12345")


@HT.row("HT-06", {400, 411, 501, NO_ANSWER}, "Transfer-Encoding: chunked", "X-None: 1")
def http_1_0(a, key, line):
    return smuggle(a, key, line, body=b"5\r\n12345\r\n0\r\n\r\n").replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)


def header_line(a: Arena, key: str, line: bytes) -> bytes:
    request = a.put(key)
    a.sign(request)
    head = request.head_bytes()
    return head[:-2] + line + b"\r\n\r\n" + request.body


@HT.row("HT-08", BAD, b"x-folded: a\r\n b", b"x-folded: a\r\n\tb")
def obs_fold(a, key, line):
    return header_line(a, key, line)


@HT.row("HT-08-authorization", BAD | {403})
def obs_fold_in_authorization(a, key):
    request = a.put(key)
    a.sign(request)
    return request.to_bytes().replace(b", SignedHeaders", b",\r\n SignedHeaders")


@HT.row("HT-09", BAD, b"Content-Type : text/x", b"X Y: 1", b": v", b"no-colon", b"x\x00y: 1", b"\x80: 1")
def header_names(a, key, line):
    return header_line(a, key, line)


@HT.row("HT-10", BAD | {403}, b"x-any: a\rb", b"x-any: a\x00b", b"x-any: a\nx-amz-meta-b: c")
def header_controls(a, key, line):
    return header_line(a, key, line)


@HT.row("HT-11", {400, 431, NO_ANSWER}, "one", "many", "small")
def headers_too_large(a, key, how):
    lines = {"one": [b"x-one: " + b"a" * 65_536], "many": [b"x-%d: " % n + b"a" * 8192 for n in range(100)], "small": [b"x-%d: 1" % n for n in range(5000)]}[how]
    return header_line(a, key, b"\r\n".join(lines))


@HT.row("HT-12", {400, 414, 431, NO_ANSWER}, "path", "query")
def long_target(a, key, how):
    return a.signed(a.get("k" * 65_536) if how == "path" else Request("GET", f"/{a.bucket}?prefix=" + "a" * MIB))


@HT.row("HT-13", BAD)
def absolute_form_elsewhere(a, key):
    request = a.get()
    a.sign(request)
    request.target = "http://other.host" + request.target
    return request


@HT.row("HT-14", BAD | {403, 404}, "none", "a b", "a,b", "[::1", "h" * 300 + ".test", "user@host")
def host_values(a, key, host):
    request = a.put(key)
    if host == "none":
        a.sign(request)
        return request.drop("Host")
    request.add("Host", host)
    return a.signed(request)


@HT.row("HT-14-twice", BAD)
def host_twice(a, key):
    request = a.put(key)
    a.sign(request)
    return request.add("Host", "other.test")


@HT.row("HT-15", {200}, "victim.s3.other.tld", "169.254.169.254", "[::1]:9000", "localhost", "s3.amazonaws.com", "the backend's", control=True)
def host_of_others(a, key, host):
    """Names nothing here: the bucket is the path's, and no such host is asked."""
    return a.signed(a.get().add("Host", host_of(a.gateway.backends[HOME].endpoint) if host == "the backend's" else host))


@HT.row("HT-16", {URI, NO_ANSWER, 400}, "%zz", "%", "%e", "a%2", "%u0041")
def percent_encoding(a, key, text):
    request = a.put("x")
    a.sign(request)
    request.target = f"/{a.bucket}/{text}"
    return request


@HT.row("HT-17", {URI, 400}, "%ff%fe", "%c0%af", "%ed%a0%80", "a%80b")
def key_not_utf8(a, key, text):
    return a.signed(Request("PUT", f"/{a.bucket}/{text}", body=b"12345"))


@HT.row("HT-18", {ARGUMENT, 400}, "a%00b")
def nul_in_key(a, key, text):
    return a.signed(Request("PUT", f"/{a.bucket}/{text}", body=b"12345"))


@HT.row("HT-19", {(400, "KeyTooLongError")}, "a" * 1025, "/".join(["a" * 204] * 5) + "x", "ä" * 513)
def key_too_long(a, key, long):
    return a.signed(a.put(long))


@HT.row("HT-20", BAD | {403}, b"a b", b"a\x80b", b"a\xffb", b"a\tb", b"a\x01b")
def raw_bytes_in_target(a, key, raw):
    request = a.put("PLACE")
    a.sign(request)
    return request.to_bytes().replace(b"/PLACE ", b"/" + raw + b" ", 1)


@HT.row("HT-25", {200, 206, (416, "InvalidRange")}, "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 4)) , "bytes=" + ",".join(["0-0"] * 1000), "bytes=-0", "bytes=5-2", "bytes=99999999999999999999-", "bytes=", "items=0-1", "bytes=a-b", "bytes=--1", "bytes=0-99999999999999999999999", control=True)
def range_abuse(a, key, value):
    return a.signed(a.get().add("Range", value))


@HT.row("HT-26", {405, 400, 501, NO_ANSWER}, "get", "PUTX", "TRACE", "PROPFIND", "CONNECT", "PATCH")
def methods(a, key, method):
    request = a.get()
    request.method = method
    return a.signed(request)


@HT.row("HT-26-override", {200}, "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", control=True)
def method_override(a, key, name):
    return a.signed(a.get().add(name, "DELETE"))


@HT.row("TR-22", {200}, "X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host", "X-Forwarded-Proto", "True-Client-IP", control=True)
def forwarded_by_a_stranger(a, key, name):
    return a.signed(a.get().add(name, "203.0.113.1" if name != "Forwarded" else "for=203.0.113.1;host=victim;proto=https"))


@HT.row("TR-22-proxy-line", BAD, b"PROXY TCP4 203.0.113.1 192.0.2.1 56324 443\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + b"\x01" * 12)
def proxy_protocol(a, key, line):
    return line + a.signed_put(key).to_bytes()


@HT.row("HT-05", {200, 400, NO_ANSWER}, control=True)
def upgrade(a, key):
    return a.signed(a.get().add("Upgrade", "foo").add("Connection", "Upgrade"))


@HT.row("HT-07", {200, 400, 403, NO_ANSWER}, "authorization", "x-amz-date", "host", "x-amz-content-sha256", "x-forwarded-for, host", control=True)
def connection_names(a, key, names):
    return a.signed(a.get().add("Connection", names))


@pytest.mark.parametrize("row", HT, ids=HT.ids())
def test_http(arena, row):
    arena.check(row)
    assert arena.stored(arena.mark) == b"12345"


@pytest.mark.parametrize("name", ["HT-01", "HT-02", "HT-03", "HT-04", "HT-06"])
def test_nothing_behind_doubtful_framing_is_answered(arena, name):
    """One answer and an end: the second request in the same write was never parsed."""
    for row in (r for r in HT if r.id == name):
        request = row.build(arena, arena.key())
        with Connection(arena.endpoint, timeout=10) as connection:
            connection.send(request)
            first = connection.answer("PUT")
            closed = connection.is_closed(2)
            assert closed, f"{row.name}: {first}: the connection lives on"
            assert not connection.buffer, f"{row.name}: a second answer: {connection.buffer[:200]!r}"


@pytest.mark.parametrize("key", ["ctl/a\r\nx-evil: 1", "ctl/\x1b[31mred", "ctl/\x7f", "ctl/\t", "ctl/\x01"], ids=ascii)
def test_HT_18_control_characters_in_keys_are_only_characters(arena, key):
    """Kept byte for byte, listed in a document that is XML, and never a header or a line of their own."""
    answer = arena.send(arena.signed(arena.put(key)))
    if (answer.status, answer.code) == ARGUMENT:
        assert arena.stored(key) is None
        return
    assert answer.status == 200 and answer.get("x-evil") is None, str(answer)
    assert arena.stored(key) == b"12345"
    for query in ("list-type=2&prefix=ctl/", "prefix=ctl/", "versions&prefix=ctl/"):
        listed = arena.send(arena.signed(Request("GET", f"/{arena.bucket}?{query}")))
        root = listed.xml()
        assert root is not None and listed.get("x-evil") is None, f"{query}: {listed}"
        decode = unquote_plus if root.findtext("EncodingType") == "url" else str
        assert key in [decode(k.text) for k in root.iter("Key")], listed.body
    missing = arena.send(arena.signed(arena.get(key + "?")))
    assert (missing.status, missing.code) == (404, "NoSuchKey") and missing.get("x-evil") is None
    assert arena.send(arena.signed(Request("DELETE", f"/{arena.bucket}/{encode_key(key)}"))).status == 204


def test_HT_13_absolute_form_of_our_own_host(arena):
    request = arena.get()
    arena.sign(request)
    request.target = f"http://{arena.host}{request.target}"
    answer = arena.send(request)
    assert answer.status in (200, 400), str(answer)


# XM -----------------------------------------------------------------------------------------------------------------

XM = Table()
DOCUMENTS = {
    "delete": ("POST", "delete", "<Delete><Object><Key>{0}</Key></Object></Delete>"),
    "complete": ("POST", "uploadId={upload}", "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{0}</ETag></Part></CompleteMultipartUpload>"),
    "tagging": ("PUT", "tagging", "<Tagging><TagSet><Tag><Key>a</Key><Value>{0}</Value></Tag></TagSet></Tagging>"),
    "create": ("PUT", "", "<CreateBucketConfiguration><LocationConstraint>{0}</LocationConstraint></CreateBucketConfiguration>"),
}
BOMB = '<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'


def document(a: Arena, what: str, body: bytes, key: str = "doc") -> Request:
    method, query, _ = DOCUMENTS[what]
    if what == "complete":
        query = query.format(upload=a.begin_upload(key))
    target = {"create": f"/{a.bucket}-new", "delete": f"/{a.bucket}?delete"}.get(what, f"/{a.bucket}/{key}?{query}")
    if what == "tagging":
        a.s3.put_object(Bucket=a.bucket, Key=key, Body=b"1")
    return a.signed(Request(method, target, [("Content-MD5", md5_base64(body))], body))


@XM.row("XM-01", {XML}, *DOCUMENTS)
def entity_bomb(a, key, what):
    return document(a, what, (BOMB + DOCUMENTS[what][2].format("&c;")).encode())


@XM.row("XM-02", {XML}, *[(w, u) for w in DOCUMENTS for u in ("file:///etc/passwd", "http://169.254.169.254/")])
def external_entity(a, key, how):
    what, url = how
    return document(a, what, (f'<!DOCTYPE d [<!ENTITY x SYSTEM "{url}">]>' + DOCUMENTS[what][2].format("&x;")).encode())


@XM.row("XM-03", {XML, (400, "MissingRequestBodyError")}, *[(w, b) for w in DOCUMENTS for b in (b"<Wrong/>", b"not xml", b"", b"{}", b"<Delete>", b"\xff\xfe<\x00", b"<a><b></a></b>") if not (w == "create" and b == b"")])
def no_document(a, key, how):
    return document(a, *how)


# A connection that is closed with unread bytes may lose the answer on its way; that the body is not taken in is what counts.
@XM.row("XM-04", {(400, "MaxMessageLengthExceeded"), XML, (400, "EntityTooLarge"), NO_ANSWER}, *DOCUMENTS)
def too_large(a, key, what):
    return document(a, what, DOCUMENTS[what][2].format("x" * 10 * MIB).encode())


@XM.row("XM-05", {XML}, 0, 1001)
def delete_counts(a, key, count):
    keys = "".join(f"<Object><Key>{a.mark if n == 0 else n}</Key></Object>" for n in range(count))
    return document(a, "delete", f"<Delete>{keys}</Delete>".encode())


@XM.row("XM-06", {(400, "InvalidRequest")})
def delete_without_integrity(a, key):
    body = DOCUMENTS["delete"][2].format(a.mark).encode()
    return a.signed(Request("POST", f"/{a.bucket}?delete", body=body))


@XM.row("XM-07", {(400, "BadDigest")}, "md5", "crc32")
def delete_with_a_wrong_digest(a, key, how):
    body = DOCUMENTS["delete"][2].format(a.mark).encode()
    header = ("Content-MD5", md5_base64(b"other")) if how == "md5" else ("x-amz-checksum-crc32", CHECKSUMS["crc32"](b"other"))
    return a.signed(Request("POST", f"/{a.bucket}?delete", [header], body))


@XM.row("XM-10", {ARGUMENT}, "0", "10001", "-1", "abc", "1e2", "", "99999999999999999999")
def part_numbers(a, key, number):
    return a.signed(a.put("doc", b"1", f"partNumber={number}&uploadId={a.begin_upload('doc')}"))


@XM.row("XM-09", {(400, "InvalidPart"), XML}, '<Part><PartNumber>7</PartNumber><ETag>"00000000000000000000000000000000"</ETag></Part>', "<Part><PartNumber>x</PartNumber><ETag>a</ETag></Part>", "")
def complete_with_unknown_parts(a, key, parts):
    return document(a, "complete", f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode())


@XM.row("XM-08", {(400, "InvalidPartOrder")}, (2, 1), (1, 1))
def complete_out_of_order(a, key, numbers):
    upload = a.begin_upload("order")
    etags = {n: a.s3.upload_part(Bucket=a.bucket, Key="order", UploadId=upload, PartNumber=n, Body=b"x")["ETag"] for n in set(numbers)}
    parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etags[n]}</ETag></Part>" for n in numbers)
    return a.signed(Request("POST", f"/{a.bucket}/order?uploadId={upload}", body=f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()))


@XM.row("XM-11", {(400, "EntityTooSmall")})
def small_part_that_is_not_the_last(a, key):
    upload = a.begin_upload(key)
    etags = [a.s3.upload_part(Bucket=a.bucket, Key=key, UploadId=upload, PartNumber=n, Body=b"x")["ETag"] for n in (1, 2)]
    parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in enumerate(etags, 1))
    return a.signed(Request("POST", f"/{a.bucket}/{key}?uploadId={upload}", body=f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()))


TAG = "<Tag><Key>a</Key><Value>b</Value>{}</Tag>"


@XM.row(
    "XM-13", {XML, (400, "InvalidTag"), (400, "BadRequest")},
    ("tagging", f"<Tagging><TagSet>{TAG.format('<Retain>1</Retain>')}</TagSet></Tagging>"), ("tagging", f"<Tagging><TagSet>{TAG.format('') * 2}</TagSet></Tagging>"),
    ("tagging", f"<Tagging><TagSet>{TAG.format('')}</TagSet><TagSet/></Tagging>"), ("tagging", "<Tagging/>"), ("tagging", "<Tagging>" + "<a>" * 10_000 + "</a>" * 10_000 + "</Tagging>"),
    ("versioning", "<VersioningConfiguration><Status>Enabled</Status><Days>-1</Days></VersioningConfiguration>"), ("versioning", "<VersioningConfiguration><Status>On</Status></VersioningConfiguration>"),
    ("versioning", "<VersioningConfiguration><Status>Enabled</Status><Status>Suspended</Status></VersioningConfiguration>"),
)
def documents_that_do_not_fit(a, key, how):
    query, body = how
    return a.signed(Request("PUT", f"/{a.bucket}?{query}", [("Content-MD5", md5_base64(body.encode()))], body.encode()))


@pytest.mark.parametrize("row", XM, ids=XM.ids())
def test_documents(arena, row):
    answer = arena.check(row)
    assert b"root:" not in answer.body and b"lollol" not in answer.body
    assert arena.stored(arena.mark) == b"12345", "the watched object is gone"


# HB -----------------------------------------------------------------------------------------------------------------

SUBRESOURCES = [
    "policy", "acl", "replication", "versioning", "versions", "logging", "object-lock", "notification", "cors", "lifecycle", "website", "encryption", "tagging",
    "accelerate", "requestPayment", "publicAccessBlock", "ownershipControls", "inventory", "analytics", "metrics", "policyStatus", "intelligent-tiering",
]


READ_HERE = {"versioning": "VersioningConfiguration", "versions": "ListVersionsResult"}


@pytest.mark.parametrize("method, query", [(m, q) for m in ("GET", "PUT") for q in SUBRESOURCES if (m, q) not in {("GET", read) for read in READ_HERE}])
def test_HB_08_subresources_are_not_forwarded(arena, method, query):
    request = Request(method, f"/{arena.bucket}?{query}", body=b"<x/>" if method == "PUT" else b"")
    answer = arena.send(arena.signed(request))
    refused = {(501, "NotImplemented"), (405, "MethodNotAllowed"), (400, "MalformedXML")}
    own = {(404, "NoSuchTagSet")} if query == "tagging" else set()  # the gateway keeps a bucket's tags itself
    assert (answer.status, answer.code) in refused | own, str(answer)


@pytest.mark.parametrize("query", READ_HERE)
def test_HB_08_the_gateway_tells_of_versions_itself(arena, query):
    answer = arena.send(arena.signed(Request("GET", f"/{arena.bucket}?{query}")))
    assert answer.status == 200 and f"<{READ_HERE[query]} ".encode() in answer.body and b"<Status>" not in answer.body, str(answer)


@pytest.mark.parametrize("query", ["acl", "torrent", "legal-hold", "retention", "restore", "select&select-type=2", "attributes"])
def test_HB_08_subresources_of_objects(arena, query):
    method = "POST" if query in ("restore",) or query.startswith("select") else "PUT"
    request = Request(method, f"/{arena.bucket}/{arena.mark}?{query}", body=b"<x/>")
    answer = arena.send(arena.signed(request))
    assert answer.status in (400, 405, 501) and answer.code, str(answer)
    assert arena.stored(arena.mark) == b"12345"


@pytest.mark.parametrize(
    "header",
    [
        ("x-amz-server-side-encryption", "AES256"), ("x-amz-server-side-encryption", "aws:kms"), ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-acl", "public-read"), ("x-amz-acl", "public-read-write"), ("x-amz-grant-full-control", "id=abc"), ("x-amz-object-lock-mode", "COMPLIANCE"),
        ("x-amz-object-lock-legal-hold", "ON"), ("x-amz-website-redirect-location", "http://evil.test/"), ("x-amz-storage-class", "GLACIER"),
    ],
    ids=lambda h: f"{h[0]}={h[1]}",
)
def test_HB_03_HB_06_HB_07_a_protection_that_is_not_given_is_refused(arena, header):
    """Stored without it, the client would believe in a protection that does not exist."""
    key = arena.key()
    answer = arena.send(arena.signed_put(key, headers=[header]))
    assert answer.status in (400, 403, 501) and answer.code, str(answer)
    assert arena.stored(key) is None


@pytest.mark.parametrize("header", [("x-amz-acl", "private"), ("x-amz-storage-class", "STANDARD")], ids=str)
def test_HB_what_is_the_default_anyway_is_accepted(arena, header):
    assert arena.send(arena.signed_put(arena.key(), headers=[header])).status == 200


@pytest.mark.parametrize("name", ["x-minio-source-mtime", "x-minio-replication-ssec", "x-rgw-copy-if-newer", "x-seaweedfs-x", "x-forwarded-for", "forwarded", "via", "x-real-ip", "x-goog-acl"])
def test_HB_04_vendor_headers_have_no_effect(arena, name):
    key = arena.key()
    request = arena.put(key).add(name, "1")
    assert arena.send(arena.signed(request, also_sign=(name,))).status in (200, 400)
    if arena.stored(key) is not None:
        head = arena.home.head_object(Bucket=arena.physical, Key=key)
        assert head["Metadata"] == {}
