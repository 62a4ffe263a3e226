"""Bytes on a socket and the answer as it came: what no HTTP client would send, and every header that came back."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from xml.etree import ElementTree

from sigv4 import Request


@dataclass
class Answer:
    """One HTTP answer. `status` is 0 where the connection ended without one."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    complete: bool = True
    closed: bool = False
    """Whether the server closed the connection after it (seen within a moment)."""
    interim: list[int] = field(default_factory=list)

    def get(self, name: str) -> str | None:
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    @property
    def code(self) -> str | None:
        """`<Code>` of an S3 error."""
        root = self.xml()
        return root.findtext("Code") if root is not None else None

    def xml(self) -> ElementTree.Element | None:
        if not self.body.lstrip().startswith(b"<"):
            return None
        try:
            root = ElementTree.fromstring(self.body)
        except ElementTree.ParseError:
            return None
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root

    def __str__(self) -> str:
        return f"{self.status} {self.code or ''} {self.body[:300]!r}"


def address_of(endpoint: str) -> tuple[str, int]:
    parts = urlsplit(endpoint)
    return parts.hostname or "", parts.port or 80


def host_of(endpoint: str) -> str:
    return urlsplit(endpoint).netloc


class Connection:
    """One TCP connection to an endpoint."""

    def __init__(self, endpoint: str, timeout: float = 30):
        self.socket = socket.create_connection(address_of(endpoint), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data: bytes):
        """Sends what the server takes; a server that refuses early may close first, its answer is still read."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def end(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        self.buffer += data
        return bool(data)

    def answer(self, method: str = "GET", linger: float = 0.0) -> Answer:
        interim: list[int] = []
        while True:
            while b"\r\n\r\n" not in self.buffer:
                if not self._more():
                    return Answer(0, body=self.buffer, complete=False, closed=True, interim=interim)
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            if status >= 200:
                break
            interim.append(status)
        headers = [(n, v.strip()) for n, _, v in (line.partition(":") for line in lines[1:])]
        answer = Answer(status, headers, interim=interim)
        self._body(answer, method)
        if linger:
            answer.closed = self.is_closed(linger)
        return answer

    def _body(self, answer: Answer, method: str):
        if method == "HEAD" or answer.status in (204, 304):
            return
        if "chunked" in (answer.get("transfer-encoding") or ""):
            self._chunked(answer)
            return
        length = answer.get("content-length")
        want = int(length) if length is not None else None
        pieces, have = [self.buffer], len(self.buffer)
        self.buffer = b""
        while want is None or have < want:
            if not self._more():
                answer.complete = want is None
                answer.closed = True
                break
            pieces.append(self.buffer)
            have += len(self.buffer)
            self.buffer = b""
        body = b"".join(pieces)
        answer.body = body if want is None else body[:want]
        self.buffer = b"" if want is None else body[want:]

    def _chunked(self, answer: Answer):
        body = b""
        while True:
            while b"\r\n" not in self.buffer:
                if not self._more():
                    answer.complete, answer.closed, answer.body = False, True, body
                    return
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            size = int(line.split(b";")[0], 16)
            while len(self.buffer) < size + 2:
                if not self._more():
                    answer.complete, answer.closed, answer.body = False, True, body + self.buffer
                    return
            body, self.buffer = body + self.buffer[:size], self.buffer[size + 2 :]
            if size == 0:
                answer.body = body
                return

    def is_closed(self, within: float) -> bool:
        end = time.monotonic() + within
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except (TimeoutError, socket.timeout):
                return False
            except OSError:
                return True
            if not data:
                return True
            self.buffer += data
        return False


def exchange(endpoint: str, request: Request | bytes, *, method: str | None = None, end: bool = False, timeout: float = 30, linger: float = 0.0) -> Answer:
    """One request on a connection of its own. `end` closes our sending side after the last byte."""
    data = request if isinstance(request, bytes) else request.to_bytes()
    name = method or (request.method if isinstance(request, Request) else re.split(rb" ", data, maxsplit=1)[0].decode("latin-1"))
    with Connection(endpoint, timeout) as connection:
        connection.send(data)
        if end:
            connection.end()
        return connection.answer(name, linger)
