"""The tours of the SDKs in other languages, and of the Python libraries that are not boto3: programs of their own under `tours/`."""

from __future__ import annotations

import uuid

import pytest

from toolchains import tour

SDK = ["buckets", "objects", "transfers", "multipart", "ranges", "listing", "copy", "tagging", "conditions", "checksums", "versions", "presigned", "errors", "deletes"]


@pytest.fixture
def bucket() -> str:
    """A name that no bucket has."""
    return f"tour-{uuid.uuid4().hex[:8]}"


@pytest.fixture(autouse=True)
def through_the_gateway(gateway):
    """radosgw alone keeps no checksums and answers GetObjectAttributes with the object."""


def test_javascript_sdk(target, bucket):
    steps = tour("js", target, bucket, target.location)
    assert steps == ["buckets", "objects", "streams", "uploads", *SDK[3:]]


def test_go_sdk(target, bucket, large):
    assert tour("go", target, bucket, target.location, large.path) == SDK


def test_java_sdk(target, bucket):
    assert tour("java", target, bucket, target.location) == SDK


def test_minio_py(target, bucket):
    assert tour("minio", target, bucket) == ["buckets", "objects", "multipart", "listing", "copy", "tagging", "versions", "presigned", "errors", "deletes"]


def test_pyarrow(target):
    assert tour("pyarrow", target, target.make_bucket("arrow")) == ["files", "infos", "moves", "parquet", "deletes"]


def test_duckdb(target):
    assert tour("duckdb", target, target.make_bucket("duckdb")) == ["writes", "reads", "errors"]


def test_s3fs(target):
    assert tour("s3fs", target, target.make_bucket("s3fs")) == ["whole", "ranges", "listings", "copies", "urls", "errors", "deletes"]
