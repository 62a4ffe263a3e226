"""A backend over raw TCP that is a small S3 until a script tells it to misbehave: what no honest server would answer, byte for byte."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote

HANG = object()
"""Says nothing more and keeps the connection open until the other side ends it."""
CLOSE = object()
"""Ends the connection."""
DRIP = object()
"""Sends the piece before it again, every 0.2 s, until the other side ends the connection."""
READ = object()
"""Takes the request's body."""
ACCESS_KEY, SECRET_KEY = "evil-access-key", "evil-secret-key"
EVIL_HEADERS = (
    ("Server", "evil-server"), ("x-amz-request-id", "evil-request"), ("x-amz-id-2", "evil-host-id"), ("x-amz-bucket-region", "evil-region"), ("Set-Cookie", "evil=1"),
    ("x-amz-meta", "evil-header"), ("Via", "1.1 evil-proxy"), ("Content-Type", "application/xml"),
)
LAST_MODIFIED = "Wed, 01 Jul 2026 10:00:00 GMT"


@dataclass
class Seen:
    """A request as it arrived."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    # What an upload has made of its parts.
    etag: str = ""

    @property
    def bucket(self) -> str:
        return self.target.partition("?")[0].lstrip("/").partition("/")[0]

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.target.partition("?")[2], keep_blank_values=True)

    @property
    def key(self) -> str:
        return unquote(self.target.partition("?")[0].lstrip("/").partition("/")[2])


@dataclass
class Hostile:
    """Listens on loopback. `answers[method, key]` is what it does to such a request: bytes are sent, functions give bytes for the request,
    the names above act. The key of a bucket's own operations is empty."""

    answers: dict[tuple[str, str], list] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    objects: dict[tuple[str, str], Seen] = field(default_factory=dict)
    uploads: dict[tuple[str, str], dict[int, bytes]] = field(default_factory=dict)

    def __post_init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        # Else the kernel takes as much of a body as this machine's settings allow, though nobody reads it.
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 << 10)
        self.host = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.endpoint = f"http://{self.host}"
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()
        for connection in self.connections:
            connection.close()

    def asked(self, method: str, key: str) -> list[Seen]:
        return [s for s in self.seen if (s.method, s.key) == (method, key)]

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection, len(self.connections)), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int):
        try:
            stream = connection.makefile("rb")
            while (request := read_request(stream, number)) is not None:
                self.seen.append(request)
                script = self.answers.get((request.method, request.key))
                pieces = [self._honest(request, stream)] if script is None else script
                if not self._perform(connection, stream, request, pieces):
                    break
        except OSError:
            pass
        finally:
            connection.close()

    def _perform(self, connection: socket.socket, stream, request: Seen, pieces: list) -> bool:
        """Whether the connection goes on."""
        last = b""
        for piece in pieces:
            if piece is CLOSE:
                return False
            if piece is HANG:
                while connection.recv(65536):
                    pass
                return False
            if piece is DRIP:
                while True:
                    connection.sendall(last)
                    time.sleep(0.2)
            if piece is READ:
                take_body(request, stream)
                continue
            last = piece(request) if callable(piece) else piece
            connection.sendall(last)
        return True

    def _honest(self, request: Seen, stream) -> bytes:
        """What S3 would answer, as far as the gateway and its worker ask."""
        take_body(request, stream)
        where = (request.bucket, request.key)
        if not request.key:
            return ok() if request.method != "GET" else ok(b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        # One that a script has begun is none here.
        if "uploads" in request.query or ("uploadId" in request.query and where in self.uploads):
            return self._upload(request)
        if request.method == "PUT":
            self.objects[where] = request
            return answer(200, ("ETag", etag(request.body)))
        if request.method == "DELETE":
            self.objects.pop(where, None)
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        stored = self.objects.get(where)
        if stored is None:
            body = b"<Error><Code>NoSuchKey</Code></Error>"
            return answer(404, body=b"" if request.method == "HEAD" else body)
        return ok(stored.body, made=stored.etag, length_only=request.method == "HEAD")

    def _upload(self, request: Seen) -> bytes:
        """An upload in parts; the id is the key's own, as there is never more than one."""
        where = (request.bucket, request.key)
        if "uploads" in request.query:
            self.uploads[where] = {}
            return answer(200, body=f"<InitiateMultipartUploadResult><UploadId>{request.key}</UploadId></InitiateMultipartUploadResult>".encode())
        parts = self.uploads[where]
        if request.method == "PUT":
            parts[int(request.query["partNumber"][0])] = request.body
            return answer(200, ("ETag", etag(request.body)))
        if request.method == "GET":
            entry = "<Part><PartNumber>{}</PartNumber><LastModified>2026-01-01T00:00:00Z</LastModified><ETag>{}</ETag><Size>{}</Size></Part>"
            entries = "".join(entry.format(n, etag(body), len(body)) for n, body in sorted(parts.items()))
            return answer(200, body=f"<ListPartsResult><IsTruncated>false</IsTruncated>{entries}</ListPartsResult>".encode())
        del self.uploads[where]
        if request.method == "DELETE":
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        request.body = b"".join(body for _, body in sorted(parts.items()))
        self.objects[where] = request
        digests = b"".join(hashlib.md5(body).digest() for _, body in sorted(parts.items()))
        request.etag = f'"{hashlib.md5(digests).hexdigest()}-{len(parts)}"'
        return answer(200, body=f"<CompleteMultipartUploadResult><ETag>{request.etag}</ETag></CompleteMultipartUploadResult>".encode())


def read_request(stream, connection: int) -> Seen | None:
    """The next head; the body is left, as a script may answer before it."""
    lines = []
    while (line := stream.readline(65536)) not in (b"\r\n", b""):
        lines.append(line.decode("latin-1").rstrip("\r\n"))
    if not lines or lines[0].count(" ") != 2:
        return None  # the end, or what is left of a body that was not read
    method, target, _ = lines[0].split(" ")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
    return Seen(connection, method, target, headers)


def take_body(request: Seen, stream):
    """One that is cut off is none, as for any server."""
    length = int(request.headers.get("content-length", 0))
    request.body = stream.read(length)
    if len(request.body) < length:
        raise ConnectionError("the body was cut off")


def etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def answer(status: int, *headers: tuple[str, str], body: bytes = b"", length: str | None = "auto") -> bytes:
    """An answer; `length` is Content-Length as sent, None for no such header."""
    lines = [f"HTTP/1.1 {status} Status", *(f"{n}: {v}" for n, v in headers)]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == 'auto' else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def ok(body: bytes = b"", *headers: tuple[str, str], made: str = "", length: str | None = "auto", length_only: bool = False, status: int = 200) -> bytes:
    """An object."""
    head = answer(status, ("ETag", made or etag(body)), ("Last-Modified", LAST_MODIFIED), *headers, length=str(len(body)) if length == "auto" else length)
    return head if length_only else head + body


def error(status: int, code: str, *headers: tuple[str, str], more: int = 0):
    """An error that tells whatever a backend could tell; `more` is added to its true Content-Length."""
    def render(request: Seen) -> bytes:
        body = (
            f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>The bucket {request.bucket} at s3.evil.example says no</Message><BucketName>{request.bucket}</BucketName>'
            f"<Resource>/{request.bucket}/evil-key</Resource><Endpoint>s3.evil.example</Endpoint><Region>evil-region</Region><HostId>evil-host-id</HostId>"
            f"<RequestId>evil-request</RequestId><AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId></Error>"
        ).encode()
        sent = b"" if request.method == "HEAD" else body
        return answer(status, *EVIL_HEADERS, *headers, body=sent, length=str(len(body) + more))

    return render
