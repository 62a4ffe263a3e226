"""AWS Signature Version 4 written anew from its documents, so that the gateway is not judged by a signer that it shares.

Every part can be bent on purpose: the attack tables need requests that are wrong in exactly one way.
Source: Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import zlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from urllib.parse import unquote_to_bytes

import xxhash

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def encode(text: str | bytes, keep: bytes = b"") -> str:
    """Percent-encodes everything that RFC 3986 does not call unreserved, but for the bytes of `keep`."""
    data = text.encode() if isinstance(text, str) else text
    return "".join(chr(b) if b in UNRESERVED or b in keep else f"%{b:02X}" for b in data)


def encode_key(key: str | bytes) -> str:
    return encode(key, keep=b"/")


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def md5_base64(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def crc32_base64(data: bytes) -> str:
    return base64.b64encode(binascii.crc32(data).to_bytes(4, "big")).decode()


def _reflected_crc(data: bytes, polynomial: int, bits: int) -> int:
    mask = (1 << bits) - 1
    table = []
    for index in range(256):
        value = index
        for _ in range(8):
            value = (value >> 1) ^ polynomial if value & 1 else value >> 1
        table.append(value)
    crc = mask
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ mask


def crc32c_base64(data: bytes) -> str:
    return base64.b64encode(_reflected_crc(data, 0x82F63B78, 32).to_bytes(4, "big")).decode()


def crc64nvme_base64(data: bytes) -> str:
    return base64.b64encode(_reflected_crc(data, 0x9A6C9329AC4BC9B5, 64).to_bytes(8, "big")).decode()


def _base64_of(hasher):
    return lambda data: base64.b64encode(hasher(data).digest()).decode()


CHECKSUMS = {
    "crc32": crc32_base64,
    "crc32c": crc32c_base64,
    "crc64nvme": crc64nvme_base64,
    "sha1": _base64_of(hashlib.sha1),
    "sha256": _base64_of(hashlib.sha256),
    "sha512": _base64_of(hashlib.sha512),
    "md5": _base64_of(hashlib.md5),
    "xxhash64": _base64_of(xxhash.xxh64),
    "xxhash3": _base64_of(xxhash.xxh3_64),
    "xxhash128": _base64_of(xxhash.xxh3_128),
}


@dataclass
class Signer:
    """Who signs, for which scope, and when."""

    access_key: str
    secret_key: str
    region: str = "us-east-1"
    service: str = "s3"
    terminal: str = "aws4_request"
    now: datetime | None = None
    scope_date: str | None = None
    credential: str | None = None
    """The whole Credential value where a test wants to write nonsense."""

    def at(self) -> datetime:
        return self.now or datetime.now(timezone.utc)

    def timestamp(self) -> str:
        return self.at().strftime("%Y%m%dT%H%M%SZ")

    def date(self) -> str:
        return self.scope_date or self.at().strftime("%Y%m%d")

    def scope(self) -> str:
        return f"{self.date()}/{self.region}/{self.service}/{self.terminal}"

    def credential_value(self) -> str:
        return self.credential or f"{self.access_key}/{self.scope()}"

    def key(self) -> bytes:
        key = ("AWS4" + self.secret_key).encode()
        for part in (self.date(), self.region, self.service, self.terminal):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key

    def sign(self, text: str | bytes) -> str:
        data = text.encode() if isinstance(text, str) else text
        return hmac.new(self.key(), data, hashlib.sha256).hexdigest()

    def moved(self, **delta) -> "Signer":
        return replace(self, now=self.at() + timedelta(**delta))

    def but(self, **changes) -> "Signer":
        return replace(self, **changes)


@dataclass
class Request:
    """An HTTP/1.1 request as it will stand on the wire. `target` is path and query exactly as sent."""

    method: str
    target: str
    headers: list[tuple[str, str | bytes]] = field(default_factory=list)
    body: bytes = b""
    version: str = "HTTP/1.1"
    length: str | None = "auto"
    """Content-Length as sent; `auto` for the body's own, None for no header."""

    def get(self, name: str) -> str | bytes | None:
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    def put(self, name: str, value: str | bytes) -> "Request":
        self.drop(name)
        self.headers.append((name, value))
        return self

    def add(self, name: str, value: str | bytes) -> "Request":
        self.headers.append((name, value))
        return self

    def drop(self, name: str) -> "Request":
        self.headers = [(n, v) for n, v in self.headers if n.lower() != name.lower()]
        return self

    def head_bytes(self) -> bytes:
        lines = [f"{self.method} {self.target} {self.version}".encode("latin-1")]
        lines += [n.encode("latin-1") + b": " + (v if isinstance(v, bytes) else v.encode("utf-8")) for n, v in self.headers]
        names = {n.lower() for n, _ in self.headers}
        if self.length is not None and "content-length" not in names and (self.body or self.length != "auto" or self.method in ("PUT", "POST")):
            lines.append(b"Content-Length: " + (str(len(self.body)) if self.length == "auto" else self.length).encode("latin-1"))
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def to_bytes(self) -> bytes:
        return self.head_bytes() + self.body


def canonical_query(query: str, leave_out: str | None = None) -> str:
    """Sorted by encoded name, then value; a name without `=` counts as empty. Bytes are decoded and encoded again, `+` stays a plus."""
    pairs = []
    for part in query.split("&") if query else []:
        name, _, value = part.partition("=")
        name, value = encode(unquote_to_bytes(name)), encode(unquote_to_bytes(value))
        if name != leave_out:
            pairs.append((name, value))
    return "&".join(f"{n}={v}" for n, v in sorted(pairs))


def canonical_path(path: str) -> str:
    return encode(unquote_to_bytes(path), keep=b"/")


def trim_all(value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return b" ".join(part for part in data.strip().split(b" ") if part)


def canonical_request(request: Request, signed: list[str], payload: str, leave_out: str | None = None) -> bytes:
    path, _, query = request.target.partition("?")
    lines = [request.method.encode(), canonical_path(path).encode(), canonical_query(query, leave_out).encode()]
    for name in signed:
        values = [trim_all(v) for n, v in request.headers if n.lower() == name]
        lines.append(name.encode() + b":" + b",".join(values))
    lines += [b"", ";".join(signed).encode(), payload.encode()]
    return b"\n".join(lines)


def string_to_sign(signer: Signer, canonical: bytes, timestamp: str | None = None) -> str:
    return "\n".join([ALGORITHM, timestamp or signer.timestamp(), signer.scope(), sha256_hex(canonical)])


@dataclass
class Seed:
    """What chunk signatures chain from."""

    signer: Signer
    signature: str
    timestamp: str


def authorise(
    request: Request,
    signer: Signer,
    host: str,
    payload: str | None = None,
    *,
    send_hash: bool = True,
    also_sign: tuple[str, ...] = (),
    do_not_sign: tuple[str, ...] = (),
    timestamp: str | None = None,
    date_header: bool = True,
) -> Seed:
    """Signs in the Authorization header. All x-amz-*, content-md5, content-type and host are signed but for `do_not_sign`."""
    payload = payload if payload is not None else sha256_hex(request.body)
    timestamp = timestamp if timestamp is not None else signer.timestamp()
    if request.get("host") is None:
        request.headers.insert(0, ("Host", host))
    if date_header:
        request.put("X-Amz-Date", timestamp)
    if send_hash:
        request.put("X-Amz-Content-Sha256", payload)
    names = {n.lower() for n, _ in request.headers}
    signed = sorted((({n for n in names if n.startswith("x-amz-") or n in ("host", "content-md5", "content-type", "range")}) | set(also_sign)) - set(do_not_sign))
    signature = signer.sign(string_to_sign(signer, canonical_request(request, signed, payload), timestamp))
    request.put("Authorization", f"{ALGORITHM} Credential={signer.credential_value()}, SignedHeaders={';'.join(signed)}, Signature={signature}")
    return Seed(signer, signature, timestamp)


def presign(request: Request, signer: Signer, host: str, expires: str | int = 300, *, payload: str = UNSIGNED, sign_headers: tuple[str, ...] = (), timestamp: str | None = None, algorithm: str = ALGORITHM) -> Request:
    """Signs in the query. Only `host` and `sign_headers` are signed, as presigned URLs usually are."""
    if request.get("host") is None:
        request.headers.insert(0, ("Host", host))
    signed = sorted({"host", *sign_headers})
    timestamp = timestamp if timestamp is not None else signer.timestamp()
    auth = [
        ("X-Amz-Algorithm", algorithm), ("X-Amz-Credential", signer.credential_value()), ("X-Amz-Date", timestamp),
        ("X-Amz-Expires", str(expires)), ("X-Amz-SignedHeaders", ";".join(signed)),
    ]
    joined = "&".join(f"{n}={encode(v)}" for n, v in auth)
    request.target += ("&" if "?" in request.target else "?") + joined
    signature = signer.sign(string_to_sign(signer, canonical_request(request, signed, payload), timestamp))
    request.target += f"&X-Amz-Signature={signature}"
    return request


def without_parameter(target: str, name: str) -> str:
    path, _, query = target.partition("?")
    return path + "?" + "&".join(p for p in query.split("&") if p.partition("=")[0] != name)


def with_parameter(target: str, name: str, value: str) -> str:
    path, _, query = target.partition("?")
    return path + "?" + "&".join(f"{name}={value}" if p.partition("=")[0] == name else p for p in query.split("&"))


# aws-chunked bodies -------------------------------------------------------------------------------------------------


def chunk_signature(seed: Seed, previous: str, data: bytes) -> str:
    text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", seed.timestamp, seed.signer.scope(), previous, EMPTY_SHA256, sha256_hex(data)])
    return seed.signer.sign(text)


def trailer_signature(seed: Seed, previous: str, trailers: list[tuple[str, str]]) -> str:
    canonical = "".join(f"{n.lower()}:{v}\n" for n, v in trailers)
    text = "\n".join(["AWS4-HMAC-SHA256-TRAILER", seed.timestamp, seed.signer.scope(), previous, sha256_hex(canonical.encode())])
    return seed.signer.sign(text)


def signed_chunks(seed: Seed, chunks: list[bytes], trailers: list[tuple[str, str]] | None = None) -> list[bytes]:
    """The pieces of a signed aws-chunked body: one for each chunk, the zero chunk, then what follows it."""
    previous, pieces = seed.signature, []
    for data in [*chunks, b""]:
        previous = chunk_signature(seed, previous, data)
        head = f"{len(data):x};chunk-signature={previous}\r\n".encode()
        pieces.append(head + data + b"\r\n" if data else head)
    end = b""
    for name, value in trailers or []:
        end += f"{name}:{value}\r\n".encode()
    if trailers:
        end += f"x-amz-trailer-signature:{trailer_signature(seed, previous, trailers)}\r\n".encode()
    pieces.append(end + b"\r\n")
    return pieces


def unsigned_chunks(chunks: list[bytes], trailers: list[tuple[str, str]] | None = None) -> list[bytes]:
    pieces = [f"{len(data):x}\r\n".encode() + data + b"\r\n" for data in chunks]
    return [*pieces, b"0\r\n", "".join(f"{n}:{v}\r\n" for n, v in trailers or []).encode() + b"\r\n"]


assert f"{zlib.crc32(b'123456789'):08x}" == "cbf43926"
assert crc32c_base64(b"123456789") == base64.b64encode(bytes.fromhex("e3069283")).decode()
assert crc64nvme_base64(b"123456789") == base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode()
