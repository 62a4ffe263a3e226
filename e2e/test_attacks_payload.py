"""Attack group PL: bodies that are not what was signed or announced, for PutObject and for UploadPart alike; and the modes that stock clients send."""

from __future__ import annotations

import base64
import socket
import time

import pytest

from attacks import INVALID, MISMATCH, NO_ANSWER, Arena, Row, Table
from clients import MIB, payload
from raw import Answer, Connection, address_of
from sigv4 import CHECKSUMS, STREAMING, STREAMING_TRAILER, STREAMING_UNSIGNED_TRAILER, UNSIGNED, Request, md5_base64, sha256_hex, signed_chunks, unsigned_chunks

INCOMPLETE = (400, "IncompleteBody")
TRAILER = (400, "MalformedTrailerError")
DATA = [payload(8192, "chunk-1"), payload(8192, "chunk-2"), payload(777, "chunk-3")]
WHOLE = b"".join(DATA)


class Write:
    """The write that a row bends: a PUT of an object, or of a part."""

    def __init__(self, arena: Arena, key: str, query: str):
        self.arena, self.key, self.query = arena, key, query

    def request(self, body: bytes = b"12345", *headers) -> Request:
        request = self.arena.put(self.key, body, self.query)
        request.headers += headers
        return request

    def plain(self, body: bytes = b"12345", *headers, payload: str | None = None, **options) -> Request:
        return self.arena.signed(self.request(body, *headers), None, payload, **options)

    def stream(self, bend=None, chunks=None, trailers=None, mode=None, decoded: str | None = "auto", announce: str | None = "auto", signer=None) -> Request:
        """An aws-chunked upload; `bend(pieces, seed)` may damage the pieces before they are joined."""
        chunks = DATA if chunks is None else chunks
        mode = mode or (STREAMING_TRAILER if trailers else STREAMING)
        request = self.request(b"", ("Content-Encoding", "aws-chunked"))
        if decoded is not None:
            request.add("x-amz-decoded-content-length", str(len(b"".join(chunks))) if decoded == "auto" else decoded)
        if announce == "auto":
            announce = ",".join(n for n, _ in trailers) if trailers else None
        if announce is not None:
            request.add("x-amz-trailer", announce)
        seed = self.arena.sign(request, signer, mode)
        pieces = unsigned_chunks(chunks, trailers) if mode == STREAMING_UNSIGNED_TRAILER else signed_chunks(seed, chunks, trailers)
        request.body = b"".join(bend(pieces, seed) if bend else pieces)
        return request


PL = Table()
CRC32 = [("x-amz-checksum-crc32", CHECKSUMS["crc32"](WHOLE))]


def one_digit(piece: bytes) -> bytes:
    at = piece.index(b"signature=") + 15
    return piece[:at] + (b"0" if piece[at : at + 1] != b"0" else b"1") + piece[at + 1 :]


@PL.row("PL-00-plain", {200}, "hash", UNSIGNED, "md5", *CHECKSUMS, control=True)
def valid_plain(w: Write, how):
    if how in ("hash", UNSIGNED):
        return w.plain(WHOLE, payload=None if how == "hash" else UNSIGNED)
    header = ("Content-MD5", md5_base64(WHOLE)) if how == "md5" else (f"x-amz-checksum-{how}", CHECKSUMS[how](WHOLE))
    return w.plain(WHOLE, header)


@PL.row("PL-27", {200}, control=True)
def unsigned_over_plain_http(w):
    return w.plain(WHOLE, payload=UNSIGNED)


@PL.row("PL-00-stream", {200}, STREAMING, *[(m, c) for m in (STREAMING_TRAILER, STREAMING_UNSIGNED_TRAILER) for c in CHECKSUMS], control=True)
def valid_stream(w, how):
    if how == STREAMING:
        return w.stream()
    mode, name = how
    return w.stream(mode=mode, trailers=[(f"x-amz-checksum-{name}", CHECKSUMS[name](WHOLE))])


@PL.row("PL-00-one-byte", {200}, control=True)
def one_byte_stream(w):
    return w.stream(chunks=[b"x"])


@PL.row("PL-01", {(400, "XAmzContentSHA256Mismatch")})
def hash_of_other_bytes(w):
    return w.plain(WHOLE, payload=sha256_hex(b"other"))


@PL.row("PL-01-empty", {(400, "XAmzContentSHA256Mismatch")})
def hash_of_an_empty_body(w):
    return w.plain(b"x", payload=sha256_hex(b""))


@PL.row("PL-02", {INVALID})
def hash_missing(w):
    return w.plain(send_hash=False)


@PL.row("PL-03", {(400, "InvalidArgument")}, "abc", "0" * 63, "0" * 65, "g" * 64, "STREAMING-FOO", "unsigned-payload", "STREAMING-AWS4-HMAC-SHA512-PAYLOAD", "")
def hash_nonsense(w, value):
    return w.plain(payload=value)


@PL.row("PL-04", {MISMATCH}, STREAMING_UNSIGNED_TRAILER, STREAMING, STREAMING_TRAILER)
def false_seed(w, mode):
    trailers = None if mode == STREAMING else CRC32
    return w.stream(mode=mode, trailers=trailers, signer=w.arena.signer.but(secret_key="wrong"))


@PL.row("PL-05", {MISMATCH}, 0, 1, 2, 3)
def bad_chunk_signature(w, index):
    return w.stream(lambda pieces, _: [one_digit(p) if i == index else p for i, p in enumerate(pieces)])


@PL.row("PL-05-data", {MISMATCH}, 0, 1, 2)
def bad_chunk_data(w, index):
    def bend(pieces, _):
        piece = bytearray(pieces[index])
        piece[-5] ^= 1
        return [*pieces[:index], bytes(piece), *pieces[index + 1 :]]

    return w.stream(bend)


@PL.row("PL-06", {MISMATCH, INCOMPLETE}, "swapped", "twice", "dropped")
def chunk_order(w, how):
    return w.stream(lambda p, _: {"swapped": [p[1], p[0], *p[2:]], "twice": [p[0], *p], "dropped": [p[0], *p[2:]]}[how])


@PL.row("PL-07", {INCOMPLETE, (400, "RequestTimeout"), NO_ANSWER}, STREAMING, STREAMING_UNSIGNED_TRAILER, end=True)
def no_zero_chunk(w, mode):
    return w.stream(lambda p, _: p[:3], mode=mode, trailers=None if mode == STREAMING else CRC32)


@PL.row("PL-07-announced", {INCOMPLETE, TRAILER}, STREAMING, STREAMING_UNSIGNED_TRAILER)
def no_zero_chunk_but_all_bytes(w, mode):
    return w.stream(lambda p, _: p[:3], mode=mode, trailers=None if mode == STREAMING else CRC32)


@PL.row("PL-08", {INCOMPLETE, MISMATCH, NO_ANSWER}, end=True)
def chunk_shorter_than_its_line(w):
    return w.stream(lambda p, _: [p[0].replace(b"2000;", b"10000;", 1)[:200]])


@PL.row("PL-09", {INCOMPLETE, INVALID}, b"xyz", b"", b"-5", b"0x2000", b"+2000", b" 2000", b"2000 ", b"20_00", "٢".encode(), b"2000\x00")
def chunk_size_no_hex(w, size):
    return w.stream(lambda p, _: [size + p[0][4:], *p[1:]])


@PL.row("PL-09-unsigned", {INCOMPLETE, INVALID}, b"xyz", b"", b"-5", b"0x2000", b"+2000", b" 2000")
def unsigned_chunk_size_no_hex(w, size):
    return w.stream(lambda p, _: [size + p[0][4:], *p[1:]], mode=STREAMING_UNSIGNED_TRAILER, trailers=CRC32)


@PL.row("PL-10", {INCOMPLETE, INVALID, (400, "EntityTooLarge")}, b"ffffffffffffffff", b"10000000000000000", b"7fffffffffffffff", b"1" * 2048, b"0" * 2048 + b"2000")
def chunk_size_overflow(w, size):
    return w.stream(lambda p, _: [size + p[0][4:], *p[1:]])


@PL.row("PL-11", {INCOMPLETE, MISMATCH, INVALID}, "long", "twice", "missing", "empty", "other")
def chunk_extension(w, how):
    def bend(pieces, seed):
        size, signature = pieces[0].split(b"\r\n", 1)[0].split(b";")
        line = {"long": size + b";x=" + b"a" * MIB + b";" + signature, "twice": size + b";" + signature + b";" + signature[:-1] + b"0", "missing": size, "empty": size + b";", "other": size + b";chunk-sig=0"}[how]
        return [line + b"\r\n" + pieces[0].split(b"\r\n", 1)[1], *pieces[1:]]

    return w.stream(bend)


@PL.row("PL-12", {(400, "InvalidChunkSizeError")})
def tiny_middle_chunk(w):
    return w.stream(chunks=[b"tiny", DATA[0], b"end"])


@PL.row("PL-13", {INCOMPLETE, MISMATCH}, (STREAMING, 1), (STREAMING, -1), (STREAMING_UNSIGNED_TRAILER, 1), (STREAMING_UNSIGNED_TRAILER, -1), (STREAMING_TRAILER, 1))
def decoded_length_wrong(w, how):
    mode, by = how
    return w.stream(mode=mode, decoded=str(len(WHOLE) + by), trailers=None if mode == STREAMING else CRC32)


@PL.row("PL-14", {(411, "MissingContentLength")})
def decoded_length_missing(w):
    return w.stream(decoded=None)


@PL.row("PL-14-form", {(400, "InvalidArgument"), (411, "MissingContentLength")}, "abc", "-1", "", "1e3", "99999999999999999999999", "+5")
def decoded_length_no_number(w, value):
    return w.stream(decoded=value)


@PL.row("PL-15", {TRAILER}, STREAMING_UNSIGNED_TRAILER, STREAMING_TRAILER)
def announced_trailer_absent(w, mode):
    def bend(pieces, seed):
        return [*pieces[:-1], b"\r\n"]

    return w.stream(bend, mode=mode, announce="x-amz-checksum-crc32c", trailers=None if mode != STREAMING_TRAILER else CRC32)


@PL.row("PL-16", {TRAILER}, "unannounced", "another")
def trailer_not_announced(w, how):
    announce = None if how == "unannounced" else "x-amz-checksum-sha256"
    return w.stream(mode=STREAMING_UNSIGNED_TRAILER, trailers=CRC32, announce=announce)


@PL.row("PL-17", {(400, "BadDigest")}, *[(m, c) for m in (STREAMING_TRAILER, STREAMING_UNSIGNED_TRAILER) for c in CHECKSUMS])
def trailer_checksum_wrong(w, how):
    mode, name = how
    return w.stream(mode=mode, trailers=[(f"x-amz-checksum-{name}", CHECKSUMS[name](b"other"))])


@PL.row("PL-18", {INVALID, TRAILER}, "not base64!", "AAAA", "", "AAAAAAA=", "AAAAAAAAAAA=")
def trailer_checksum_malformed(w, value):
    return w.stream(mode=STREAMING_UNSIGNED_TRAILER, trailers=[("x-amz-checksum-crc32", value)])


@PL.row("PL-19", {MISMATCH})
def trailer_signature_wrong(w):
    def bend(pieces, _):
        last = pieces[-1]
        at = last.index(b"trailer-signature:") + 20
        return [*pieces[:-1], last[:at] + (b"0" if last[at : at + 1] != b"0" else b"1") + last[at + 1 :]]

    return w.stream(bend, trailers=CRC32)


@PL.row("PL-19-missing", {TRAILER, MISMATCH})
def trailer_signature_missing(w):
    return w.stream(lambda p, _: [*p[:-1], b"x-amz-checksum-crc32:" + CRC32[0][1].encode() + b"\r\n\r\n"], trailers=CRC32)


@PL.row("PL-20", {(400, "BadDigest")})
def md5_wrong(w):
    return w.plain(b"12345", ("Content-MD5", md5_base64(b"other")))


@PL.row("PL-20-form", {(400, "InvalidDigest")}, "abcdefghij", "", "not base64 at all!", base64.b64encode(b"short").decode())
def md5_malformed(w, value):
    return w.plain(b"12345", ("Content-MD5", value))


@PL.row("PL-21", {(400, "BadDigest")}, *CHECKSUMS)
def header_checksum_wrong(w, name):
    return w.plain(WHOLE, (f"x-amz-checksum-{name}", CHECKSUMS[name](b"other")))


@PL.row("PL-21-unsigned", {(400, "BadDigest")}, *CHECKSUMS)
def header_checksum_wrong_unsigned_payload(w, name):
    return w.plain(WHOLE, (f"x-amz-checksum-{name}", CHECKSUMS[name](b"other")), payload=UNSIGNED)


@PL.row("PL-21-form", {INVALID, (400, "InvalidArgument")}, "AAAA", "", "not base64!")
def header_checksum_malformed(w, value):
    return w.plain(WHOLE, ("x-amz-checksum-crc32", value))


@PL.row("PL-22", {INVALID})
def two_checksums(w):
    return w.plain(WHOLE, ("x-amz-checksum-crc32", CHECKSUMS["crc32"](WHOLE)), ("x-amz-checksum-sha256", CHECKSUMS["sha256"](WHOLE)))


@PL.row("PL-23", {(411, "MissingContentLength"), (501, "NotImplemented")})
def chunked_without_length(w):
    request = w.request(b"5\r\n12345\r\n0\r\n\r\n", ("Transfer-Encoding", "chunked"))
    request.length = None
    return w.arena.signed(request, None, UNSIGNED)


@PL.row("PL-23-streaming", {200}, control=True)
def chunked_with_decoded_length(w):
    """What boto3 does over https: aws-chunked inside Transfer-Encoding chunked, with the decoded length."""
    request = w.stream(mode=STREAMING_UNSIGNED_TRAILER, trailers=CRC32)
    body = request.body
    request.length = None
    request.add("Transfer-Encoding", "chunked")
    request.body = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (100, body[:100], len(body) - 100, body[100:])
    return request


@PL.row("PL-24", {400, NO_ANSWER}, "", "-5", "5, 5", "5, 6", "+5", "0x5", "5 5", "18446744073709551616", "\xb2")
def content_length_form(w, value):
    request = w.request(b"12345")
    request.length = value
    return w.arena.signed(request, None, UNSIGNED)


@PL.row("PL-26", {(400, "EntityTooLarge")}, str(5 * 1024 * MIB + 1), "9223372036854775807")
def over_five_gibibytes(w, value):
    request = w.request(b"")
    request.length = value
    return w.arena.signed(request, None, UNSIGNED)


def attempt(arena: Arena, row: Row, key: str, query: str = "") -> Answer:
    answer = arena.send(row.build(Write(arena, key, query)), end=row.end)
    arena.judge(row, answer, "PUT")
    return answer


@pytest.mark.parametrize("row", PL, ids=PL.ids())
def test_put_object(arena, row):
    key = arena.key()
    answer = attempt(arena, row, key)
    stored = arena.stored(key)
    if row.control:
        sent = {"PL-00-plain": WHOLE, "PL-00-one-byte": b"x"}.get(row.id, WHOLE)
        assert stored == sent, "the home holds other bytes than were meant"
        head = arena.s3.head_object(Bucket=arena.bucket, Key=key)
        assert "aws-chunked" not in head.get("ContentEncoding", "")
    else:
        assert stored is None, f"refused with {answer}, but stored"


@pytest.fixture(scope="module")
def upload(arena):
    key = arena.key()
    return key, arena.begin_upload(key)


@pytest.mark.parametrize("row", PL, ids=PL.ids())
def test_upload_part(arena, upload, row):
    key, upload_id = upload
    number = next(arena.numbers) % 10_000 + 1
    answer = attempt(arena, row, key, f"partNumber={number}&uploadId={upload_id}")
    parts = arena.s3.list_parts(Bucket=arena.bucket, Key=key, UploadId=upload_id, PartNumberMarker=number - 1, MaxParts=1).get("Parts", [])
    there = any(p["PartNumber"] == number for p in parts)
    assert there == row.control, f"{answer}: the part is {'there' if there else 'missing'}"


@pytest.mark.shape("production")
@pytest.mark.parametrize("mode", [UNSIGNED, STREAMING])
def test_PL_07_a_body_that_stalls_is_given_up(arena, mode):
    """The connection stays open and nothing more comes: after the idle limit (8 s here) an answer and an end."""
    key = arena.key()
    write = Write(arena, key, "")
    request = write.stream() if mode == STREAMING else write.plain(WHOLE, payload=UNSIGNED)
    with Connection(arena.endpoint, timeout=30) as connection:
        connection.send(request.head_bytes() + request.body[:9000])
        began = time.monotonic()
        answer = connection.answer("PUT", linger=5)
    assert 5 < time.monotonic() - began < 18
    assert (answer.status, answer.code) in ((400, "RequestTimeout"), NO_ANSWER), str(answer)
    assert answer.closed
    assert arena.stored(key) is None


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_PL_25_a_client_that_goes_away_leaves_nothing(arena, how):
    key = arena.key()
    request = arena.put(key)
    request.length = str(10 * MIB)
    arena.sign(request, None, UNSIGNED)
    connection = socket.create_connection(address_of(arena.endpoint))
    connection.sendall(request.head_bytes() + payload(4 * MIB, "gone"))
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    for _ in range(15):  # it must stay absent; there is nothing to wait for
        assert arena.stored(key) is None
        time.sleep(0.1)
    uploads = arena.home.list_multipart_uploads(Bucket=arena.physical).get("Uploads", [])
    assert key not in [u["Key"] for u in uploads]


@pytest.mark.parametrize("how", ["authorised", "refused"])
def test_HT_22_expect_continue(arena, how):
    """100 only after the head has passed; a head that fails gets its error at once, without the body."""
    key = arena.key()
    request = arena.put(key, b"12345").add("Expect", "100-continue")
    arena.sign(request, arena.signer if how == "authorised" else arena.signer.but(secret_key="wrong"))
    with Connection(arena.endpoint, timeout=10) as connection:
        connection.send(request.head_bytes())
        if how == "refused":
            answer = connection.answer("PUT", linger=2)
            assert (answer.status, answer.code) == MISMATCH and not answer.interim
            assert answer.closed, "the body that was never sent would be read as the next request"
            return
        while b"\r\n\r\n" not in connection.buffer:
            assert connection._more()
        assert connection.buffer.startswith(b"HTTP/1.1 100")
        connection.send(request.body)
        assert connection.answer("PUT").status == 200
    assert arena.stored(key) == b"12345"


def test_a_refused_body_closes_the_connection_or_is_read_to_its_end(arena):
    """After a refusal in the middle of a body, its rest must never be taken for a request."""
    inner = arena.get()
    arena.sign(inner)
    key = arena.key()
    write = Write(arena, key, "")
    smuggled = inner.to_bytes()
    request = write.plain(smuggled + b"x" * 200_000, payload=sha256_hex(b"other"))
    with Connection(arena.endpoint) as connection:
        connection.send(request.to_bytes())
        first = connection.answer("PUT")
        assert (first.status, first.code) == (400, "XAmzContentSHA256Mismatch"), str(first)
        second = connection.answer("GET") if connection.is_closed(0.5) is False and connection.buffer else None
    assert second is None, f"the body was answered as a request: {second}"


