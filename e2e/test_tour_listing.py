"""Listing more than 2,500 keys with odd names in pages, by every client; at last the bucket is emptied."""

from __future__ import annotations

import concurrent.futures
import json

import pytest

from clients import aws, empty_bucket, md5, rclone, sdk_tour
from raw import exchange, host_of
from sigv4 import Request, authorise

pytestmark = pytest.mark.lent


@pytest.fixture(scope="module")
def s3(target):
    return target.s3()


def listing_keys(any_key: bool) -> list[str]:
    keys = [f"plain/{n:04}" for n in range(1500)]
    keys += [f"dir/{n % 40:02}/sub dir/{n}" for n in range(400)]
    keys += [f"sp ace+{n}%2F&<>\"'" for n in range(200)] + [f"ünï/☃{n}/é" for n in range(200)] + [f"tail-{n}" for n in range(200)]
    keys += [f"~{n}" for n in range(10)]
    if any_key:
        keys += [f"sl//ash//{n}" for n in range(30)] + [f"folder{n}/" for n in range(30)] + [f"../up{n}" for n in range(10)] + [f"/lead{n}" for n in range(10)]
        keys += [f"tab\t{n}" for n in range(10)]
    return keys


@pytest.fixture(scope="module")
def listed(target, s3):
    """A bucket of more than 2,500 keys, each holding its own name."""
    bucket = target.make_bucket("listing", s3=s3)
    keys = listing_keys(target.any_key)
    assert len(keys) > 2500
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=key.encode()), keys))
    return bucket, sorted(keys, key=str.encode)


def expected(keys: list[str], prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
    """What a whole listing holds, by S3's rules."""
    contents, prefixes = [], []
    for key in keys:
        if key.startswith(prefix):
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            if at < 0:
                contents.append(key)
            elif key[: at + len(delimiter)] not in prefixes:
                prefixes.append(key[: at + len(delimiter)])
    return contents, prefixes


LISTINGS = [("", "", 1000), ("", "/", 7), ("", "/", 1000), ("plain/", "", 333), ("dir/", "/", 9), ("dir/07/", "/", 1), ("sp ace+1", "", 50), ("ünï/", "/", 50), ("tail-", "-", 10), ("", "sub dir", 100), ("none", "/", 10)]


@pytest.mark.parametrize("version", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize("prefix,delimiter,size", LISTINGS, ids=lambda v: ascii(v))
def test_listing_in_pages(target, s3, listed, version, prefix, delimiter, size):
    bucket, keys = listed
    if target.name == "direct" and version == "list_objects" and (prefix.startswith("sp") or not prefix):
        pytest.skip("radosgw does not encode NextMarker, so boto3 decodes it once too often")
    contents, prefixes = [], []
    kwargs = {"Prefix": prefix} | ({"Delimiter": delimiter} if delimiter else {})
    pages = s3.get_paginator(version).paginate(Bucket=bucket, PaginationConfig={"PageSize": size}, **kwargs)
    for number, page in enumerate(pages):
        got_contents = [o["Key"] for o in page.get("Contents", [])]
        got_prefixes = [p["Prefix"] for p in page.get("CommonPrefixes", [])]
        assert len(got_contents) + len(got_prefixes) <= size
        assert page["Name"] == bucket
        contents += got_contents
        prefixes += got_prefixes
        assert number < 3000, "the pages do not end"
    want_contents, want_prefixes = expected(keys, prefix, delimiter)
    assert contents == want_contents
    assert prefixes == want_prefixes


def test_listing_from_a_key_on(s3, listed):
    bucket, keys = listed
    for start in ("plain/0999", "plain/", "sp ace+", "ünï/☃1", "zzz", "~9"):
        want = [k for k in keys if k.encode() > start.encode()][:100]
        assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, StartAfter=start, MaxKeys=100).get("Contents", [])] == want, start
        assert [o["Key"] for o in s3.list_objects(Bucket=bucket, Marker=start, MaxKeys=100).get("Contents", [])] == want, start


def test_listing_details(s3, listed):
    bucket, keys = listed
    first = s3.list_objects_v2(Bucket=bucket, Prefix="plain/0000", FetchOwner=True)["Contents"][0]
    assert first["Size"] == len("plain/0000") and first["ETag"] == f'"{md5(b"plain/0000")}"' and first["StorageClass"] == "STANDARD"
    none = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert not none.get("Contents") and none["KeyCount"] == 0


def test_listing_without_url_encoding(target, listed):
    """Clients that do not ask for encoding-type=url get well-formed XML with the same keys."""
    bucket, keys = listed
    for query in ("list-type=2&prefix=sp%20ace%2B1", "prefix=%C3%BCn"):
        request = Request("GET", f"/{bucket}?{query}")
        authorise(request, target.signer(), host_of(target.endpoint))
        answer = exchange(target.endpoint, request)
        root = answer.xml()
        assert answer.status == 200 and root is not None, str(answer)
        start = "sp ace+1" if "sp" in query else "ün"
        assert [e.text for e in root.findall("Contents/Key")] == [k for k in keys if k.startswith(start)]


def test_listing_by_the_aws_cli(target, listed):
    bucket, keys = listed
    for version in ("list-objects", "list-objects-v2"):
        if target.name == "direct" and version == "list-objects":
            continue  # radosgw does not encode NextMarker
        got = json.loads(aws(target, "s3api", version, "--bucket", bucket, "--page-size", "333", "--query", "Contents[].Key").stdout)
        assert got == keys, version
    grouped = json.loads(aws(target, "s3api", "list-objects-v2", "--bucket", bucket, "--delimiter", "/", "--page-size", "50").stdout)
    assert ([o["Key"] for o in grouped["Contents"]], [p["Prefix"] for p in grouped["CommonPrefixes"]]) == expected(keys, "", "/")


@pytest.mark.parametrize("how", [("--fast-list", "--s3-list-version", "1"), ("--fast-list", "--s3-list-version", "2"), ("--s3-list-version", "2")], ids=" ".join)
def test_listing_by_rclone(target, listed, how):
    """Flat, and folder by folder. What rclone's paths cannot name is left out."""
    if target.name == "direct" and "1" in how:
        pytest.skip("radosgw does not encode NextMarker")
    bucket, keys = listed
    paths = {k: len(k.encode()) for k in keys if "\t" not in k and "//" not in k and not k.startswith(("/", "../")) and not k.endswith("/")}
    argv = ["lsjson", "-R", "--files-only", "--no-modtime", "--no-mimetype", "--s3-list-chunk", "333", *how, f"x:{bucket}"]
    found = {o["Path"]: o["Size"] for o in json.loads(rclone(target, *argv).stdout)}
    assert {path: size for path, size in found.items() if path in paths} == paths
    assert len(found) <= len(keys)


@pytest.mark.parametrize("size", [99, 1000])
def test_listing_by_the_rust_sdk(target, listed, size):
    bucket, keys = listed
    got = sdk_tour(target, "list", bucket, size).stdout.decode()
    assert got.split("\0")[:-1] == keys


@pytest.mark.parametrize("delimiter, size", [("", 333), ("/", 50)])
def test_versions_of_a_bucket_that_has_none(target, s3, listed, delimiter, size):
    """Each object is its current `null` version, by which other people's suites empty their buckets."""
    if target.name == "direct":
        pytest.skip("radosgw does not encode NextKeyMarker")
    bucket, keys = listed
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    pages = list(s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Delimiter=delimiter, PaginationConfig={"PageSize": size}))
    versions = [v for page in pages for v in page.get("Versions", [])]
    assert ([v["Key"] for v in versions], [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])]) == expected(keys, "", delimiter)
    assert {(v["VersionId"], v["IsLatest"]) for v in versions} <= {("null", True)}
    assert all(v["ETag"] == f'"{md5(v["Key"].encode())}"' for v in versions)


def test_emptying_a_large_bucket(s3, listed):
    bucket, _ = listed
    empty_bucket(s3, bucket)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    s3.delete_bucket(Bucket=bucket)
