"""HTTP/2 frame by frame: what no client library would send, and every stream's answer as it came."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from raw import Answer, address_of
from sigv4 import Request

GOAWAY = 7  # the frame
CANCEL = 8  # the error
Headers = list[tuple[str | bytes, str | bytes]]


def heads(request: Request, scheme: str = "http", *, authority: str | None = None, length: bool = True) -> Headers:
    """The signed request as HTTP/2 has it: its Host becomes the authority."""
    host = authority if authority is not None else request.get("host")
    lines: Headers = [(":method", request.method), (":scheme", scheme), (":authority", host), (":path", request.target)]
    lines += [(n.lower(), v) for n, v in request.headers if n.lower() != "host"]
    if length and request.method in ("PUT", "POST") and request.get("content-length") is None:
        lines.append(("content-length", str(len(request.body))))
    return lines


@dataclass
class Stream:
    """One stream's answer as far as it has come."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    received: int = 0
    ended: bool = False
    reset: int | None = None

    def answer(self) -> Answer:
        return Answer(self.status, self.headers, bytes(self.body), complete=self.ended)

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None


class Http2:
    """A connection that speaks HTTP/2, by prior knowledge or over TLS."""

    def __init__(self, endpoint: str, ca: Path | None = None, timeout: float = 30, strict: bool = True, window: int | None = None):
        self.socket = socket.create_connection(address_of(endpoint), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.scheme = "https" if ca else "http"
        if ca:
            context = ssl.create_default_context(cafile=str(ca))
            context.set_alpn_protocols(["h2", "http/1.1"])
            self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
            assert self.socket.selected_alpn_protocol() == "h2"
        config = h2.config.H2Configuration(header_encoding="latin-1", validate_outbound_headers=strict, normalize_outbound_headers=strict)
        self.h2 = h2.connection.H2Connection(config)
        self.streams: dict[int, Stream] = {}
        self.take = True
        """Whether windows are opened again for what has come."""
        self.goaway: int | None = None
        """The error of the last GOAWAY; 0 for none."""
        self.unread = b""
        self.closed = False
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.flush()

    def __enter__(self) -> "Http2":
        return self

    def __exit__(self, *_):
        self.socket.close()

    def flush(self):
        """Sends what the server takes; one that has closed is still read."""
        try:
            self.socket.sendall(self.h2.data_to_send())
        except (BrokenPipeError, ConnectionResetError):
            self.closed = True

    def begin(self, headers: Headers, end: bool = True) -> int:
        number = self.h2.get_next_available_stream_id()
        self.streams[number] = Stream()
        self.h2.send_headers(number, headers, end_stream=end)
        self.flush()
        return number

    def send(self, number: int, body: bytes, end: bool = True):
        """Sends a body as fast as the server opens its window; stops where it answers with a reset or an end."""
        at = 0
        stream = self.streams[number]
        while at < len(body) and not stream.over and not self.closed:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size, len(body) - at)
            if room <= 0:
                self.more()
                continue
            self.h2.send_data(number, body[at : at + room])
            at += room
            self.flush()
        if end and not stream.over and not self.closed:
            self.h2.end_stream(number)
            self.flush()

    def more(self) -> bool:
        """Waits for bytes and takes them in; False where there is no more connection."""
        try:
            data = self.socket.recv(1 << 18)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            self.closed = True
            return False
        try:
            events = self.h2.receive_data(self._without_goaway(data))
        except h2.exceptions.ProtocolError:
            self.closed = True
            raise
        for event in events:
            self._take(event)
        self.flush()
        return True

    def _without_goaway(self, data: bytes) -> bytes:
        """Whole frames; one that says GOAWAY is noted here, as the library would take the connection for closed, which it is not."""
        self.unread += data
        frames = b""
        while len(self.unread) >= 9 and len(self.unread) >= (size := 9 + int.from_bytes(self.unread[:3], "big")):
            frame, self.unread = self.unread[:size], self.unread[size:]
            if frame[3] == GOAWAY:
                self.goaway = int.from_bytes(frame[13:17], "big")
            else:
                frames += frame
        return frames

    def _take(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None) or 0, Stream())
        match event:
            case h2.events.ResponseReceived():
                fields = [(n, v) for n, v in event.headers]
                stream.status = int(dict(fields)[":status"])
                stream.headers = [(n, v) for n, v in fields if not n.startswith(":")]
            case h2.events.DataReceived():
                stream.body += event.data
                stream.received += len(event.data)
                if self.take and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                stream.ended = True
            case h2.events.StreamReset():
                stream.reset = int(event.error_code)

    def answer(self, number: int) -> Answer:
        """Waits until a stream is over."""
        while not self.streams[number].over and not self.closed:
            self.more()
        return self.streams[number].answer()

    def request(self, request: Request, **options) -> Answer:
        number = self.begin(heads(request, self.scheme, **options), end=not request.body)
        if request.body:
            self.send(number, request.body)
        return self.answer(number)

    def is_closed(self, within: float) -> bool:
        """Whether the server ends the connection in that time."""
        end = time.monotonic() + within
        while not self.closed and (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                self.more()
            except TimeoutError:
                return False
            except h2.exceptions.ProtocolError:
                return True
        return self.closed
