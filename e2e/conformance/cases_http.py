"""HTTP: common headers, keep-alive, Expect, framing and limits.

Source: Amazon S3 API Reference, "Common Response Headers", "Common Request Headers", PutObject; User Guide, "Working with object metadata"
(a PUT's header section is limited to 8 KB), "Amazon S3 data consistency model"; RFC 9110 and 9112.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

from clients import MIB, payload
from conformance.case import Differs, case, each, equal, one_of
from conformance.s3 import Bucket
from sigv4 import STREAMING_UNSIGNED_TRAILER, UNSIGNED, authorise, crc32_base64, md5_base64, unsigned_chunks

SOME = {
    "a read": lambda b: b.get("k").is_(200),
    "a write": lambda b: b.put("k", b"x").is_(200),
    "a listing": lambda b: b.get(query="list-type=2").is_(200),
    "a delete": lambda b: b.delete("k").is_(204),
    "an error": lambda b: b.get("missing").is_(404),
}


@case
def Every_answer_has_x_amz_request_id_and_x_amz_id_2(b: Bucket):
    for what, call in SOME.items():
        reply = call(b.given("k"))
        assert reply.get("x-amz-request-id") and reply.get("x-amz-id-2"), what


@case
def Every_answer_has_a_Date(b: Bucket):
    for call in SOME.values():
        parsedate_to_datetime(call(b.given("k")).get("date") or "")


@case
def Every_answer_has_a_Server(b: Bucket):
    for what, call in SOME.items():
        assert call(b.given("k")).get("server"), what


@case
def Each_answer_has_a_request_id_of_its_own(b: Bucket):
    ids = {b.get("missing").get("x-amz-request-id") for _ in range(5)}
    equal(len(ids), 5)


@each({"a listing": "list-type=2", "a location": "location"})
def Documents_are_application_xml(b: Bucket, query: str):
    reply = b.get(query=query).is_(200)
    equal((reply.get("content-type") or "").partition(";")[0], "application/xml")


def on_one_connection(b: Bucket, *requests):
    """The replies to requests that follow one another on a connection."""
    replies = []
    with b.connect() as connection:
        for request in requests:
            connection.send(b.signed(request).to_bytes())
            replies.append(b.answer(connection, request.method))
            assert replies[-1].complete and replies[-1].status, f"the connection ended after {len(replies)} answers"
    return replies


@case
def A_connection_serves_many_requests(b: Bucket):
    replies = on_one_connection(b, b.request("PUT", "k", body=b"data"), b.request("GET", "k"), b.request("HEAD", "k"), b.request("DELETE", "k"), b.request("GET", query="list-type=2"))
    equal([r.status for r in replies], [200, 200, 200, 204, 200])


@each({
    "a missing key": lambda b: b.request("GET", "missing"),
    "HEAD of a missing key": lambda b: b.request("HEAD", "missing"),
    "a missing bucket": lambda b: b.named(f"{b.name}-none").request("GET", "k"),
    "a false condition": lambda b: b.request("GET", "k", if_match='"other"'),
    "a malformed document": lambda b: b.request("POST", query="delete", body=b"<Delete", content_md5=md5_base64(b"<Delete")),
})
def A_connection_lives_on_after(b: Bucket, make):
    first, second = on_one_connection(b.given("k", body=b"data"), make(b), b.request("GET", "k"))
    assert first.status >= 400, first.status
    equal((second.status, second.body), (200, b"data"))


@case
def A_write_that_waits_for_100_is_told_to_go_on(b: Bucket):
    request = b.signed(b.request("PUT", "k", body=b"data", expect="100-continue"))
    with b.connect() as connection:
        connection.send(request.head_bytes())
        head = _interim(connection)
        equal(head.split()[1:2], [b"100"])
        connection.send(request.body)
        b.answer(connection, "PUT").is_(200)
    equal(b.get("k").body, b"data")


def _interim(connection) -> bytes:
    while b"\r\n\r\n" not in connection.buffer:
        if not connection._more():
            return b""
    head, _, connection.buffer = connection.buffer.partition(b"\r\n\r\n")
    return head


@each({
    "another signature": (lambda b: b, {"secret_key": "not the secret"}, 403),
    "a missing bucket": (lambda b: b.named(f"{b.name}-none"), {}, 404),
})
def A_write_that_waits_for_100_is_refused_before_its_body_for(b: Bucket, row):
    """"If the message is rejected based on the headers, the body of the message is not sent."."""
    where, changes, status = row
    request = where(b).request("PUT", "k", body=b"data", expect="100-continue")
    authorise(request, b.signer().but(**changes), b.host())
    with b.connect() as connection:
        connection.send(request.head_bytes())
        reply = b.answer(connection, "PUT").is_(status)
    if reply.interim:
        raise Differs(f"S3 asks for no body that it refuses, got {reply.interim}")


@case
def A_refused_write_does_not_cut_off_its_answer(b: Bucket):
    """A client that sends its body at once sees why it was refused."""
    request = b.named(f"{b.name}-none").request("PUT", "k", body=payload(2 * MIB))
    b.exchange(b.signed(request, UNSIGNED)).fails(404, "NoSuchBucket")


@case
def An_aws_chunked_body_needs_no_Content_Length(b: Bucket):
    """x-amz-decoded-content-length tells the size; the message itself may be chunked."""
    data = payload(100_000)
    trailer = [("x-amz-checksum-crc32", crc32_base64(data))]
    request = b.request("PUT", "k", content_encoding="aws-chunked", x_amz_decoded_content_length="100000", x_amz_trailer="x-amz-checksum-crc32", transfer_encoding="chunked")
    authorise(request, b.signer(), b.host(), STREAMING_UNSIGNED_TRAILER)
    request.length = None
    encoded = b"".join(unsigned_chunks([data], trailer))
    framed = b"".join(f"{len(p):x}\r\n".encode() + p + b"\r\n" for p in (encoded[:50_000], encoded[50_000:])) + b"0\r\n\r\n"
    b.exchange(request.head_bytes() + framed, "PUT").is_(200)
    assert b.get("k").body == data, "other bytes"


@case
def Header_names_come_in_any_case(b: Bucket):
    request = b.request("PUT", "k", body=b"x").add("cOnTeNt-TyPe", "text/x-conf").add("X-AMZ-META-A", "1")
    b.exchange(b.signed(request)).is_(200)
    b.head("k").is_(200).has("content-type", "text/x-conf").has("x-amz-meta-a", "1")


@case
def A_header_section_of_more_than_8_KB_is_refused(b: Bucket):
    """"Within the PUT request header, the user-defined metadata is limited to 2 KB"; the whole header to 8 KB."""
    b.put("k", b"x", x_amz_meta_long="v" * 9000).is_(400)
    b.get("k").fails(404, "NoSuchKey")


@case
def A_path_of_a_key_of_1024_encoded_bytes_is_read(b: Bucket):
    one_of(b.get("ä" * 512).status, 404)


@case
def GetObject_in_many_connections_at_once(b: Bucket):
    data = payload(300_000)
    b.put("k", data).is_(200)
    with ThreadPoolExecutor(6) as pool:
        assert all(r.status == 200 and r.body == data for r in pool.map(lambda _: b.get("k"), range(12)))


@case
def Of_writes_at_once_one_is_kept_whole(b: Bucket):
    """"If two PUT requests are simultaneously made to the same key, the request with the latest timestamp wins"; never a mixture."""
    bodies = [bytes([65 + n]) * 200_000 for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        equal({r.status for r in pool.map(lambda body: b.put("k", body), bodies)}, {200})
    assert b.get("k").body in bodies, "a mixture"


@case
def Answers_to_GET_tell_their_length(b: Bucket):
    b.put("k", b"data").is_(200)
    b.get("k").is_(200).has("content-length", "4").has("transfer-encoding", None)


@case
def PutObject_answers_without_a_body(b: Bucket):
    equal(b.put("k", b"data").is_(200).has("content-length", "0").body, b"")
    equal(b.get("k").body, b"data")


@case
def A_204_has_no_body(b: Bucket):
    equal(b.delete("k").is_(204).body, b"")
