"""Every operation that the installed AWS SDK knows: each stands in docs/PROTOCOL.md, and one that is refused is refused by its own name, whatever
it is about, and never carried out as another one."""

from __future__ import annotations

import re
from pathlib import Path

import botocore.session
import pytest

from sigv4 import Request, encode, encode_key

MODEL = botocore.session.get_session().get_service_model("s3")
OLDER_NAMES = {"GetBucketLifecycle", "PutBucketLifecycle", "GetBucketNotification", "PutBucketNotification"}
"""The same on the wire as the operations that end with Configuration."""
NO_SDK_OPERATION = {"PostObject", "Options"}


def documented() -> dict[str, str]:
    page = (Path(__file__).parent / "../docs/PROTOCOL.md").read_text()
    rows = re.findall(r"^\| (\w+) \| ([^|]+) \| [^|]+ \|$", page, re.MULTILINE)
    return {operation: answered for operation, answered in rows if operation != "operation"}


REFUSED = sorted(name for name, answered in documented().items() if answered == "refused")


def test_the_table_has_every_operation_of_the_sdk():
    assert documented().keys() - NO_SDK_OPERATION == set(MODEL.operation_names) - OLDER_NAMES


def request_of(operation: str, bucket: str, key: str) -> Request:
    """As the SDK's model says, with the query parameters that it requires."""
    if operation == "PostObject":
        return Request("POST", f"/{bucket}", [("Content-Type", "multipart/form-data; boundary=x")], b"--x--\r\n")
    if operation == "Options":
        return Request("OPTIONS", f"/{bucket}/{key}", [("Origin", "http://o.test"), ("Access-Control-Request-Method", "PUT")])
    model = MODEL.operation_model(operation)
    target = model.http["requestUri"].replace("{Bucket}", bucket).replace("{Key+}", encode_key(key))
    for member in (model.input_shape.members if model.input_shape else {}).items():
        name, shape = member
        if shape.serialization.get("location") == "querystring" and (name in model.input_shape.required_members or operation == "ListDirectoryBuckets"):
            target += f"{'&' if '?' in target else '?'}{encode(shape.serialization['name'])}=1"
    method = model.http["method"]
    return Request(method, target, body=b"<x/>" if method in ("PUT", "POST") else b"")


@pytest.mark.shape("embedded", "production")
@pytest.mark.parametrize("operation", REFUSED)
def test_what_is_refused_is_refused_as_itself(arena, operation):
    """Signed and whole: 501, and the object and its bucket are as they were."""
    answer = arena.send(arena.signed(request_of(operation, arena.bucket, arena.mark)))
    assert (answer.status, answer.code) == (501, "NotImplemented"), str(answer)
    assert arena.stored(arena.mark) == b"12345"


OF_TOMORROW = ["ofTomorrow", "ofTomorrow=", "ofTomorrow&name=1", "ACL", "Tagging", "metadatatable", "acl%20", "%61nnotations", "renameobject"]


@pytest.mark.parametrize("query", OF_TOMORROW)
@pytest.mark.parametrize("where", ["object", "bucket", "service"])
def test_a_sub_resource_that_is_not_known_is_no_plain_operation(arena, query, where):
    path = {"object": f"/{arena.bucket}/{arena.mark}", "bucket": f"/{arena.bucket}", "service": "/"}[where]
    for method in ("GET", "HEAD", "PUT", "DELETE", "POST"):
        answer = arena.send(arena.signed(Request(method, f"{path}?{query}", body=b"other" if method in ("PUT", "POST") else b"")))
        assert answer.status == 501 and (method == "HEAD" or answer.code == "NotImplemented"), f"{method}: {answer}"
    assert arena.stored(arena.mark) == b"12345"


@pytest.mark.parametrize("query", ["renameObject", "encryption", "metadataTable", "session", "annotation&annotationName=a", "abac", "metadataConfiguration"])
def test_what_the_sdks_know_today_is_no_plain_operation(arena, query):
    for path in (f"/{arena.bucket}/{arena.mark}", f"/{arena.bucket}", "/"):
        for method in ("GET", "HEAD", "PUT", "DELETE", "POST"):
            answer = arena.send(arena.signed(Request(method, f"{path}?{query}", body=b"other" if method in ("PUT", "POST") else b"")))
            assert answer.status in (405, 501), f"{method} {path}: {answer}"
            assert method == "HEAD" or answer.code in ("MethodNotAllowed", "NotImplemented"), f"{method} {path}: {answer}"
    assert arena.stored(arena.mark) == b"12345"


@pytest.mark.parametrize("query", ["x-id=GetObject", "v=1", "cache-buster=20260101"])
def test_a_parameter_with_a_value_changes_nothing(arena, query):
    assert arena.send(arena.signed(arena.get(query=query))).body == b"12345"
