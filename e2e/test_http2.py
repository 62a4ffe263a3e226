"""HTTP/2 to clients: by prior knowledge and over TLS, signed for its authority, streamed both ways, and what breaks its rules."""

from __future__ import annotations

import h2.settings
import httpx
import hyperframe.frame as frames
import pytest

from attacks import Arena
from clients import MIB, payload, sha256
from http2 import CANCEL, Http2, heads
from processes import run, until
from raw import Connection, exchange, host_of
from sigv4 import STREAMING_TRAILER, STREAMING_UNSIGNED_TRAILER, UNSIGNED, Request, authorise, crc32_base64, signed_chunks, unsigned_chunks
from test_tls import secure  # noqa: F401 (a fixture)

PROTOCOL_ERROR = 1


class Past(Arena):
    """The arena, past the tap, which reads HTTP/1.1."""

    def __init__(self, gateway):
        super().__init__(gateway)
        self.endpoint = gateway.proxy_endpoints()[0]
        self.host = host_of(self.endpoint)


@pytest.fixture(scope="module")
def past(shape) -> Past:
    if shape.name == "direct":
        pytest.skip("needs the gateway")
    return Past(shape)


# Clients ------------------------------------------------------------------------------------------------------------


def curl(request: Request, endpoint: str, *argv: object) -> bytes:
    """curl with the headers of a signed request, which it sends over whatever HTTP the arguments ask for."""
    lines = [arg for n, v in request.headers if n.lower() != "host" for arg in ("-H", f"{n}: {v}")]
    return run(["curl", "-sS", "--path-as-is", "-X", request.method, *lines, *argv, endpoint + request.target]).stdout


def test_curl_by_prior_knowledge(past, tmp_path):
    body, key = payload(3 * MIB, "curl"), past.key()
    (tmp_path / "body").write_bytes(body)
    put = past.signed(past.put(key, body))
    assert curl(put, past.endpoint, "--http2-prior-knowledge", "-T", tmp_path / "body", "-o", "/dev/null", "-w", "%{http_version} %{http_code}") == b"2 200"
    got = curl(past.signed(past.get(key)), past.endpoint, "--http2-prior-knowledge", "-w", "|%{http_version} %{http_code}")
    assert got == body + b"|2 200"
    assert past.stored(key) == body


def test_curl_over_tls(secure, tmp_path):
    """curl offers HTTP/2 and is given it; who insists on HTTP/1.1 gets that."""
    target = secure.target()
    s3, bucket = target.s3(), target.make_bucket("h2")
    k = {"Bucket": bucket, "Key": "k"}
    (tmp_path / "body").write_bytes(payload(3 * MIB, "curl"))
    base = ["curl", "-sS", "-f", "--cacert", target.ca, "-o", tmp_path / "down", "-w", "%{http_version} %{http_code}"]
    assert run([*base, "-T", tmp_path / "body", s3.generate_presigned_url("put_object", Params=k)]).stdout == b"2 200"
    for wanted, version in (("--http2", b"2 200"), ("--http1.1", b"1.1 200")):
        assert run([*base, wanted, s3.generate_presigned_url("get_object", Params=k)]).stdout == version
        assert (tmp_path / "down").read_bytes() == payload(3 * MIB, "curl")
    s3.delete_object(**k)
    s3.delete_bucket(Bucket=bucket)


def test_httpx(past):
    """A client library of its own; many requests in one connection."""
    with httpx.Client(http1=False, http2=True, timeout=30) as client:
        for n in range(20):
            body, key = payload(100_000 + n, "httpx"), past.key()
            put = past.signed(past.put(key, body))
            got = client.put(past.endpoint + put.target, content=body, headers=[(n, v) for n, v in put.headers if n != "Host"])
            assert (got.status_code, got.http_version) == (200, "HTTP/2"), got.text
            get = past.signed(past.get(key))
            got = client.get(past.endpoint + get.target, headers=[(n, v) for n, v in get.headers if n != "Host"])
            assert got.status_code == 200 and got.content == body


def test_large_bodies_both_ways(past):
    body, key = payload(100 * MIB, "large"), past.key()
    with Http2(past.endpoint) as connection:
        answer = connection.request(past.signed(past.put(key, body)))
        assert answer.status == 200 and answer.get("etag"), str(answer)
        answer = connection.request(past.signed(past.get(key)))
        assert answer.status == 200 and answer.complete and sha256(answer.body) == sha256(body)
        assert answer.get("content-length") == str(len(body))
    past.s3.delete_object(Bucket=past.bucket, Key=key)


def test_many_streams_at_once(past):
    """A hundred uploads in turns, piece by piece, then a hundred downloads."""
    bodies = {past.key(): payload(200_000 + n, "streams") for n in range(100)}
    with Http2(past.endpoint) as connection:
        connection.more()  # the server's limits
        streams = {key: connection.begin(heads(past.signed(past.put(key, body))), end=False) for key, body in bodies.items()}
        for at in range(0, 250_000, 50_000):
            for key, body in bodies.items():
                connection.send(streams[key], body[at : at + 50_000], end=at + 50_000 >= 250_000)
        for key, number in streams.items():
            assert connection.answer(number).status == 200, f"{key}: {connection.streams[number]}"
        streams = {key: connection.begin(heads(past.signed(past.get(key)))) for key in bodies}
        for key, number in streams.items():
            answer = connection.answer(number)
            assert answer.status == 200 and answer.body == bodies[key], key


@pytest.mark.parametrize("length", [True, False], ids=["with length", "without length"])
@pytest.mark.parametrize("mode", [STREAMING_TRAILER, STREAMING_UNSIGNED_TRAILER])
def test_chunked_uploads_with_a_trailer(past, mode, length):
    body, key = payload(300_000, "chunks"), past.key()
    request = past.put(key)
    request.headers += [("x-amz-decoded-content-length", str(len(body))), ("x-amz-trailer", "x-amz-checksum-crc32"), ("Content-Encoding", "aws-chunked")]
    seed = past.sign(request, None, mode)
    chunks, trailers = [body[at : at + 65_536] for at in range(0, len(body), 65_536)], [("x-amz-checksum-crc32", crc32_base64(body))]
    pieces = signed_chunks(seed, chunks, trailers) if mode == STREAMING_TRAILER else unsigned_chunks(chunks, trailers)
    request.body = b"".join(pieces)
    with Http2(past.endpoint) as connection:
        answer = connection.request(request, length=length)
        assert answer.status == 200, str(answer)
    assert past.stored(key) == body
    broken = bytearray(request.body)
    broken[1000] ^= 1
    request.body = bytes(broken)
    past.s3.delete_object(Bucket=past.bucket, Key=key)
    with Http2(past.endpoint) as connection:
        answer = connection.request(request, length=length)
        assert answer.status in (400, 403) and answer.code, str(answer)
    assert past.stored(key) is None


def test_an_upload_without_any_length(past):
    key = past.key()
    with Http2(past.endpoint) as connection:
        answer = connection.request(past.signed(past.put(key)), length=False)
    assert (answer.status, answer.code) == (411, "MissingContentLength")
    assert past.stored(key) is None


# Answers without a body ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what, status", [("HEAD", 200), ("HEAD missing", 404), ("HEAD unsigned", 403), ("none match", 304), ("match", 412), ("range", 206), ("bad range", 416)])
def test_answers(past, what, status):
    request = past.get() if "missing" not in what else past.get("missing")
    etag = past.s3.head_object(Bucket=past.bucket, Key=past.mark)["ETag"]
    if what.startswith("HEAD"):
        request.method = "HEAD"
    for name, value in {"none match": ("If-None-Match", etag), "match": ("If-Match", '"0"'), "range": ("Range", "bytes=1-2"), "bad range": ("Range", "bytes=9-")}.items():
        if what == name:
            request.add(name=value[0], value=value[1])
    past.sign(request)
    if what == "HEAD unsigned":
        request.drop("Authorization")
    with Http2(past.endpoint) as connection:
        answer = connection.request(request)
        again = connection.request(past.signed(past.get()))
    assert answer.status == status and answer.complete, str(answer)
    bodiless = request.method == "HEAD" or status == 304
    assert bool(answer.body) != bodiless, str(answer)
    assert not {"connection", "transfer-encoding", "keep-alive"} & {n for n, _ in answer.headers}, answer.headers
    assert again.body == b"12345", "the connection is of no more use"


# Authority ------------------------------------------------------------------------------------------------------------


def test_the_authority_is_what_is_signed(past):
    with Http2(past.endpoint) as connection:
        request = past.signed(past.get())
        assert connection.request(request, authority="other.test").code == "SignatureDoesNotMatch"
        also = heads(request) + [("host", past.host)]
        assert connection.answer(connection.begin(also)).status == 200, "a Host that says the same"
        without = [(n, v) for n, v in also if n != ":authority"]
        assert connection.answer(connection.begin(without)).status == 200, "a Host alone"


@pytest.mark.parametrize("host", ["other.test", "127.0.0.1", "127.0.0.1:1"])
def test_a_host_that_is_not_the_authority(past, host):
    with Http2(past.endpoint, strict=False) as connection:
        answer = connection.answer(connection.begin(heads(past.signed(past.get())) + [("host", host)]))
        assert answer.status == 400, str(answer)
        assert connection.request(past.signed(past.get())).status == 200


def test_a_bucket_in_the_authority(gateway, past):
    if gateway.name == "embedded":
        pytest.skip("no domains are configured")
    request = Request("GET", f"/{past.mark}")
    authorise(request, past.signer, f"{past.bucket}.s3.example.test")
    with Http2(past.endpoint) as connection:
        assert connection.request(request).body == b"12345"


# What breaks the rules ------------------------------------------------------------------------------------------------

MALFORMED = {
    "upper case": [("X-Upper", "1")], "connection": [("connection", "close")], "transfer-encoding": [("transfer-encoding", "chunked")], "keep-alive": [("keep-alive", "1")],
    "upgrade": [("upgrade", "h2c")], "proxy-connection": [("proxy-connection", "close")], "te": [("te", "gzip")], "pseudo late": [(":path", "/other")], "pseudo unknown": [(":odd", "1")],
    "status": [(":status", "200")], "line end": [("x-any", "a\r\nx-amz-meta-b: c")], "nul": [("x-any", "a\0b")], "name": [("x any", "1")], "two lengths": [("content-length", "5"), ("content-length", "6")],
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_heads(past, what):
    """Refused, and other requests of the connection go on, or the connection ends with them."""
    with Http2(past.endpoint, strict=False) as connection:
        request = past.signed(past.get())
        number = connection.begin(heads(request) + MALFORMED[what])
        answer = connection.answer(number)
        assert answer.status in (0, 400), f"{what}: {answer}"
        assert answer.status == 400 or connection.streams[number].reset == PROTOCOL_ERROR or connection.goaway is not None or connection.closed
    assert exchange(past.endpoint, past.signed(past.get())).status == 200


@pytest.mark.parametrize("change", ["method twice", "path twice", "authority twice", "no method", "no path", "no scheme", "empty path", "asterisk", "absolute path", "user info", "no authority"])
def test_odd_pseudo_headers(past, change):
    lines = heads(past.signed(past.get()))
    what, _, how = change.partition(" ")
    if how == "twice":
        lines.insert(0, next(line for line in lines if line[0] == f":{what}"))
    elif what == "no":
        lines = [line for line in lines if line[0] != f":{how}"]
    else:
        new = {"empty path": (":path", ""), "asterisk": (":path", "*"), "absolute path": (":path", f"http://other.test/{past.bucket}/{past.mark}"), "user info": (":authority", f"u@{past.host}")}[change]
        lines = [new if line[0] == new[0] else line for line in lines]
    with Http2(past.endpoint, strict=False) as connection:
        number = connection.begin(lines)
        answer = connection.answer(number)
    assert answer.status in (0, 400, 403, 404, 405) and b"12345" != answer.body, f"{change}: {answer}"
    assert exchange(past.endpoint, past.signed(past.get())).status == 200


def test_connect(past):
    with Http2(past.endpoint, strict=False) as connection:
        number = connection.begin([(":method", "CONNECT"), (":authority", "127.0.0.1:22")], end=False)
        answer = connection.answer(number)
        assert answer.status in (0, 400, 405), str(answer)


@pytest.mark.parametrize("sent", [4, 6], ids=["less", "more"])
def test_a_length_that_is_not_the_bodys(past, sent):
    key = past.key()
    request = past.signed(past.put(key, b"12345"), None, UNSIGNED)
    with Http2(past.endpoint) as connection:
        number = connection.begin([(n, v) for n, v in heads(request)], end=False)
        # Past the library, which counts: a DATA frame and the end of the stream.
        connection.socket.sendall(frames.DataFrame(number, b"123456"[:sent], flags=["END_STREAM"]).serialize())
        answer = connection.answer(number)
        assert answer.status in (0, 400), str(answer)
    assert past.stored(key) is None
    assert exchange(past.endpoint, past.signed(past.get())).status == 200


def test_the_limits_that_are_told(past):
    """Pingora's limits on heads and streams hold, whatever windows are ours."""
    with Http2(past.endpoint) as connection:
        connection.more()
        told = connection.h2.remote_settings
        assert told.max_concurrent_streams == 100
        assert told[h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE] == 64 << 10


def test_HT_24_a_head_that_is_too_large(past):
    with Http2(past.endpoint) as connection:
        request = past.get()
        request.headers += [(f"x-any-{n}", "a" * 1000) for n in range(9)]
        assert connection.request(past.signed(request)).code == "RequestHeaderSectionTooLarge"
        request.headers += [(f"x-more-{n}", "a" * 8000) for n in range(10)]
        number = connection.begin(heads(request))
        answer = connection.answer(number)
        assert answer.status in (0, 431), str(answer)
        assert connection.closed or connection.request(past.signed(past.get())).status == 200


def test_HT_24_continuation_flood(past, gateway):
    """CVE-2024-27316: heads that never end are cut off long before they cost memory."""
    before = gateway.proxy_processes()[0].resident_bytes()
    with Http2(past.endpoint) as connection:
        connection.socket.sendall(frames.HeadersFrame(1, b"\x82").serialize())
        block = b"\x00" + b"\x05x-any" + b"\x7f\x81\x7f" + b"a" * 16_384
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(20_000):
                connection.socket.sendall(frames.ContinuationFrame(1, block[:16_000]).serialize())
    assert gateway.proxy_processes()[0].resident_bytes() - before < 30 * MIB
    assert exchange(past.endpoint, past.signed(past.get())).status == 200


def test_HT_23_rapid_reset(past, gateway):
    """CVE-2023-44487: the connection ends, and nothing goes on being served for it."""
    before = gateway.proxy_processes()[0].resident_bytes()
    with Http2(past.endpoint) as connection:
        lines = heads(past.signed(past.get()))
        for number in range(1, 20_000, 2):
            connection.h2.send_headers(number, lines, end_stream=True)
            connection.h2.reset_stream(number, CANCEL)
            if number % 200 == 199:
                connection.flush()
                if connection.closed:
                    break
        connection.is_closed(5)
    assert gateway.proxy_processes()[0].resident_bytes() - before < 50 * MIB
    assert exchange(past.endpoint, past.signed(past.get())).status == 200


# Uploads that are refused, readers that are slow ------------------------------------------------------------------------


def test_a_refused_upload_is_not_read_to_its_end(past):
    """The answer comes at once, and then the stream is reset without an error (RFC 9113 8.1)."""
    key, size = past.key(), 200 * MIB
    request = past.put(key)
    past.sign(request, past.signer.but(secret_key="wrong"), UNSIGNED)
    with Http2(past.endpoint) as connection:
        number = connection.begin(heads(request, length=False) + [("content-length", str(size))], end=False)
        piece, sent = bytes(MIB), 0
        while not connection.streams[number].over and sent < size:
            connection.send(number, piece, end=False)
            sent += len(piece)
        answer = connection.answer(number)
        assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch"), str(answer)
        assert sent < 10 * MIB, f"{sent} bytes were taken"
        assert connection.request(past.signed(past.get())).status == 200, "other requests of the connection go on"


def test_a_slow_reader_is_not_buffered_for(past, gateway):
    """Fifty downloads of 64 MiB whose reader opens no window and does not read: kept is what the windows allow."""
    key = past.key()
    past.s3.put_object(Bucket=past.bucket, Key=key, Body=payload(64 * MIB, "slow"))
    process = gateway.proxy_processes()[0]
    before = process.resident_bytes()
    with Http2(past.endpoint, window=2**31 - 1) as connection:
        connection.h2.increment_flow_control_window(2**31 - 1 - 65_535)
        connection.flush()
        for _ in range(50):
            connection.begin(heads(past.signed(past.get(key))))
        last = 0
        def settled():
            nonlocal last
            now, grown = process.resident_bytes(), last
            last = now
            return abs(now - grown) < MIB
        until(settled, "memory no longer grows", 30, every=1.0)
        assert last - before < 200 * MIB, f"{(last - before) // MIB} MiB for readers that do not read"
    past.s3.delete_object(Bucket=past.bucket, Key=key)


# What is neither ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"OPTIONS / HTTP/1.0\r\n\r\n", b"PRI * HTTP/1.1\r\n\r\n", b"PUT", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100])
def test_what_only_looks_like_a_preface(past, sent):
    """Short requests are answered or closed like any other, none is waited for until it has a preface's length."""
    with Connection(past.endpoint, timeout=10) as connection:
        connection.send(sent)
        connection.end()
        assert connection.is_closed(10)
    assert exchange(past.endpoint, past.signed(past.get())).status == 200


def test_a_short_request_is_not_kept_waiting(past):
    with Connection(past.endpoint, timeout=10) as connection:
        connection.send(b"OPTIONS / HTTP/1.0\r\n\r\n")
        assert connection.answer("OPTIONS").status == 400
