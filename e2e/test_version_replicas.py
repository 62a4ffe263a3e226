"""Versions at replicas: read past the gateway, a replica's list of a key is the home's; while the home is away, reads by the home's ids are served from it."""

from __future__ import annotations

import json
import time
import urllib.request
import uuid
from urllib.parse import unquote_plus
from xml.etree import ElementTree

import pytest
from botocore.exceptions import ClientError

from clients import MIB, create_bucket, fails, md5, payload, read, sha256
from gateway import DENIED, HOME, PLACES, REPLICA
from processes import until
from test_versions import destroy, put, versioned

pytestmark = pytest.mark.shape("embedded", "production")
S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@pytest.fixture
def s3(gateway):
    return gateway.target().s3()


def document(s3, bucket: str, key: str) -> list[tuple[str, bool]]:
    """Ids of a key's versions and whether each is a delete marker, the newest first: in the order of the document, which boto3 does not keep."""
    params, found = {"Bucket": bucket, "Prefix": key, "EncodingType": "url"}, []
    while True:
        with urllib.request.urlopen(s3.generate_presigned_url("list_object_versions", Params=params), timeout=30) as answer:
            root = ElementTree.fromstring(answer.read())
        entries = [e for e in root if e.tag in (f"{S3}Version", f"{S3}DeleteMarker")]
        found += [(e.findtext(f"{S3}VersionId"), e.tag.endswith("DeleteMarker")) for e in entries if unquote_plus(e.findtext(f"{S3}Key")) == key]
        latest = [e.findtext(f"{S3}IsLatest") for e in entries if unquote_plus(e.findtext(f"{S3}Key")) == key]
        assert not latest or "KeyMarker" in params or latest == ["true"] + ["false"] * (len(latest) - 1), latest
        if root.findtext(f"{S3}IsTruncated") != "true":
            return found
        params |= {"KeyMarker": unquote_plus(root.findtext(f"{S3}NextKeyMarker")), "VersionIdMarker": root.findtext(f"{S3}NextVersionIdMarker")}


def sequence(gateway, place: str, key: str) -> list:
    """What a backend holds of a key, read directly, the oldest first: of a version what a client could see, of a delete marker nothing."""
    def holds(s3, bucket: str) -> bool:
        found = s3.list_object_versions(Bucket=bucket, Prefix=key)
        return any(entry["Key"] == key for entry in [*found.get("Versions", []), *found.get("DeleteMarkers", [])])

    s3 = gateway.backends[place].s3()
    holding = list(gateway.backends[place].holding(holds))
    assert len(holding) < 2, f"{key} is in {holding} on {place}"
    shown = []
    for version, is_marker in reversed(document(s3, holding[0], key) if holding else []):
        if is_marker:
            shown.append(None)
            continue
        got = s3.get_object(Bucket=holding[0], Key=key, VersionId=version)
        tags = s3.get_object_tagging(Bucket=holding[0], Key=key, VersionId=version)["TagSet"]
        shown.append((sha256(got["Body"].read()), got["ETag"], got["ContentType"], got["Metadata"], sorted((t["Key"], t["Value"]) for t in tags)))
    return shown


def converged(gateway, bucket: str, key: str, length: int, deadline: float = 40):
    """Waits until both places hold the same list of that many; returns it."""
    until(lambda: gateway.idle(bucket), "no key is dirty", deadline)
    home, replica = (sequence(gateway, place, key) for place in (HOME, REPLICA))
    assert home == replica, f"{[h and h[0][:6] for h in home]} is not {[r and r[0][:6] for r in replica]}"
    assert len(home) == length
    return home


def gone(s3, bucket: str, key: str, **kwargs) -> tuple:
    """Status, code and what the headers tell of a delete marker."""
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key=key, **kwargs)
    headers = refused.value.response["ResponseMetadata"]["HTTPHeaders"]
    told = (headers.get("x-amz-delete-marker"), headers.get("x-amz-version-id"), headers.get("allow"))
    return (refused.value.response["ResponseMetadata"]["HTTPStatusCode"], refused.value.response["Error"]["Code"], *told)


def test_the_replica_keeps_every_version_in_its_order(gateway, s3):
    bucket, key, big = versioned(s3), f"a/{uuid.uuid4().hex} ä+%&", payload(6 * MIB, "version")
    ids = [put(s3, bucket, key, b"one", Metadata={"n": "1"}, Tagging="n=1", ContentType="text/x-one"), put(s3, bucket, key, b"")]
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, Tagging="n=3", Metadata={"n": "3"})["UploadId"]
    parts = [s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=n, Body=b) for n, b in ((1, big), (2, b"end"))]
    done = s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": n, "ETag": p["ETag"]} for n, p in enumerate(parts, 1)]})
    ids.append(done["VersionId"])
    first = converged(gateway, bucket, key, 3)
    assert [entry[0] for entry in first] == [sha256(b"one"), sha256(b""), sha256(big + b"end")] and first[0][2:] == ("text/x-one", {"n": "1"}, [("n", "1")])
    ids.append(s3.delete_object(Bucket=bucket, Key=key)["VersionId"])
    ids.append(put(s3, bucket, key, b"five"))
    assert converged(gateway, bucket, key, 5)[3] is None
    for n in (1, 3):  # in the middle, and the marker
        s3.delete_object(Bucket=bucket, Key=key, VersionId=ids[n])
    assert [entry[0] for entry in converged(gateway, bucket, key, 3)] == [sha256(b"one"), sha256(big + b"end"), sha256(b"five")]
    s3.delete_object(Bucket=bucket, Key=key, VersionId=ids[4])  # the current one
    converged(gateway, bucket, key, 2)
    s3.put_object_tagging(Bucket=bucket, Key=key, VersionId=ids[0], Tagging={"TagSet": [{"Key": "n", "Value": "later"}]})
    assert converged(gateway, bucket, key, 2)[0][4] == [("n", "later")]
    shown = gateway.admin("object", "copies", "acme", bucket, key)
    assert "VERSIONS HELD" in shown
    assert gateway.copies("acme", bucket, key)["versions"] == [{"backend": REPLICA, "held": 2}]
    destroy(s3, bucket)
    until(lambda: not sequence(gateway, REPLICA, key), "nothing is left of it", 40)


def test_what_a_replica_has_lost_or_got_is_put_right(gateway, s3):
    bucket, key, marked = versioned(s3), f"object-{uuid.uuid4().hex}", f"marked-{uuid.uuid4().hex}"
    for n in range(4):
        put(s3, bucket, key, f"version {n}".encode())
    converged(gateway, bucket, key, 4)
    replica, physical = gateway.backends[REPLICA].s3(), gateway.physical(REPLICA, key)
    replica.delete_object(Bucket=physical, Key=key, VersionId=document(replica, physical, key)[2][0])
    replica.put_object(Bucket=physical, Key=key, Body=b"forged")
    replica.delete_object(Bucket=physical, Key=key)
    put(s3, bucket, key, b"newest")
    converged(gateway, bucket, key, 5)

    # A delete marker with nothing below it, which not every server makes upon nothing.
    below, marker = put(s3, bucket, marked, b"below"), s3.delete_object(Bucket=bucket, Key=marked)["VersionId"]
    s3.delete_object(Bucket=bucket, Key=marked, VersionId=below)
    assert converged(gateway, bucket, marked, 1) == [None]
    (own,) = document(replica, physical, marked)
    replica.delete_object(Bucket=physical, Key=marked, VersionId=own[0])
    put(s3, bucket, marked, b"above")
    assert converged(gateway, bucket, marked, 2)[0] is None
    assert gone(s3, bucket, marked, VersionId=marker)[0] == 405
    destroy(s3, bucket)


def test_the_null_version_is_mapped_to_what_it_is(gateway, s3):
    bucket, key = f"versions-{uuid.uuid4().hex[:10]}", f"object-{uuid.uuid4().hex}"
    create_bucket(s3, bucket, f"{HOME},{REPLICA}")
    s3.put_object(Bucket=bucket, Key=key, Body=b"from before")
    until(lambda: gateway.idle(bucket), "it is converged", 20)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    until(lambda: s3.head_object(Bucket=bucket, Key=key).get("VersionId") == "null", "every proxy knows", 10)
    kept = put(s3, bucket, key, b"kept")
    assert [entry[0] for entry in converged(gateway, bucket, key, 2)] == [sha256(b"from before"), sha256(b"kept")]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    for body in (b"null one", b"null two"):
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        assert [entry[0] for entry in converged(gateway, bucket, key, 2)] == [sha256(b"kept"), sha256(body)]
    gateway.stop_backend(HOME)
    try:
        got = until(lambda: s3.get_object(Bucket=bucket, Key=key), "the replica serves it", 20)
        assert (got["Body"].read(), got["VersionId"]) == (b"null two", "null")
        assert read(s3, bucket, key, VersionId="null") == b"null two" and read(s3, bucket, key, VersionId=kept) == b"kept"
    finally:
        gateway.start_backend(HOME)
    s3.delete_object(Bucket=bucket, Key=key)
    assert converged(gateway, bucket, key, 2)[1] is None
    gateway.stop_backend(HOME)
    try:
        until(lambda: gone(s3, bucket, key) == (404, "NoSuchKey", "true", "null", None), "the marker is current", 20)
        assert gone(s3, bucket, key, VersionId="null") == (405, "MethodNotAllowed", "true", "null", "DELETE")
    finally:
        gateway.start_backend(HOME)
    destroy(s3, bucket)


def test_reads_by_version_while_the_home_is_away(gateway, s3):
    bucket, key, marked = versioned(s3), f"object-{uuid.uuid4().hex}", f"marked-{uuid.uuid4().hex}"
    unwritten = f"never-{uuid.uuid4().hex}"
    bodies = [payload(70_000, n) for n in range(3)]
    ids = [put(s3, bucket, key, body) for body in bodies]
    below = put(s3, bucket, marked, b"below")
    marker = s3.delete_object(Bucket=bucket, Key=marked)["VersionId"]
    converged(gateway, bucket, key, 3)
    converged(gateway, bucket, marked, 2)
    own = {version for version, _ in document(gateway.backends[REPLICA].s3(), gateway.physical(REPLICA, key), key)}
    assert not own & {*ids}, "the replica has ids of its own"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    times = [s3.head_object(Bucket=bucket, Key=key, VersionId=version)["LastModified"] for version in ids]
    gateway.stop_backend(HOME)
    try:
        until(lambda: read(s3, bucket, key) == bodies[2], "the replica serves the current one", 20)
        for version, body, time_at_home in zip(ids, bodies, times):
            got = s3.get_object(Bucket=bucket, Key=key, VersionId=version, IfUnmodifiedSince=time_at_home)
            assert got["LastModified"] == time_at_home
            assert fails(s3.get_object, Bucket=bucket, Key=key, VersionId=version, IfModifiedSince=time_at_home)[0] == 304
            assert (got["Body"].read(), got["VersionId"], got["ETag"]) == (body, version, f'"{md5(body)}"')
            head = s3.head_object(Bucket=bucket, Key=key, VersionId=version)
            assert (head["VersionId"], head["ContentLength"]) == (version, len(body))
            part = s3.get_object(Bucket=bucket, Key=key, VersionId=version, Range="bytes=7-99")
            assert (part["Body"].read(), part["VersionId"]) == (body[7:100], version)
            assert fails(s3.get_object, Bucket=bucket, Key=key, VersionId=version, IfNoneMatch=got["ETag"])[0] == 304
        assert s3.get_object(Bucket=bucket, Key=key)["VersionId"] == s3.head_object(Bucket=bucket, Key=key)["VersionId"] == ids[2]
        for version in (ids[0][::-1], "null", marker, *own):
            assert fails(s3.get_object, Bucket=bucket, Key=key, VersionId=version) == (404, "NoSuchVersion"), version
        assert gone(s3, bucket, marked) == (404, "NoSuchKey", "true", marker, None)
        assert gone(s3, bucket, marked, VersionId=marker) == (405, "MethodNotAllowed", "true", marker, "DELETE")
        with pytest.raises(ClientError) as refused:
            s3.head_object(Bucket=bucket, Key=marked)
        headers = refused.value.response["ResponseMetadata"]["HTTPHeaders"]
        assert (headers["x-amz-delete-marker"], headers["x-amz-version-id"]) == ("true", marker)
        assert read(s3, bucket, marked, VersionId=below) == b"below"
        assert fails(s3.get_object, Bucket=bucket, Key=unwritten) == (404, "NoSuchKey")
        assert fails(s3.get_object, Bucket=bucket, Key=unwritten, VersionId=ids[0]) == (503, "ServiceUnavailable"), "nothing is known of it"
    finally:
        gateway.start_backend(HOME)
    destroy(s3, bucket)


def test_what_was_there_before_is_a_version_too(gateway, s3):
    """Nobody writes the keys again: they are converged because their bucket keeps versions now."""
    bucket = gateway.target().make_bucket("before", f"{HOME},{REPLICA}", s3=s3)
    keys = [f"k{n}" for n in range(3)]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    until(lambda: gateway.idle(bucket), "the queue is empty", 30)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    until(lambda: all(gateway.copies("acme", bucket, key)["versions"] for key in keys), "the replica knows all as versions", 30)
    until(lambda: gateway.idle(bucket), "the queue is empty", 30)
    gateway.stop_backend(HOME)
    try:
        for key in keys:
            until(lambda: read(s3, bucket, key, VersionId="null") == key.encode(), f"{key} is read by its id", 20)  # noqa: B023
    finally:
        gateway.start_backend(HOME)
    destroy(s3, bucket)


def test_a_dirty_key_is_not_read_by_version(gateway, s3):
    """Its replica is behind, and which of its versions there are now nobody can tell."""
    bucket, key = versioned(s3), f"object-{uuid.uuid4().hex}"
    first = put(s3, bucket, key, b"one")
    converged(gateway, bucket, key, 1)
    gateway.stop_backend(REPLICA)
    second = put(s3, bucket, key, b"two")
    gateway.stop_backend(HOME)
    try:
        gateway.start_backend(REPLICA)
        for version in ({}, {"VersionId": first}, {"VersionId": second}):
            assert fails(s3.get_object, Bucket=bucket, Key=key, **version) == (503, "ServiceUnavailable")
    finally:
        gateway.start_backend(HOME)
    gateway.call("POST", "/v1/jobs/redrive", {"all": True})
    converged(gateway, bucket, key, 2, 90)
    destroy(s3, bucket)


def test_a_replica_that_cannot_keep_versions_holds_what_is_current(gateway):
    s3, weak = gateway.target("globex").s3(), gateway.backends[DENIED]
    (place,) = (b["place"] for b in gateway.call("GET", "/v1/backends")["backends"] if b["id"] == DENIED)
    parts = [f"--{name}={place[name]}" for name in PLACES[DENIED]]
    file = gateway.folder.path / "weak.json"

    def describe(versioning: bool):
        file.write_text(json.dumps({"versioning": versioning, "quoted_if_match": gateway.name != "production"}))
        where = ("--url", weak.endpoint, "--access-key", weak.access_key, "--capabilities-file", file)
        gateway.admin("backend", "add", weak.id, *where, *parts, "--replace", env={"S3GATEWAY_BACKEND_SECRET_KEY": weak.secret_key})

    def only_current() -> tuple | None:
        """Two versions in a bucket of their own, unless a worker that has not heard of the change yet has kept both at the replica."""
        bucket, key = versioned(s3, f"{HOME},{DENIED}"), f"object-{uuid.uuid4().hex}"
        ids = put(s3, bucket, key, b"one"), put(s3, bucket, key, b"two")
        until(lambda: gateway.idle(bucket), "it is converged", 40)
        held = [entry[0] for entry in sequence(gateway, DENIED, key)]
        return (bucket, key, ids) if held == [sha256(b"two")] else destroy(s3, bucket)

    describe(versioning=False)
    try:
        bucket, key, (first, second) = until(only_current, "the worker knows that the place keeps no versions", 30)
        gateway.stop_backend(HOME)
        try:
            got = until(lambda: s3.get_object(Bucket=bucket, Key=key), "the replica serves it", 20)
            assert got["Body"].read() == b"two" and "VersionId" not in got
            for version in (first, second, "null"):
                assert fails(s3.get_object, Bucket=bucket, Key=key, VersionId=version) == (503, "ServiceUnavailable")
        finally:
            gateway.start_backend(HOME)
        destroy(s3, bucket)
    finally:
        describe(versioning=True)


def test_faults_worker_is_killed_while_it_copies_versions_of_one_key(gateway, s3):
    bucket, key, length = versioned(s3), f"object-{uuid.uuid4().hex}", 0
    for n in range(8):
        for m in range(3):
            put(s3, bucket, key, payload(1_500_000, f"{n}/{m}"))
        s3.delete_object(Bucket=bucket, Key=key)
        length += 4
        until(lambda: gateway.depth()["claimed"] or gateway.idle(), "a worker has the key", 20)
        time.sleep(0.05 * n)  # each time at another point of the work
        gateway.kill_workers()
        gateway.start_workers()
    assert converged(gateway, bucket, key, length, 120)[-1] is None
    destroy(s3, bucket)
