"""One scripted tour run against RGW directly and through the gateway to the same RGW: status, headers and XML are compared.

What may differ stands in ALLOWED, each with its reason; anything else is a failure.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from urllib.parse import unquote

import pytest

from clients import MIB, Target, md5, payload
from gateway import HOME
from raw import Answer, exchange, host_of
from sigv4 import Request, authorise, md5_base64

# step (a regular expression over its name) | what differs: `status`, `code`, `header:NAME` or `xml:PATH` | why that is right
ALLOWED = [
    (".*", "header:date", "the time of the answer"),
    (".*", "header:x-amz-request-id", "each server's own"),
    (".*", "header:x-amz-id-2", "each server's own"),
    (".*", "header:server", "each server's own"),
    (".*", "header:connection", "hop by hop"),
    (".*", "header:transfer-encoding", "hop by hop: the gateway frames its answers itself"),
    ("(?!head$|head multi).*", "header:content-length", "of documents that hold request ids, owners and upload ids; bodies of objects are compared as bytes"),
    (".*", "header:last-modified", "the two objects were written one after the other"),
    (".*", "header:x-rgw-.*", "a vendor's header says which backend it is"),
    (".*", "header:accept-ranges", "S3 sends it with objects only"),
    ("create", "header:location", "S3 answers CreateBucket with it, RGW does not"),
    ("head bucket", "header:x-amz-bucket-region", "S3 answers HeadBucket with it, RGW does not"),
    ("(?!head$|head multi).*", "header:content-type", "RGW gives some empty answers and errors a type; objects are compared in their own steps"),
    (".*", "xml:Error/(RequestId|HostId|Message|Resource|BucketName|Region|Key|ETag|PartNumber|Condition)", "messages and details are the gateway's own; the code is what counts"),
    (".*", "xml:.*/(Owner|Initiator).*", "the owner is the tenant, never the backend's user"),
    (".*", "xml:.*/LastModified", "written one after the other"),
    (".*", "xml:.*/Initiated", "begun one after the other"),
    (".*", "xml:.*/UploadId", "the gateway seals upload ids"),
    (".*", "xml:.*/NextUploadIdMarker|xml:.*/UploadIdMarker", "the gateway seals upload ids"),
    (".*", "xml:.*/(Next)?ContinuationToken", "the gateway seals continuation tokens"),
    (".*", "xml:.*/Type", "an element that only RGW has"),
    ("list uploads|list parts", "xml:.*/(KeyMarker|NextKeyMarker|Prefix|Delimiter|StorageClass|PartNumberMarker|NextPartNumberMarker|MaxUploads|MaxParts|Location)", "optional elements that RGW sends empty or leaves out"),
    ("complete", "xml:CompleteMultipartUploadResult/(ETag|Location)", "RGW answers an empty ETag and a Location of its own"),
    ("complete", "xml:CompleteMultipartUploadResult/Checksum.*", "S3 answers with a checksum of the full object, RGW has none"),
    ("copy.*|part copy", "xml:.*/ETag", "RGW leaves out the quotes"),
    ("copy with a false condition", "status", "RGW ignores the conditions of a copy; the gateway decides them"),
    ("copy with a false condition", "xml:.*", "as above: an error in place of a result"),
    ("location", "xml:LocationConstraint", "RGW knows its zone group, the gateway the region that clients sign for"),
    ("parts of a completed upload", "xml:Error/Code", "RGW says NoSuchKey, S3 NoSuchUpload"),
    ("a wrong checksum", "status|xml:.*|header:etag", "RGW ignores checksum headers, the gateway verifies them"),
    ("create again", "status|xml:.*", "RGW (as us-east-1) answers 200, every other region of S3 BucketAlreadyOwnedByYou"),
]


@dataclass
class Step:
    name: str
    method: str
    target: str
    headers: tuple = ()
    body: bytes = b""
    same_body: bool = False
    """Compare the bytes of the body: it is an object's."""
    keep: str | None = None
    """Remember this element's text under `{NAME}` for later steps."""


def tour(bucket: str) -> list[Step]:
    data, part = payload(100_000, "differential"), payload(5 * MIB, "differential")
    b = f"/{bucket}"

    def xml(text: str) -> tuple[tuple, bytes]:
        return (("Content-MD5", md5_base64(text.encode())),), text.encode()

    delete = xml("<Delete><Object><Key>a b</Key></Object><Object><Key>not-there</Key></Object></Delete>")
    quiet = xml("<Delete><Quiet>true</Quiet><Object><Key>odd/ü+%25</Key></Object></Delete>")
    tagging = xml("<Tagging><TagSet><Tag><Key>k</Key><Value>v / w</Value></Tag></TagSet></Tagging>")
    return [
        Step("create", "PUT", b),
        Step("create again", "PUT", b),
        Step("head bucket", "HEAD", b),
        Step("location", "GET", f"{b}?location"),
        Step("list empty", "GET", f"{b}?list-type=2"),
        Step("put", "PUT", f"{b}/k", (("Content-Type", "text/x-diff"), ("x-amz-meta-a", "1"), ("Cache-Control", "max-age=1"), ("Content-Disposition", "inline")), data),
        Step("put empty", "PUT", f"{b}/empty"),
        Step("put a key with a space", "PUT", f"{b}/a%20b", (), b"space"),
        Step("put an odd key", "PUT", f"{b}/odd/%C3%BC%2B%2525", (), b"odd"),
        Step("put a//b", "PUT", f"{b}/a//b", (), b"slashes"),
        Step("put with If-None-Match", "PUT", f"{b}/k", (("If-None-Match", "*"),), b"no"),
        Step("put with a false MD5", "PUT", f"{b}/bad", (("Content-MD5", md5_base64(b"other")),), b"bad"),
        Step("get", "GET", f"{b}/k", same_body=True),
        Step("get empty", "GET", f"{b}/empty", same_body=True),
        Step("head", "HEAD", f"{b}/k"),
        Step("get odd", "GET", f"{b}/odd/%C3%BC%2B%2525", same_body=True),
        Step("get missing", "GET", f"{b}/missing"),
        Step("head missing", "HEAD", f"{b}/missing"),
        Step("get of a missing bucket", "GET", f"{b}-missing/k"),
        Step("get a range", "GET", f"{b}/k", (("Range", "bytes=10-99"),), same_body=True),
        Step("get a suffix", "GET", f"{b}/k", (("Range", "bytes=-10"),), same_body=True),
        Step("get beyond", "GET", f"{b}/k", (("Range", "bytes=100000-"),)),
        Step("get if none match", "GET", f"{b}/k", (("If-None-Match", '"{md5}"'),)),
        Step("get if match", "GET", f"{b}/k", (("If-Match", '"{md5}"'),), same_body=True),
        Step("get if match other", "GET", f"{b}/k", (("If-Match", '"0"'),)),
        Step("get if modified since", "GET", f"{b}/k", (("If-Modified-Since", "Thu, 01 Jan 2015 00:00:00 GMT"),), same_body=True),
        Step("get if unmodified since", "GET", f"{b}/k", (("If-Unmodified-Since", "Thu, 01 Jan 2015 00:00:00 GMT"),)),
        Step("get with overrides", "GET", f"{b}/k?response-content-type=text%2Fplain&response-cache-control=no-store", same_body=True),
        Step("list", "GET", b),
        Step("list encoded", "GET", f"{b}?encoding-type=url"),
        Step("list v2", "GET", f"{b}?list-type=2"),
        Step("list v2 with owner", "GET", f"{b}?list-type=2&fetch-owner=true"),
        Step("list by prefix", "GET", f"{b}?list-type=2&prefix=odd%2F"),
        Step("list by delimiter", "GET", f"{b}?list-type=2&delimiter=%2F"),
        Step("list a page", "GET", f"{b}?list-type=2&max-keys=2"),
        Step("list v1 a page", "GET", f"{b}?max-keys=2&delimiter=%2F"),
        Step("list from a key", "GET", f"{b}?list-type=2&start-after=b"),
        Step("list nothing", "GET", f"{b}?list-type=2&max-keys=0"),
        Step("copy", "PUT", f"{b}/copied", (("x-amz-copy-source", f"{b}/k"),)),
        Step("get copied", "GET", f"{b}/copied", same_body=True),
        Step("copy of a missing key", "PUT", f"{b}/no", (("x-amz-copy-source", f"{b}/missing"),)),
        Step("copy onto itself", "PUT", f"{b}/k", (("x-amz-copy-source", f"{b}/k"),)),
        Step("copy with a false condition", "PUT", f"{b}/no", (("x-amz-copy-source", f"{b}/k"), ("x-amz-copy-source-if-match", '"0"'))),
        Step("put tags", "PUT", f"{b}/k?tagging", *tagging),
        Step("get tags", "GET", f"{b}/k?tagging"),
        Step("delete tags", "DELETE", f"{b}/k?tagging"),
        Step("tags of an untagged object", "GET", f"{b}/k?tagging"),
        Step("begin upload", "POST", f"{b}/multi?uploads", (("Content-Type", "text/x-multi"),), keep="UploadId"),
        Step("part", "PUT", f"{b}/multi?partNumber=1&uploadId={{UploadId}}", (), part),
        Step("part 2", "PUT", f"{b}/multi?partNumber=2&uploadId={{UploadId}}", (), data),
        Step("part copy", "PUT", f"{b}/multi?partNumber=2&uploadId={{UploadId}}", (("x-amz-copy-source", f"{b}/k"),)),
        Step("list parts", "GET", f"{b}/multi?uploadId={{UploadId}}"),
        Step("list uploads", "GET", f"{b}?uploads"),
        Step("a part that is not there", "POST", f"{b}/multi?uploadId={{UploadId}}", (), b"<CompleteMultipartUpload><Part><PartNumber>9</PartNumber><ETag>\"{md5}\"</ETag></Part></CompleteMultipartUpload>"),
        Step("complete", "POST", f"{b}/multi?uploadId={{UploadId}}", (), b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"{part}\"</ETag></Part><Part><PartNumber>2</PartNumber><ETag>\"{md5}\"</ETag></Part></CompleteMultipartUpload>"),
        Step("parts of a completed upload", "GET", f"{b}/multi?uploadId={{UploadId}}"),
        Step("head multi", "HEAD", f"{b}/multi"),
        Step("get multi", "GET", f"{b}/multi", same_body=True),
        Step("begin another", "POST", f"{b}/aborted?uploads", keep="UploadId"),
        Step("abort", "DELETE", f"{b}/aborted?uploadId={{UploadId}}"),
        Step("delete missing upload", "DELETE", f"{b}/aborted?uploadId={{UploadId}}"),
        Step("a wrong checksum", "PUT", f"{b}/bad", (("x-amz-checksum-crc32", "AAAAAA=="),), b"bad"),
        Step("delete bucket that is not empty", "DELETE", b),
        Step("delete many", "POST", f"{b}?delete", *delete),
        Step("delete quietly", "POST", f"{b}?delete", *quiet),
        *[Step(f"delete {k}", "DELETE", f"{b}/{k}") for k in ("k", "empty", "copied", "multi", "a//b", "bad", "no", "missing")],
        Step("list after deletes", "GET", f"{b}?list-type=2"),
        Step("delete bucket", "DELETE", b),
        Step("delete a missing bucket", "DELETE", b),
    ]


def walk(target: Target, steps: list[Step]) -> list[Answer]:
    known = {"md5": md5(payload(100_000, "differential")), "part": md5(payload(5 * MIB, "differential"))}

    def fill(text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda m: known[m.group(1)], text)

    answers = []
    for step in steps:
        body = fill(step.body.decode()).encode() if step.body.startswith(b"<Complete") else step.body
        request = Request(step.method, fill(step.target), [(n, fill(v)) for n, v in step.headers], body)
        authorise(request, target.signer(), host_of(target.endpoint))
        answer = exchange(target.endpoint, request)
        if step.keep:
            known[step.keep] = answer.xml().findtext(step.keep)
        answers.append(answer)
    return answers


def flat(answer: Answer) -> dict[str, str]:
    """An XML document as paths and texts; repeated elements are numbered."""
    root = answer.xml()
    encoded = root is not None and root.findtext("EncodingType") == "url"
    found: dict[str, str] = {}

    def visit(element, path):
        if not len(element):
            count = sum(1 for p in found if re.sub(r"\[\d+\]$", "", p) == path)
            text = element.text or ""
            # RGW encodes the slashes of keys, S3 does not; both decode to the same key.
            found[f"{path}[{count}]"] = unquote(text) if encoded and element.tag in ("Key", "Prefix") else text
        for child in element:
            visit(child, f"{path}/{child.tag}")

    if root is not None:
        if root.tag == "DeleteResult":  # in no order that anyone promises
            root[:] = sorted(root, key=lambda e: (e.tag, e.findtext("Key") or ""))
        visit(root, root.tag)
    return found


def differences(step: Step, direct: Answer, through: Answer) -> list[tuple[str, str, str]]:
    found = []
    if direct.status != through.status:
        found.append(("status", str(direct), str(through)))
    one, two = ({n.lower(): v for n, v in a.headers} for a in (direct, through))
    found += [(f"header:{n}", one.get(n), two.get(n)) for n in sorted(one.keys() | two.keys()) if one.get(n) != two.get(n)]
    if step.same_body:
        if direct.body != through.body:
            found.append(("body", f"{len(direct.body)} bytes", f"{len(through.body)} bytes"))
        if one.get("content-length") != two.get("content-length") or one.get("content-type") != two.get("content-type"):
            found.append(("object headers", str(direct.headers), str(through.headers)))
    else:
        x, y = flat(direct), flat(through)
        found += [(f"xml:{re.sub(r'.[0-9]+.$', '', p)}", x.get(p), y.get(p)) for p in sorted(x.keys() | y.keys()) if x.get(p) != y.get(p)]
    return found


@pytest.mark.shape("production")
def test_the_same_tour_directly_and_through_the_gateway(gateway):
    bucket = f"differential-{uuid.uuid4().hex[:8]}"
    steps = tour(bucket)
    backend = gateway.backends[HOME]
    direct = walk(Target("direct", backend.endpoint, backend.access_key, backend.secret_key), steps)
    through = walk(gateway.target(), steps)
    used, failures = set(), []
    for step, one, two in zip(steps, direct, through):
        for what, left, right in differences(step, one, two):
            rules = [n for n, (name, pattern, _) in enumerate(ALLOWED) if re.fullmatch(name, step.name) and re.fullmatch(pattern, what)]
            used |= set(rules)
            if not rules:
                failures.append(f"{step.name}: {what}: directly {left!r}, through the gateway {right!r}")
    assert not failures, "\n".join(failures)
    unused = [ALLOWED[n] for n in range(len(ALLOWED)) if n not in used]
    print("\n".join(f"allowed, but not needed: {u}" for u in unused))
