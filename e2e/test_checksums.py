"""Checksums through stock clients: sent by default as header or trailer, shown again in checksum mode on every backend, never stale.

What the headers and trailers of single requests do is in `conformance/cases_checksums.py`.
"""

from __future__ import annotations

import base64
import json
import zlib
from importlib.util import find_spec

import pytest

from clients import MIB, aws, payload
from gateway import HOME
from processes import until
from test_tls import secure  # noqa: F401 - a fixture

MODE = {"ChecksumMode": "ENABLED"}
PART = 8 * MIB
LARGE = payload(2 * PART + 777, "checksums")


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4)).decode()


def composite(parts: list[bytes]) -> str:
    return f"{crc32(b''.join(zlib.crc32(p).to_bytes(4) for p in parts))}-{len(parts)}"


def parts_of(data: bytes) -> list[bytes]:
    return [data[at : at + PART] for at in range(0, len(data), PART)]


def shown(s3, bucket: str, key: str) -> tuple[str | None, str | None]:
    head = s3.head_object(Bucket=bucket, Key=key, **MODE)
    return head.get("ChecksumCRC32"), head.get("ChecksumType")


@pytest.mark.parametrize("size", [0, 1, 65_537, 3 * MIB + 1])
def test_a_checksum_that_came_as_a_header_is_shown(gateway, target, size):
    s3 = target.s3()
    bucket, data = target.make_bucket("sums", s3=s3), payload(size, "header")
    assert s3.put_object(Bucket=bucket, Key="k", Body=data)["ChecksumCRC32"] == crc32(data)
    assert shown(s3, bucket, "k") == (crc32(data), "FULL_OBJECT")
    got = s3.get_object(Bucket=bucket, Key="k", **MODE)
    assert (got["Body"].read(), got["ChecksumCRC32"]) == (data, crc32(data))
    assert "ChecksumCRC32" not in s3.head_object(Bucket=bucket, Key="k")


@pytest.mark.parametrize("size", [0, 1, 65_537, MIB, 3 * MIB + 1])
def test_a_checksum_that_came_as_a_trailer_is_shown(secure, size):
    """Over TLS boto3 sends its checksum behind the body."""
    target = secure.target()
    s3 = target.s3()
    bucket, data = target.make_bucket("sums", s3=s3), payload(size, "trailer")
    done = s3.put_object(Bucket=bucket, Key="k", Body=data, ContentEncoding="identity", Metadata={"a": "b"})
    assert done["ChecksumCRC32"] == crc32(data)
    assert shown(s3, bucket, "k") == (crc32(data), "FULL_OBJECT")
    got = s3.get_object(Bucket=bucket, Key="k", **MODE)
    assert (got["Body"].read(), got["ContentEncoding"], got["Metadata"]) == (data, "identity", {"a": "b"})


@pytest.mark.parametrize("over", ["http", "https"])
def test_an_upload_in_parts_has_its_checksum_and_its_parts(request, gateway, over, tmp_path):
    target = gateway.target() if over == "http" else request.getfixturevalue("secure").target()
    s3 = target.s3()
    bucket = target.make_bucket("sums", s3=s3)
    (tmp_path / "large").write_bytes(LARGE)
    s3.upload_file(str(tmp_path / "large"), bucket, "k")
    parts = parts_of(LARGE)
    assert shown(s3, bucket, "k") == (composite(parts), "COMPOSITE")
    told = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectParts", "ObjectSize"])
    assert told["Checksum"] == {"ChecksumCRC32": composite(parts).partition("-")[0], "ChecksumType": "COMPOSITE"}
    assert [(p["PartNumber"], p["Size"], p["ChecksumCRC32"]) for p in told["ObjectParts"]["Parts"]] == [(n, len(p), crc32(p)) for n, p in enumerate(parts, 1)]
    for number, part in enumerate(parts, 1):
        got = s3.get_object(Bucket=bucket, Key="k", PartNumber=number, **MODE)
        assert got["Body"].read() == part and got["PartsCount"] == len(parts) and got["ChecksumCRC32"] == crc32(part)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert "Parts" not in s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts", "ETag"]).get("ObjectParts", {})


def test_what_is_written_past_the_gateway_shows_no_stale_checksum(gateway, target):
    s3, home = target.s3(), gateway.backends[HOME].s3()
    bucket = target.make_bucket("sums", s3=s3)
    s3.put_object(Bucket=bucket, Key="behind our back", Body=b"before")
    assert shown(s3, bucket, "behind our back") == (crc32(b"before"), "FULL_OBJECT")
    home.put_object(Bucket=gateway.physical(HOME, "behind our back"), Key="behind our back", Body=b"afterwards")
    value, _ = shown(s3, bucket, "behind our back")
    assert value in (None, crc32(b"afterwards"))


def test_a_copy_has_the_checksum_of_its_source(gateway, target):
    s3 = target.s3()
    bucket = target.make_bucket("sums", s3=s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    done = s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"})
    assert done["CopyObjectResult"]["ChecksumCRC32"] == crc32(b"data")
    assert shown(s3, bucket, "copy") == (crc32(b"data"), "FULL_OBJECT")


def test_a_replica_shows_the_checksum_as_well(gateway, target):
    if gateway.name != "production":
        pytest.skip("the embedded worker does not carry checksums to backends that keep them")
    s3 = target.s3()
    bucket = target.make_bucket("sums", location=f"{target.location},{target.other_location}", s3=s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"data", Tagging="replica-count=2")
    until(lambda: gateway.idle(bucket), "the copy is made", 60)
    gateway.stop_backend(HOME)
    try:
        until(lambda: shown(s3, bucket, "k") == (crc32(b"data"), "FULL_OBJECT"), "the replica serves", 30)
    finally:
        gateway.start_backend(HOME)


NEEDS_CRT = [pytest.param(a, marks=pytest.mark.skipif(find_spec("awscrt") is None, reason="needs awscrt")) for a in ("CRC32C", "CRC64NVME")]


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256", *NEEDS_CRT])
def test_aws_cli(gateway, target, tmp_path, algorithm):
    bucket = target.make_bucket("sums")
    where = ("--bucket", bucket, "--key", "k")
    (tmp_path / "k").write_bytes(b"the AWS CLI")
    sent = json.loads(aws(target, "s3api", "put-object", *where, "--body", tmp_path / "k", "--checksum-algorithm", algorithm).stdout)
    name = f"Checksum{algorithm}"
    assert sent[name]
    got = json.loads(aws(target, "s3api", "get-object", *where, "--checksum-mode", "ENABLED", tmp_path / "down").stdout)
    assert (got[name], got["ChecksumType"], (tmp_path / "down").read_bytes()) == (sent[name], "FULL_OBJECT", b"the AWS CLI")
    told = json.loads(aws(target, "s3api", "get-object-attributes", *where, "--object-attributes", "Checksum").stdout)
    assert told["Checksum"] == {name: sent[name], "ChecksumType": "FULL_OBJECT"}
