"""What the attack tables share: a row is a request that is wrong in one way, the answers that are right, and whether anything may be stored."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from gateway import HOME, Gateway
from raw import Answer, exchange, host_of
from sigv4 import Request, Seed, Signer, authorise, encode_key

NO_ANSWER = (0, None)
"""The connection was closed without an answer: right where the framing was in doubt."""
ARGUMENT = (400, "InvalidArgument")
INVALID = (400, "InvalidRequest")
MISMATCH = (403, "SignatureDoesNotMatch")


@dataclass
class Row:
    id: str
    answers: set
    make: Callable
    variant: object = None
    control: bool = False
    """Accepted and stored: a filter that refuses it breaks stock clients."""
    end: bool = False
    """Our sending side is closed after the last byte."""
    extra: str | None = None
    """An element that the error must carry."""
    options: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.id}" + ("" if self.variant is None else f"-{ascii(self.variant)[:40]}")

    def build(self, *given) -> Request | bytes:
        """Its request, made from what the table's functions take before the variant."""
        return self.make(*given) if self.variant is None else self.make(*given, self.variant)


class Table(list):
    """Rows in the order in which they are written."""

    def row(self, id: str, answers, *variants, **options):
        known = {k: options.pop(k) for k in ("control", "end", "extra") if k in options}

        def add(make):
            for variant in variants or (None,):
                self.append(Row(id, set(answers), make, variant, options=options, **known))
            return make

        return add

    def ids(self):
        return [row.name for row in self]


class Arena:
    """One bucket of the first tenant, watched at its home backend past the gateway."""

    def __init__(self, gateway: Gateway):
        self.gateway, self.target = gateway, gateway.target()
        self.endpoint, self.host = self.target.endpoint, host_of(self.target.endpoint)
        self.signer: Signer = self.target.signer()
        self.s3 = self.target.s3()
        self.bucket = self.target.make_bucket("arena", s3=self.s3)
        self.mark = f"mark-{uuid.uuid4().hex}"
        self.s3.put_object(Bucket=self.bucket, Key=self.mark, Body=b"12345")
        self.home = gateway.backends[HOME].s3()
        self.physical = gateway.physical(HOME, self.mark)
        self.numbers = itertools.count()

    def key(self) -> str:
        return f"attack/{next(self.numbers)}-{uuid.uuid4().hex[:6]}"

    def put(self, key: str, body: bytes = b"12345", query: str = "") -> Request:
        return Request("PUT", f"/{self.bucket}/{encode_key(key)}" + (f"?{query}" if query else ""), body=body)

    def get(self, key: str | None = None, query: str = "") -> Request:
        return Request("GET", f"/{self.bucket}/{encode_key(key or self.mark)}" + (f"?{query}" if query else ""))

    def sign(self, request: Request, signer: Signer | None = None, payload: str | None = None, **options) -> Seed:
        return authorise(request, signer or self.signer, self.host, payload, **options)

    def signed(self, request: Request, signer: Signer | None = None, payload: str | None = None, **options) -> Request:
        self.sign(request, signer, payload, **options)
        return request

    def signed_put(self, key: str, body: bytes = b"12345", signer: Signer | None = None, payload: str | None = None, headers: list | None = None, **options) -> Request:
        request = self.put(key, body)
        request.headers += headers or []
        return self.signed(request, signer, payload, **options)

    def send(self, request: Request | bytes, **options) -> Answer:
        return exchange(self.endpoint, request, **options)

    def stored(self, key: str) -> bytes | None:
        """What the home holds under the key, read past the gateway."""
        try:
            return self.home.get_object(Bucket=self.physical, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise

    def begin_upload(self, key: str) -> str:
        return self.s3.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"]

    def check(self, row: Row):
        """Sends the row and judges all of it."""
        key = self.key()
        request = row.build(self, key)
        answer = self.send(request, end=row.end, **row.options)
        self.judge(row, answer, request.method if isinstance(request, Request) else "PUT")
        stored = self.stored(key)
        if row.control and isinstance(request, Request) and request.method == "PUT":
            assert stored is not None, f"{row.name}: accepted, but not stored"
        if not row.control and answer.status not in (200, 204, 206):
            assert stored is None, f"{row.name}: refused, but stored"
        return answer

    def judge(self, row: Row, answer: Answer, method: str):
        got = (answer.status, answer.code if method != "HEAD" else None)
        wanted = {a if isinstance(a, tuple) else (a, None) for a in row.answers}
        assert any(got == w or (w[1] is None and got[0] == w[0]) for w in wanted), f"{row.name}: {answer}, wanted {sorted(wanted, key=str)}"
        assert self.signer.secret_key.encode() not in answer.body, "the answer holds the secret"
        if answer.status >= 400 and method != "HEAD" and got[1]:
            self.judge_error(row, answer)
        if row.extra and answer.status >= 400:
            root = answer.xml()
            assert root is not None and root.findtext(row.extra), f"{row.name}: no <{row.extra}> in {answer.body!r}"

    def judge_error(self, row: Row, answer: Answer):
        root = answer.xml()
        assert root is not None and root.tag == "Error", answer.body
        for element in ("Code", "Message", "RequestId"):
            assert root.findtext(element), f"{row.name}: no <{element}> in {answer.body!r}"
        assert root.find("Resource") is not None, f"{row.name}: no <Resource> in {answer.body!r}"
        assert root.find("StringToSign") is None and root.find("CanonicalRequest") is None
        assert (answer.get("content-type") or "").startswith("application/xml"), answer.headers
        assert answer.get("x-amz-request-id") == root.findtext("RequestId")


def edit(request: Request, name: str, change: Callable[[str], str]) -> Request:
    """Changes a header's value in place, after signing."""
    value = request.get(name)
    assert isinstance(value, str), f"{name} is not there to be changed"
    changed = change(value)
    assert changed != value, f"the change of {name} changed nothing"
    return request.put(name, changed)
