"""Listings while the home is away: what the home would list, from a replica that is proven to hold all of it, or 503."""

from __future__ import annotations

import itertools
import uuid

import pytest

from clients import MIB, fails, payload
from gateway import HOME, REPLICA
from processes import until
from test_placement import held

KEYS = ["a b", "a+b", "a/1", "a/2", "a/b/1", "a/b/2", "b-", "b/1", "c-ä", "c/%41", "c/x&<y>", "d", "z/1", "😀"]
ASKED = [
    {},
    {"Prefix": "a"},
    {"Prefix": "a/", "Delimiter": "/"},
    {"Delimiter": "/"},
    {"Delimiter": "/", "Prefix": "nothing/"},
]


@pytest.fixture
def s3(gateway):
    return gateway.target().s3()


@pytest.mark.lent
def test_a_listing_goes_on_without_the_home(gateway, s3):
    bucket, fragile = (gateway.target().make_bucket(name, f"{HOME},{REPLICA}", s3=s3) for name in ("listed", "fragile"))
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        s3.put_object(Bucket=fragile, Key=key, Body=b"x")
    in_parts(s3, bucket, "y-parts")
    s3.put_object(Bucket=fragile, Key="only-at-home", Body=b"x", Tagging="replica-count=1")
    stranger = f"stranger-{uuid.uuid4().hex}"
    until(lambda: gateway.idle(bucket) and gateway.idle(fragile), "the queue is empty", 60)
    (physical,) = (b for b, body in held(gateway, REPLICA, "y-parts").items())
    gateway.backends[REPLICA].s3().put_object(Bucket=physical, Key=stranger, Body=b"behind the gateway's back")

    expected = {n: (walk(s3, bucket, 1, **asked), walk(s3, bucket, 2, **asked)) for n, asked in enumerate(ASKED)}
    after = [(o["Key"], o["ETag"]) for o in s3.list_objects_v2(Bucket=bucket, StartAfter="a/2")["Contents"]]
    begun = s3.list_objects_v2(Bucket=bucket, MaxKeys=3)["NextContinuationToken"]
    gateway.stop_backend(HOME)
    try:
        until(lambda: s3.list_objects_v2(Bucket=bucket)["KeyCount"], "the replica is listed", 20)
        for n, asked in enumerate(ASKED):
            for size in (2, 1000):
                assert (walk(s3, bucket, 1, size, **asked), walk(s3, bucket, 2, size, **asked)) == expected[n], (asked, size)
        assert [(o["Key"], o["ETag"]) for o in s3.list_objects_v2(Bucket=bucket, StartAfter="a/2")["Contents"]] == after
        assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0
        # A listing that the home has begun by a token of its own cannot go on elsewhere; it is not said to be wrong.
        if gateway.name != "plain":
            assert fails(s3.list_objects_v2, Bucket=bucket, ContinuationToken=begun)[0] == 503
        # What the replica does not hold, nobody can tell from what is gone.
        assert fails(s3.list_objects_v2, Bucket=fragile)[0] == 503
        assert [o["Key"] for o in s3.list_objects_v2(Bucket=fragile, Prefix="a/")["Contents"]] == [k for k in KEYS if k.startswith("a/")]
        half = s3.list_objects_v2(Bucket=bucket, MaxKeys=4)
    finally:
        gateway.start_backend(HOME)
    rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=half["NextContinuationToken"])
    names = [o["Key"] for o in half["Contents"] + rest["Contents"]]
    assert names == sorted([*KEYS, "y-parts"], key=str.encode), "begun at the replica, ended at the home"


def test_no_listing_while_a_key_is_dirty(gateway, s3):
    bucket = gateway.target().make_bucket("dirty-listing", f"{HOME},{REPLICA}", s3=s3)
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    until(lambda: gateway.idle(bucket), "the queue is empty", 30)
    gateway.stop_backend(REPLICA)
    try:
        s3.put_object(Bucket=bucket, Key="b", Body=b"x")
        gateway.stop_backend(HOME)
        gateway.start_backend(REPLICA)
        for _ in range(5):
            assert fails(s3.list_objects_v2, Bucket=bucket)[0] == 503
    finally:
        gateway.start_backend(HOME)
    until(lambda: gateway.idle(bucket), "the queue is empty", 40)


def in_parts(s3, bucket: str, key: str):
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    where = {"Bucket": bucket, "Key": key, "UploadId": upload}
    bodies = (payload(5 * MIB, "one"), b"two")
    parts = [{"PartNumber": n, "ETag": s3.upload_part(PartNumber=n, Body=body, **where)["ETag"]} for n, body in enumerate(bodies, 1)]
    s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **where)


def walk(s3, bucket: str, version: int, size: int = 1000, **asked) -> list[tuple]:
    """All entries of all pages: keys with ETag and size, and common prefixes."""
    operation = "list_objects" if version == 1 else "list_objects_v2"
    pages = s3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": size}, **asked)
    entries = []
    for page in pages:
        contents = [(o["Key"], o["ETag"], o["Size"]) for o in page.get("Contents", [])]
        groups = [(p["Prefix"],) for p in page.get("CommonPrefixes", [])]
        assert len(contents) + len(groups) <= size
        entries.append(sorted(itertools.chain(contents, groups)))
    return list(itertools.chain.from_iterable(entries))

