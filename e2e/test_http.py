"""Clients that are slow and answers that come early: what HTTP's framework leaves open, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import ssl
import threading
import time
import urllib.request
from dataclasses import dataclass

import pytest

from certificates import Authority
from clients import MIB, payload
from gateway import HOME, Backend, Solo, listens
from hostile import ACCESS_KEY, CLOSE, HANG, READ, SECRET_KEY, Hostile, answer, error
from http2 import CANCEL, Http2, heads
from processes import pick_port, until
from raw import Answer, Connection, host_of
from sigv4 import UNSIGNED, Request, authorise, md5_base64

IDLE = 2
SETTINGS = """
[proxy.upstream]
connect_timeout = "1s"
read_timeout = "10s"
write_timeout = "30s"
probe_interval = "1h"

[proxy.breaker]
failures = 1000

[proxy.limits]
idle = "2s"
keepalive = "1s"
drain_delay = "0s"
"""


@dataclass
class Patient:
    """A gateway with little patience before a home that does as it is told."""

    gateway: Solo
    home: Hostile
    secure: str
    authority: Authority
    bucket: str = ""

    def signed(self, request: Request, payload: str | None = None, **changes) -> Request:
        authorise(request, self.gateway.target().signer().but(**changes), host_of(self.gateway.endpoint), payload)
        return request

    def put(self, key: str, size: int) -> Request:
        """The head of an upload of so many bytes."""
        request = Request("PUT", f"/{self.bucket}/{key}", length=str(size))
        return self.signed(request, UNSIGNED)

    def open(self) -> Connection:
        return Connection(self.gateway.endpoint, timeout=30)

    def in_flight(self) -> float:
        text = urllib.request.urlopen(f"{self.gateway.admin_endpoint}/metrics", timeout=10).read().decode()
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith("s3gateway_") and "in_flight" in line)

    def still_serves(self):
        with self.open() as connection:
            connection.send(self.signed(Request("GET", f"/{self.bucket}/control")).to_bytes())
            assert connection.answer().body == b"control"


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    home, authority, secure = Hostile(), Authority(tmp_path_factory.mktemp("tls")), f"https://127.0.0.1:{pick_port()}"
    certificate, key = authority.leaf("gateway")
    tls = f'\n[[proxy.tls]]\nlisten = "{host_of(secure)}"\ncertificate = "{certificate}"\nkey = "{key}"\n'
    gateway = Solo(SETTINGS + tls).start()
    gateway.add_backend(Backend(HOME, home.endpoint, ACCESS_KEY, SECRET_KEY), HOME, tagging=False, list_uploads=False)
    gateway.add_tenant("acme", "--placement", HOME)
    until(lambda: listens(secure), "the proxy listens with TLS")
    made = Patient(gateway, home, secure, authority)
    made.bucket = until(lambda: gateway.target().make_bucket("http", HOME), "a first bucket is made", 20)
    with made.open() as connection:
        connection.send(made.signed(Request("PUT", f"/{made.bucket}/control", body=b"control")).to_bytes())
        assert connection.answer("PUT").status == 200
    yield made
    gateway.close()
    home.close()


NUMBERS = itertools.count()


def until_closed(connection: Connection, at_most: float) -> float:
    """Seconds until the server has closed."""
    began = time.monotonic()
    assert connection.is_closed(at_most), f"open after {at_most} s: {connection.buffer!r}"
    return time.monotonic() - began


def dripping(send, piece: bytes = b"a", every: float = 0.3) -> threading.Event:
    """Sends a byte now and then, until the event is set or the other side is gone."""
    stop = threading.Event()

    def drip():
        while not stop.wait(every):
            try:
                send(piece)
            except OSError:
                return

    threading.Thread(target=drip, daemon=True).start()
    return stop


# Slow clients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [b"", b"G", b"PRI * HT", b"GET / HTTP/1.1\r\nHost: "])
def test_a_head_that_does_not_come(patient, first):
    with patient.open() as connection:
        connection.send(first)
        assert IDLE - 0.5 < until_closed(connection, IDLE + 4)
    patient.still_serves()


def test_a_head_that_drips(patient):
    """Each byte is in time, the head is not."""
    with patient.open() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: ")
        stop = dripping(connection.socket.sendall)
        assert IDLE - 0.5 < until_closed(connection, IDLE + 4)
        stop.set()
    patient.still_serves()


def test_a_second_head_that_drips(patient):
    with patient.open() as connection:
        connection.send(patient.signed(Request("GET", f"/{patient.bucket}/control")).to_bytes())
        assert connection.answer().body == b"control"
        connection.send(b"GET / HTTP/1.1\r\nHost: ")
        stop = dripping(connection.socket.sendall)
        until_closed(connection, 1 + IDLE + 4)
        stop.set()


def test_an_HTTP2_connection_that_says_nothing(patient):
    """After TLS, and after its preface; one that has been used, too."""
    context = ssl.create_default_context(cafile=str(patient.authority.certificate))
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", int(patient.secure.rpartition(":")[2])), timeout=IDLE + 6)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as silent:
        assert silent.selected_alpn_protocol() == "h2"
        assert silent.recv(1) == b"", "neither a preface nor an end"
    with Http2(patient.secure, ca=patient.authority.certificate) as connection:
        assert connection.is_closed(6)
    with Http2(patient.gateway.endpoint) as connection:
        assert connection.request(patient.signed(Request("GET", f"/{patient.bucket}/control"))).body == b"control"
        assert connection.is_closed(6)


@pytest.mark.parametrize("how", ["stalls", "drips"])
@pytest.mark.parametrize("what", ["object", "document"])
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_a_body_that_does_not_come(patient, version, what, how):
    """RequestTimeout, and nothing is stored."""
    key = f"slow{next(NUMBERS)}"
    request = patient.put(key, 1000)
    if what == "document":
        request = Request("POST", f"/{patient.bucket}?delete", [("Content-MD5", md5_base64(b"x"))], length="1000")
        patient.signed(request, UNSIGNED)
    if version == "HTTP/1.1":
        with patient.open() as connection:
            connection.send(request.head_bytes() + b"first")
            stop = dripping(connection.socket.sendall) if how == "drips" else threading.Event()
            got = connection.answer(request.method)
            stop.set()
    else:
        with Http2(patient.gateway.endpoint) as connection:
            number = connection.begin(heads(request, length=False) + [("content-length", "1000")], end=False)
            connection.send(number, b"first", end=False)
            stop = threading.Event()
            if how == "drips":
                def send(piece: bytes):
                    if connection.streams[number].over:
                        raise BrokenPipeError
                    connection.h2.send_data(number, piece)
                    connection.flush()
                stop = dripping(send)
            got = connection.answer(number)
            stop.set()
    assert (got.status, got.code) == (400, "RequestTimeout"), str(got)
    assert not any(k[1] == key for k in patient.home.objects)
    patient.still_serves()


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_a_client_that_does_not_read(patient, version):
    """Its connection, and that at the backend, are given up."""
    key = f"large{next(NUMBERS)}"
    put = patient.signed(Request("PUT", f"/{patient.bucket}/{key}", body=payload(32 * MIB, "large"))).to_bytes()
    with patient.open() as connection:
        connection.send(put)
        assert connection.answer("PUT").status == 200
    until(lambda: patient.in_flight() == 0, "nothing is served")
    request = patient.signed(Request("GET", f"/{patient.bucket}/{key}"))
    if version == "HTTP/1.1":
        held = patient.open()
        held.send(request.to_bytes())
    else:
        held = Http2(patient.gateway.endpoint)
        held.more()
        held.take = False
        held.begin(heads(request))
    with held:
        until(lambda: patient.in_flight() == 1, "the object is being served")
        until(lambda: patient.in_flight() == 0, "the client is given up", IDLE + 8)
    patient.still_serves()


def test_a_slow_client_is_served_all_the_same(patient):
    """Slow, but not that slow: 16 KiB/s up."""
    key, body = f"slow{next(NUMBERS)}", payload(96 << 10, "slow")
    with patient.open() as connection:
        connection.send(patient.put(key, len(body)).head_bytes())
        for at in range(0, len(body), 4 << 10):
            connection.send(body[at : at + (4 << 10)])
            time.sleep(0.25)
        assert connection.answer("PUT").status == 200


# Limits of a head ---------------------------------------------------------------------------------------------------


TOO_LARGE = (400, "RequestHeaderSectionTooLarge")
HEADS = {
    "headers within": ([("x-any", "a" * 7000)], "", (200, None)), "headers": ([("x-any", "a" * 8200)], "", TOO_LARGE), "many headers": ([(f"x-{n}", "a" * 60) for n in range(200)], "", TOO_LARGE),
    "query within": ([], "x-any=" + "a" * 6000, (200, None)), "query": ([], "x-any=" + "a" * 8200, TOO_LARGE), "both": ([("x-any", "a" * 4500)], "x-any=" + "a" * 4500, TOO_LARGE),
    "far too large": ([("x-any", "a" * 20_000)], "", TOO_LARGE), "a path": ([], None, (400, "KeyTooLongError")), "metadata within": ([("x-amz-meta-a", "a" * 2035)], "", (200, None)),
    "metadata": ([("x-amz-meta-a", "a" * 2048)], "", (400, "MetadataTooLarge")),
}


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("what", HEADS)
def test_limits_of_a_head(patient, what, version):
    """S3's, not those of the framework, which are 256 headers and 1 MiB over HTTP/1.1, and 64 KiB over HTTP/2."""
    headers, query, want = HEADS[what]
    method, key = ("PUT", f"head{next(NUMBERS)}") if "metadata" in what else ("GET", "control")
    target = f"/{patient.bucket}/{key}" + (f"?{query}" if query else "") if query is not None else f"/{patient.bucket}/" + "k" * 8000
    request = patient.signed(Request(method, target, list(headers)))
    if version == "HTTP/1.1":
        with patient.open() as connection:
            connection.send(request.to_bytes())
            got = connection.answer(method)
            assert (got.status, got.code) == want, str(got)
            connection.send(patient.signed(Request("GET", f"/{patient.bucket}/control")).to_bytes())
            assert connection.answer().body == b"control", "the connection goes on after an error"
    else:
        with Http2(patient.gateway.endpoint) as connection:
            got = connection.request(request)
            assert (got.status, got.code) == want, str(got)
            assert connection.request(patient.signed(Request("GET", f"/{patient.bucket}/control"))).body == b"control"


# Answers that come early ----------------------------------------------------------------------------------------------


class Uploading:
    """A client that sends as fast as it is taken while it looks for an answer."""

    def __init__(self, connection: Connection, size: int):
        self.sent, self.size, self.connection = 0, size, connection
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        piece = bytes(65_536)
        try:
            while self.sent < self.size and not self.stop.is_set():
                self.connection.socket.sendall(piece)
                self.sent += len(piece)
        except OSError:
            pass

    def until_answered(self) -> tuple[Answer, float]:
        began = time.monotonic()
        self.thread.start()
        try:
            return self.connection.answer("PUT"), time.monotonic() - began
        finally:
            self.stop.set()


SIZE = 400 * MIB
STALL = threading.Event()
AFTER = {"reads on": [HANG], "reads no more": [lambda _: (STALL.wait(15), b"")[1]], "closes": [CLOSE]}
EARLY = {
    "slow down": (error(503, "SlowDown"), (503, "ServiceUnavailable")), "too large": (error(400, "EntityTooLarge"), (400, "EntityTooLarge")), "no upload": (error(404, "NoSuchUpload"), (503, "ServiceUnavailable")),
    "no document": (answer(400), (400, "InvalidRequest")), "success": (answer(200, ("ETag", '"0"')), (503, "ServiceUnavailable")),
}


@pytest.mark.parametrize("what", EARLY)
@pytest.mark.parametrize("after", AFTER)
def test_an_early_answer_is_passed_on(patient, after, what):
    """At once, with S3's code, whatever the backend does with the rest of the body; and that is not taken from the client."""
    key = f"early{next(NUMBERS)}"
    sent, want = EARLY[what]
    patient.home.answers["PUT", key] = [sent, *AFTER[after]]
    with patient.open() as connection:
        connection.send(patient.put(key, SIZE).head_bytes())
        uploading = Uploading(connection, SIZE)
        got, seconds = uploading.until_answered()
        assert got.status == want[0] and got.code in (want[1], None if after == "closes" else want[1]), f"{got} after {seconds:.1f} s"
        assert got.get("connection") == "close"
        until_closed(connection, 5)
    assert seconds < 5, f"only after {seconds:.1f} s"
    assert uploading.sent < SIZE / 4, f"{uploading.sent >> 20} MiB were taken"
    patient.still_serves()


@pytest.mark.parametrize("after", ["reads on", "reads no more"])
def test_an_early_answer_over_HTTP2(patient, after):
    key = f"early{next(NUMBERS)}"
    patient.home.answers["PUT", key] = [error(400, "EntityTooLarge"), *AFTER[after]]
    with Http2(patient.gateway.endpoint) as connection:
        number = connection.begin(heads(patient.put(key, SIZE), length=False) + [("content-length", str(SIZE))], end=False)
        piece, sent = bytes(MIB), 0
        while not connection.streams[number].over and sent < SIZE:
            connection.send(number, piece, end=False)
            sent += len(piece)
        got = connection.answer(number)
        assert (got.status, got.code) == (400, "EntityTooLarge") and sent < SIZE / 4, f"{got} after {sent >> 20} MiB"
        assert connection.request(patient.signed(Request("GET", f"/{patient.bucket}/control"))).body == b"control"


def test_a_backend_that_only_pauses_is_waited_for(patient):
    """Reads nothing for a while and says nothing: the upload goes on when it does."""
    key, body = f"pause{next(NUMBERS)}", payload(24 * MIB, "pause")
    patient.home.answers["PUT", key] = [lambda _: (time.sleep(2.5), b"")[1], READ, lambda r: answer(200, ("ETag", '"' + "0" * 32 + '"'))]
    with patient.open() as connection:
        connection.send(patient.put(key, len(body)).head_bytes())
        connection.send(body)
        assert connection.answer("PUT").status == 200
    assert patient.home.asked("PUT", key)[-1].body == body


@pytest.mark.parametrize("size", [8 * MIB, SIZE])
def test_an_early_refusal_is_seen_by_who_sends_on(patient, size):
    """A client that reads only when all is sent, or when it can send no more."""
    request = patient.signed(Request("PUT", f"/{patient.bucket}/refused", length=str(size)), UNSIGNED, secret_key="wrong")
    with patient.open() as connection:
        connection.send(request.head_bytes())
        uploading = Uploading(connection, size)
        uploading.run()
        assert uploading.sent == size or uploading.sent < SIZE / 4, f"{uploading.sent >> 20} MiB were taken"
        got = connection.answer("PUT")
    assert (got.status, got.code) == (403, "SignatureDoesNotMatch"), str(got)


@pytest.mark.parametrize("what", ["listing", "object"])
def test_a_request_that_is_given_up_is_not_gone_on_with(patient, what):
    """HT-23: a reset stream costs nothing more, though its connection lives on."""
    key, go = ("", threading.Event()) if what == "listing" else (f"held{next(NUMBERS)}", threading.Event())
    patient.home.answers["GET", key] = [lambda _: (go.wait(15), b"")[1], CLOSE]
    until(lambda: patient.in_flight() == 0, "nothing is served")
    try:
        with Http2(patient.gateway.endpoint) as connection:
            target = f"/{patient.bucket}?list-type=2" if what == "listing" else f"/{patient.bucket}/{key}"
            numbers = [connection.begin(heads(patient.signed(Request("GET", target)))) for _ in range(50)]
            until(lambda: patient.in_flight() == 50, "all are being served")
            for number in numbers:
                connection.h2.reset_stream(number, CANCEL)
            connection.flush()
            until(lambda: patient.in_flight() == 0, "none is served any more", 5)
            assert not go.is_set() and connection.request(patient.signed(Request("GET", f"/{patient.bucket}/control"))).body == b"control"
    finally:
        go.set()
        del patient.home.answers["GET", key]


def test_a_backend_that_takes_nothing_stops_an_HTTP2_upload(patient):
    """What is on its way is bounded by windows and the sockets' own buffers."""
    key, go = f"stuck{next(NUMBERS)}", threading.Event()
    patient.home.answers["PUT", key] = [lambda _: (go.wait(15), b"")[1], CLOSE]
    process = patient.gateway.process
    before = process.resident_bytes()
    with Http2(patient.gateway.endpoint, timeout=1.5) as connection:
        number = connection.begin(heads(patient.put(key, SIZE), length=False) + [("content-length", str(SIZE))], end=False)
        sent = 0
        with pytest.raises(TimeoutError):  # no window opens for so long
            while sent < SIZE:
                connection.send(number, bytes(65_536), end=False)
                sent += 65_536
        assert sent < 24 * MIB and process.resident_bytes() - before < 16 * MIB, f"{sent >> 20} MiB sent, {(process.resident_bytes() - before) >> 20} MiB kept"
    go.set()


def test_a_stop_tells_HTTP2_clients(patient):
    """What is in flight is served to its end, new requests go elsewhere; the last test of this file, as it ends the gateway."""
    key, go = f"stop{next(NUMBERS)}", threading.Event()
    patient.home.answers["PUT", key] = [READ, lambda _: (go.wait(20), answer(200, ("ETag", '"' + "0" * 32 + '"')))[1]]
    with Http2(patient.gateway.endpoint) as connection:
        number = connection.begin(heads(patient.put(key, 5), length=False) + [("content-length", "5")], end=False)
        connection.send(number, b"12345")
        until(lambda: patient.home.asked("PUT", key), "the upload is at the backend")
        os.kill(patient.gateway.process.pid, signal.SIGTERM)
        while connection.goaway is None:
            assert connection.more(), "closed without a word"
        assert connection.goaway == 0 and not connection.streams[number].over
        go.set()
        assert connection.answer(number).status == 200
        assert connection.is_closed(10)
