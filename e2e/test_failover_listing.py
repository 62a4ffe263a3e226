"""Listings while the home is away: what the home would list, from a replica that is proven to hold all of it, or 503."""

from __future__ import annotations

import itertools
import uuid

import pytest

from clients import MIB, fails, payload
from gateway import HOME, REPLICA
from processes import until
from test_placement import held
from test_versions import versioned

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


@pytest.mark.shape("embedded", "production")
def test_versions_are_listed_without_the_home(gateway, s3):
    bucket, fragile = versioned(s3), versioned(s3)
    for key in ("a b", "a/1", "a/2", "a/b/1", "b", "c-ä", "z"):
        for body in (b"one", b"the second"):
            s3.put_object(Bucket=bucket, Key=key, Body=body)
    in_parts(s3, bucket, "y-parts")
    for key in ("a/2", "z"):
        s3.delete_object(Bucket=bucket, Key=key)
    s3.put_object(Bucket=bucket, Key="z", Body=b"the third")
    s3.put_object(Bucket=fragile, Key="everywhere", Body=b"x")
    s3.put_object(Bucket=fragile, Key="only-at-home", Body=b"x", Tagging="replica-count=1")
    until(lambda: gateway.idle(bucket) and gateway.idle(fragile), "the queue is empty", 60)
    expected = [versions(s3, bucket, 1000, **asked) for asked in ASKED]
    middle = expected[0][3]
    begun = {"KeyMarker": middle[0], "VersionIdMarker": middle[1]}
    after = versions(s3, bucket, 1000, **begun)
    gateway.stop_backend(HOME)
    try:
        until(lambda: s3.list_object_versions(Bucket=bucket)["Versions"], "the records are listed", 20)
        for n, asked in enumerate(ASKED):
            for size in (1, 3, 1000):
                assert versions(s3, bucket, size, **asked) == expected[n], (asked, size)
        assert versions(s3, bucket, 2, **begun) == after
        assert "Versions" not in s3.list_object_versions(Bucket=bucket, MaxKeys=0)
        # What the replica does not hold, nobody can tell from what is gone.
        assert fails(s3.list_object_versions, Bucket=fragile)[0] == 503
        assert [v["Key"] for v in s3.list_object_versions(Bucket=fragile, Prefix="every")["Versions"]] == ["everywhere"]
    finally:
        gateway.start_backend(HOME)


def test_objects_are_their_own_versions_without_the_home(gateway, s3):
    bucket = gateway.target().make_bucket("own-versions", f"{HOME},{REPLICA}", s3=s3)
    for key in ("a/1", "a/2", "b"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    until(lambda: gateway.idle(bucket), "the queue is empty", 30)
    expected = [versions(s3, bucket, 1000, **asked) for asked in ({}, {"Delimiter": "/"})]
    gateway.stop_backend(HOME)
    try:
        until(lambda: s3.list_object_versions(Bucket=bucket)["Versions"], "the replica is listed", 20)
        for size in (1, 1000):
            assert [undated(versions(s3, bucket, size, **asked)) for asked in ({}, {"Delimiter": "/"})] == [undated(e) for e in expected]
    finally:
        gateway.start_backend(HOME)


def versions(s3, bucket: str, size: int, **asked) -> list[tuple]:
    """All entries of all pages in their order by key; a page of boto3's has versions and markers apart."""
    entries, params = [], {"Bucket": bucket, "MaxKeys": size, **asked}
    while True:
        page = s3.list_object_versions(**params)
        both = [(kind, v) for kind in ("Versions", "DeleteMarkers") for v in page.get(kind, [])]
        found = [(v["Key"], v["VersionId"], v["IsLatest"], v["LastModified"], v.get("ETag"), v.get("Size"), kind) for kind, v in both]
        groups = [(p["Prefix"],) for p in page.get("CommonPrefixes", [])]
        assert len(found) + len(groups) <= size
        entries += found + groups
        if not page["IsTruncated"]:
            # Within a key by time, the newest first, and what is current before all else.
            return sorted(entries, key=lambda e: (e[0].encode(), *((not e[2], -e[3].timestamp(), e[1]) if len(e) > 1 else ())))
        params |= {"KeyMarker": page["NextKeyMarker"]}
        params.pop("VersionIdMarker", None)
        if "NextVersionIdMarker" in page:
            params["VersionIdMarker"] = page["NextVersionIdMarker"]


def undated(entries: list[tuple]) -> list[tuple]:
    """Without the time, which is each backend's own where an object has no version."""
    return [entry[:3] + entry[4:] for entry in entries]


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

