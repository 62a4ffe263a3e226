"""A client that sends exactly what a case says, and gives back what came: no SDK between the case and the wire."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

from clients import Target
from conformance.case import SEEN, Differs, equal
from raw import Answer, Connection, host_of
from sigv4 import Request, Signer, authorise, encode_key, presign, signed_chunks, unsigned_chunks
from sigv4 import STREAMING, STREAMING_TRAILER, STREAMING_UNSIGNED_TRAILER, md5_base64

TIMEOUT = 30
"""Seconds without a byte after which a request has failed."""


@dataclass
class Reply(Answer):
    """An answer that can be held against what S3 documents. Elements are named without S3's namespace."""

    def is_(self, *statuses: int) -> "Reply":
        if self.status not in statuses:
            raise Differs(f"S3 says {' or '.join(map(str, statuses))}, got {self.brief()}")
        return self

    def fails(self, status: int, *codes: str) -> "Reply":
        """An error with one of these codes, in the form of "REST Error Responses"."""
        if self.status != status or self.code not in codes:
            raise Differs(f"S3 says {status} {' or '.join(codes)}, got {self.brief()}")
        equal((self.get("content-type") or "").partition(";")[0], "application/xml", "Content-Type of an error")
        return self

    def is_refused(self) -> "Reply":
        """Any 4xx, or NotImplemented: where the documentation says that it fails, but not how."""
        if not (400 <= self.status < 500 or self.status == 501):
            raise Differs(f"S3 refuses this, got {self.brief()}")
        return self

    def has(self, header: str, value: str | None) -> "Reply":
        """The header's value; None for "is not there"."""
        equal(self.get(header), value, header)
        return self

    def root(self, tag: str):
        """The document's root element, which must be this one."""
        root = self.xml()
        if root is None or root.tag != tag:
            raise Differs(f"S3 says <{tag}>, got {self.brief()}")
        return root

    def text(self, path: str) -> str | None:
        """An element's text; empty for an empty element, None where it is not there."""
        root = self.xml()
        if root is None:
            raise Differs(f"S3 answers XML, got {self.brief()}")
        return root.findtext(path)

    def texts(self, path: str) -> list[str]:
        root = self.xml()
        if root is None:
            raise Differs(f"S3 answers XML, got {self.brief()}")
        return [e.text or "" for e in root.findall(path)]

    def brief(self) -> str:
        if self.status == 0:
            return "a closed connection"
        root = self.xml()
        what = self.code or (f"<{root.tag}>" if root is not None else f"{len(self.body)} bytes" if self.body else "")
        return f"{self.status} {what}".strip()


@dataclass
class Bucket:
    """One bucket at one endpoint, and the requests to it. A header is given as a keyword: `if_none_match="*"`.

    A query is given as it stands on the wire. Keys are percent-encoded here.
    """

    target: Target
    name: str

    @classmethod
    def fresh(cls, target: Target, prefix: str = "conf") -> "Bucket":
        bucket = cls(target, f"{prefix}-{uuid.uuid4().hex[:12]}")
        bucket.call("PUT").is_(200)
        return bucket

    def another(self) -> "Bucket":
        """A second fresh bucket of the same owner."""
        return Bucket.fresh(self.target)

    def named(self, name: str) -> "Bucket":
        """A bucket of that name, which is not made."""
        return replace(self, name=name)

    def path(self, key: str = "", query: str = "") -> str:
        path = f"/{self.name}/{encode_key(key)}" if key else f"/{self.name}"
        return f"{path}?{query}" if query else path

    def signer(self) -> Signer:
        return self.target.signer()

    def host(self) -> str:
        return host_of(self.target.endpoint)

    def request(self, method: str, key: str = "", query: str = "", body: bytes = b"", **headers: str) -> Request:
        """The request, not signed yet."""
        return Request(method, self.path(key, query), [(name.replace("_", "-"), value) for name, value in headers.items()], body)

    def exchange(self, request: Request | bytes, method: str = "GET") -> Reply:
        """Sends a request as it is, on a connection of its own."""
        data, method = (request, method) if isinstance(request, bytes) else (request.to_bytes(), request.method)
        with self.connect() as connection:
            connection.send(data)
            return self.answer(connection, method)

    def connect(self) -> Connection:
        return Connection(self.target.endpoint, TIMEOUT)

    def answer(self, connection: Connection, method: str = "GET", linger: float = 0.0) -> Reply:
        SEEN.last = Reply(**vars(connection.answer(method, linger)))
        return SEEN.last

    def signed(self, request: Request, payload: str | None = None) -> Request:
        authorise(request, self.signer(), self.host(), payload)
        return request

    def call(self, method: str, key: str = "", query: str = "", body: bytes = b"", **headers: str) -> Reply:
        return self.exchange(self.signed(self.request(method, key, query, body, **headers)))

    def get(self, key: str = "", query: str = "", **headers: str) -> Reply:
        return self.call("GET", key, query, **headers)

    def head(self, key: str = "", query: str = "", **headers: str) -> Reply:
        reply = self.call("HEAD", key, query, **headers)
        equal(reply.body, b"", "body of HEAD")
        return reply

    def put(self, key: str, body: bytes = b"", query: str = "", **headers: str) -> Reply:
        return self.call("PUT", key, query, body, **headers)

    def post(self, key: str = "", query: str = "", body: bytes = b"", **headers: str) -> Reply:
        return self.call("POST", key, query, body, **headers)

    def delete(self, key: str = "", query: str = "", **headers: str) -> Reply:
        return self.call("DELETE", key, query, **headers)

    def put_xml(self, key: str, query: str, document: str, **headers: str) -> Reply:
        """A document with the Content-MD5 that several operations ask for."""
        return self.put(key, document.encode(), query, content_md5=md5_base64(document.encode()), **headers)

    def given(self, *keys: str, body: bytes = b"x", **headers: str) -> "Bucket":
        """Puts objects; part of a case's setting."""
        for key in keys:
            self.put(key, body, **headers).is_(200)
        return self

    def versioned(self, status: str = "Enabled") -> "Bucket":
        document = f'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>{status}</Status></VersioningConfiguration>'
        self.put_xml("", "versioning", document).is_(200)
        return self

    def presigned(self, method: str, key: str = "", query: str = "", body: bytes = b"", expires: str | int = 300, signer: Signer | None = None, sign: tuple[str, ...] = (), **headers: str) -> Reply:
        """A request by presigned URL; headers are sent, and signed where `sign` names them."""
        request = self.request(method, key, query, body, **headers)
        return self.exchange(presign(request, signer or self.signer(), self.host(), expires, sign_headers=sign))

    def put_chunked(self, key: str, chunks: list[bytes], mode: str, trailers: dict[str, str] | None = None, query: str = "", announce: str | None = None, **headers: str) -> Reply:
        """A body in aws-chunked; `trailers` by name, announced in x-amz-trailer (or as `announce` says)."""
        names = announce if announce is not None else ",".join(trailers or {})
        size = str(sum(map(len, chunks)))
        more = {"content_encoding": "aws-chunked"} | headers | {"x_amz_decoded_content_length": size} | ({"x_amz_trailer": names} if names else {})
        request = self.request("PUT", key, query, **more)
        seed = authorise(request, self.signer(), self.host(), mode)
        pairs = list((trailers or {}).items())
        if mode == STREAMING_UNSIGNED_TRAILER:
            request.body = b"".join(unsigned_chunks(chunks, pairs))
        else:
            assert mode in (STREAMING, STREAMING_TRAILER), mode
            request.body = b"".join(signed_chunks(seed, chunks, pairs or None))
        return self.exchange(request)


@dataclass
class Upload:
    """A multipart upload of `key`."""

    bucket: Bucket
    key: str
    id: str
    parts: list[tuple[int, str, str]]
    """Number, ETag and further elements of each part that was uploaded."""

    @classmethod
    def begin(cls, bucket: Bucket, key: str, **headers: str) -> "Upload":
        reply = bucket.post(key, "uploads", **headers).is_(200)
        return cls(bucket, key, reply.text("UploadId") or "", [])

    def query(self, number: int | str | None = None) -> str:
        return f"uploadId={self.id}" if number is None else f"partNumber={number}&uploadId={self.id}"

    def part(self, number: int, body: bytes, **headers: str) -> Reply:
        """Uploads a part and remembers what Complete has to name: with each checksum that was sent."""
        reply = self.bucket.put(self.key, body, self.query(number), **headers)
        if reply.status == 200:
            sent = {name.rpartition("_")[2].upper(): value for name, value in headers.items() if name.startswith("x_amz_checksum_")}
            self.note(number, reply.get("etag") or "", "".join(f"<Checksum{a}>{v}</Checksum{a}>" for a, v in sent.items()))
        return reply

    def note(self, number: int, etag: str, more: str = ""):
        self.parts = sorted([p for p in self.parts if p[0] != number] + [(number, etag, more)])

    def complete(self, parts: list[tuple[int, str, str]] | None = None, **headers: str) -> Reply:
        listed = self.parts if parts is None else parts
        body = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag>{more}</Part>" for n, e, more in listed)
        document = f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{body}</CompleteMultipartUpload>'
        return self.bucket.post(self.key, self.query(), document.encode(), **headers)

    def abort(self) -> Reply:
        return self.bucket.delete(self.key, self.query())

    def listed(self, query: str = "") -> Reply:
        return self.bucket.get(self.key, self.query() + (f"&{query}" if query else ""))
