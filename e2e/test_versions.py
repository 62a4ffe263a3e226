"""Versions through boto3: kept by the home, and followed by the replica with what is current."""

from __future__ import annotations

import uuid

import pytest
from botocore.exceptions import ClientError

from clients import MIB, create_bucket, fails, md5, payload, read
from gateway import HOME, REPLICA
from processes import until
from test_placement import held

keeps_versions = pytest.mark.shape("embedded", "production")


@pytest.fixture
def s3(gateway):
    return gateway.target().s3()


def versioned(s3, location: str = f"{HOME},{REPLICA}") -> str:
    bucket = f"versions-{uuid.uuid4().hex[:10]}"
    create_bucket(s3, bucket, location)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    return bucket


def put(s3, bucket: str, key: str, body: bytes, **kwargs) -> str:
    return s3.put_object(Bucket=bucket, Key=key, Body=body, **kwargs)["VersionId"]


def listed(s3, bucket: str, size: int = 1000, **kwargs) -> list[tuple[str, str, bool]]:
    """Key, version and whether it is the current one, of versions and markers."""
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": size}, **kwargs)
    return [(v["Key"], v["VersionId"], v["IsLatest"]) for page in pages for kind in ("Versions", "DeleteMarkers") for v in page.get(kind, [])]


def destroy(s3, bucket: str):
    """As people's clean-up scripts do it."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        if objects := [{"Key": v["Key"], "VersionId": v["VersionId"]} for kind in ("Versions", "DeleteMarkers") for v in page.get(kind, [])]:
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
            assert not answer.get("Errors"), answer["Errors"][:3]
    s3.delete_bucket(Bucket=bucket)


@pytest.mark.shape("plain")
def test_a_home_that_keeps_no_versions_says_so(gateway, s3):
    bucket = gateway.target().make_bucket(s3=s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for status in ("Enabled", "Suspended"):
        with pytest.raises(ClientError, match="LocationConstraint") as refused:
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        assert refused.value.response["Error"]["Code"] == "NotImplemented"
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert read(s3, bucket, "k", VersionId="null") == b"x" and "VersionId" not in s3.head_object(Bucket=bucket, Key="k")
    assert fails(s3.get_object, Bucket=bucket, Key="k", VersionId="7") == (400, "InvalidArgument")
    assert fails(s3.delete_object, Bucket=bucket, Key="k", VersionId="7") == (400, "InvalidArgument")
    assert read(s3, bucket, "k") == b"x"


@keeps_versions
def test_a_client_that_deletes_page_by_page_leaves_nothing(s3):
    """Each page begins behind a version that the one before it has shown, and that is deleted by now."""
    bucket = versioned(s3)
    for key, count in (("a", 11), ("b", 1), ("c", 5)):
        for n in range(count):
            put(s3, bucket, key, f"{n}".encode())
        s3.delete_object(Bucket=bucket, Key=key)
    seen = set()
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 4}):
        found = [{"Key": v["Key"], "VersionId": v["VersionId"]} for kind in ("Versions", "DeleteMarkers") for v in page.get(kind, [])]
        assert len(found) <= 4
        seen |= {(v["Key"], v["VersionId"]) for v in found}
        if found:
            assert not s3.delete_objects(Bucket=bucket, Delete={"Objects": found}).get("Errors")
    assert len(seen) == 20
    s3.delete_bucket(Bucket=bucket)


@keeps_versions
def test_mfa_delete_is_refused_by_name(s3):
    bucket = versioned(s3)
    with pytest.raises(ClientError, match="MfaDelete"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled", "MFADelete": "Enabled"})
    destroy(s3, bucket)


@keeps_versions
def test_the_tour_of_versions(s3):
    bucket, key, big = versioned(s3), "a/b ä+%&", payload(6 * MIB, "version")
    first = put(s3, bucket, key, b"one", Metadata={"n": "1"}, Tagging="n=1")
    second = put(s3, bucket, key, b"", Tagging="n=2")
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, Tagging="n=3")["UploadId"]
    etag = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=big)["ETag"]
    third = s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})["VersionId"]
    assert len({first, second, third, "null"}) == 4
    for version, body, tag in ((first, b"one", "1"), (second, b"", "2"), (third, big, "3")):
        got = s3.get_object(Bucket=bucket, Key=key, VersionId=version)
        assert (got["VersionId"], got["Body"].read()) == (version, body)
        tags = s3.get_object_tagging(Bucket=bucket, Key=key, VersionId=version)
        assert (tags["VersionId"], tags["TagSet"]) == (version, [{"Key": "n", "Value": tag}])
    assert s3.head_object(Bucket=bucket, Key=key)["VersionId"] == third
    assert s3.head_object(Bucket=bucket, Key=key, VersionId=first)["Metadata"] == {"n": "1"}
    assert [v for _, v, _ in listed(s3, bucket, size=2)] == [third, second, first]

    marker = s3.delete_object(Bucket=bucket, Key=key)
    assert marker["DeleteMarker"] is True and marker["VersionId"] not in (first, second, third)
    with pytest.raises(ClientError) as gone:
        s3.get_object(Bucket=bucket, Key=key)
    headers = gone.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert gone.value.response["Error"]["Code"] == "NoSuchKey"
    assert (headers["x-amz-delete-marker"], headers["x-amz-version-id"]) == ("true", marker["VersionId"])
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key=key, VersionId=marker["VersionId"])
    headers = refused.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert refused.value.response["Error"]["Code"] == "MethodNotAllowed"
    assert (headers["x-amz-delete-marker"], headers["allow"]) == ("true", "DELETE") and headers["last-modified"]
    assert fails(s3.get_object, Bucket=bucket, Key=key, VersionId=first[::-1]) == (404, "NoSuchVersion")

    source = {"Bucket": bucket, "Key": key, "VersionId": first}
    restored = s3.copy_object(Bucket=bucket, Key=key, CopySource=source)
    assert restored["CopySourceVersionId"] == first and read(s3, bucket, key) == b"one"
    assert s3.head_object(Bucket=bucket, Key=key)["Metadata"] == {"n": "1"}
    assert s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] == [{"Key": "n", "Value": "1"}]
    away = versioned(s3, REPLICA)  # another home: streamed through the gateway
    copied = s3.copy_object(Bucket=away, Key="copy", CopySource=source)
    assert copied["CopySourceVersionId"] == first and copied["VersionId"] == s3.head_object(Bucket=away, Key="copy")["VersionId"]
    assert read(s3, away, "copy") == b"one"

    assert fails(s3.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")
    s3.delete_object(Bucket=away, Key="copy")
    assert s3.list_objects_v2(Bucket=away)["KeyCount"] == 0
    assert fails(s3.delete_bucket, Bucket=away) == (409, "BucketNotEmpty")
    destroy(s3, bucket)
    destroy(s3, away)


@keeps_versions
def test_a_suspended_bucket_writes_the_null_version(s3):
    bucket = versioned(s3)
    kept = put(s3, bucket, "k", b"kept")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    for body in (b"null one", b"null two"):
        s3.put_object(Bucket=bucket, Key="k", Body=body)
    assert listed(s3, bucket) == [("k", "null", True), ("k", kept, False)]
    assert (read(s3, bucket, "k"), read(s3, bucket, "k", VersionId="null"), read(s3, bucket, "k", VersionId=kept)) == (b"null two", b"null two", b"kept")
    until(lambda: s3.head_object(Bucket=bucket, Key="k").get("VersionId") == "null", "every proxy knows", 10)
    assert s3.delete_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    s3.put_object(Bucket=bucket, Key="z", Body=b"after")
    for size in (1, 2, 1000):  # radosgw skips what follows a null delete marker
        assert sorted(listed(s3, bucket, size)) == sorted([("k", kept, False), ("k", "null", True), ("z", "null", True)]), size
    s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    assert read(s3, bucket, "k") == b"kept"
    destroy(s3, bucket)


@keeps_versions
def test_many_versions_in_pages(s3):
    bucket, keys = versioned(s3), ["a", "a b+c", "d/e", "d/f", "z", "é\x01"]
    made = {key: [put(s3, bucket, key, str(n).encode()) for n in range(3)][::-1] for key in keys}
    want = [(key, version, n == 0) for key in keys for n, version in enumerate(made[key])]
    for size in (1, 2, 4, 1000):
        assert listed(s3, bucket, size) == want, size
    pages = list(s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 2}))
    assert [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])] == ["d/"]
    assert [(v["Key"], v["VersionId"]) for page in pages for v in page.get("Versions", [])] == [(k, v) for k, v, _ in want if not k.startswith("d/")]
    assert listed(s3, bucket, Prefix="d/") == [row for row in want if row[0].startswith("d/")]
    for _, version, _ in want[-3:]:  # no document that boto3 can read may name this key
        s3.delete_object(Bucket=bucket, Key=keys[-1], VersionId=version)
    destroy(s3, bucket)


@keeps_versions
def test_the_replica_follows_what_is_current(gateway, s3):
    bucket, key = versioned(s3), f"object-{uuid.uuid4().hex}"
    converged = lambda body: until(lambda: list(held(gateway, REPLICA, key).values()) == ([body] if body is not None else []) and gateway.idle(bucket), f"the replica holds {body}", 40)  # noqa: E731
    first, second = put(s3, bucket, key, b"one"), put(s3, bucket, key, b"two")
    converged(b"two")
    marker = s3.delete_object(Bucket=bucket, Key=key)["VersionId"]
    converged(None)
    s3.delete_object(Bucket=bucket, Key=key, VersionId=marker)
    converged(b"two")
    s3.delete_object(Bucket=bucket, Key=key, VersionId=second)
    converged(b"one")
    third = put(s3, bucket, key, b"three")
    converged(b"three")
    gateway.stop_backend(HOME)
    try:
        got = until(lambda: s3.get_object(Bucket=bucket, Key=key), "the replica serves it", 20)
        assert (got["Body"].read(), got["ETag"], got["VersionId"]) == (b"three", f'"{md5(b"three")}"', third)
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled", "known without asking the home"
    finally:
        gateway.start_backend(HOME)
    until(lambda: read(s3, bucket, key, VersionId=first) == b"one", "the home is back", 20)
    assert [v for _, v, _ in listed(s3, bucket)] == [third, first], "nothing was lost or made up"
    destroy(s3, bucket)


@keeps_versions
def test_a_home_that_has_forgotten_is_not_written_to(gateway, s3):
    """Its bucket was made anew behind our back: a write there would not be kept as a version."""
    bucket, key = versioned(s3, HOME), f"object-{uuid.uuid4().hex}"
    version = put(s3, bucket, key, b"x")
    physical, home = gateway.physical(HOME, key), gateway.backends[HOME].s3()
    s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
    home.delete_bucket(Bucket=physical)
    home.create_bucket(Bucket=physical)
    assert fails(s3.get_bucket_versioning, Bucket=bucket) == (503, "ServiceUnavailable")
    until(lambda: all(refuses(s3, bucket) for _ in range(4)), "no proxy writes", 30)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert until(lambda: put(s3, bucket, key, b"y"), "versions are kept again", 10)
    destroy(s3, bucket)


def refuses(s3, bucket: str) -> bool:
    try:
        s3.put_object(Bucket=bucket, Key="probe", Body=b"x")
    except ClientError as error:
        return error.response["Error"]["Code"] == "ServiceUnavailable"
    s3.delete_object(Bucket=bucket, Key="probe")
    return False


@keeps_versions
def test_each_version_keeps_the_parts_that_it_was_made_of(gateway, s3):
    bucket, key = versioned(s3), "parts"
    first = put(s3, bucket, key, b"first")
    parts = [payload(5 * MIB, 1), b"the last part"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, ChecksumAlgorithm="CRC32")["UploadId"]
    sent = [s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=n, Body=part, ChecksumAlgorithm="CRC32") for n, part in enumerate(parts, 1)]
    done = [{"PartNumber": n, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]} for n, part in enumerate(sent, 1)]
    second = s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": done})["VersionId"]

    def has_its_parts():
        got = s3.get_object(Bucket=bucket, Key=key, VersionId=second, PartNumber=2)
        assert (got["PartsCount"], got["Body"].read()) == (2, parts[1])
        told = s3.get_object_attributes(Bucket=bucket, Key=key, VersionId=second, ObjectAttributes=["ObjectParts"])
        assert [part["Size"] for part in told["ObjectParts"]["Parts"]] == [len(part) for part in parts]

    has_its_parts()
    s3.delete_object(Bucket=bucket, Key=key, VersionId=first)
    has_its_parts()
    marker = s3.delete_object(Bucket=bucket, Key=key)["VersionId"]
    s3.delete_object(Bucket=bucket, Key=key, VersionId=marker)
    has_its_parts()
    put(s3, bucket, key, b"third")
    has_its_parts()
    destroy(s3, bucket)
