"""Buckets whose versioning is suspended, and whose home moves: a key has one `null` version, and the next write takes its place wherever it came from."""

from __future__ import annotations

import threading
import uuid

import pytest
from botocore.exceptions import ClientError

from clients import MIB, create_bucket, fails, payload, read
from gateway import HOME, REPLICA
from processes import until
from test_promotion import have_the_replica_alone, history, home_of, of, promote, stranded
from test_version_replicas import converged
from test_versions import destroy, keeps_versions, listed, put

pytestmark = [keeps_versions, pytest.mark.timeout(420)]


def complete(s3, bucket: str, key: str, body: bytes) -> str:
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    etag = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=body)["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    return s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload=parts).get("VersionId", "null")


WRITES = {
    "put": lambda s3, bucket, key, body: put(s3, bucket, key, body),
    "empty": lambda s3, bucket, key, _: put(s3, bucket, key, b""),
    "large": lambda s3, bucket, key, body: put(s3, bucket, key, body * MIB),
    "copy": lambda s3, bucket, key, _: s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": "source"}).get("VersionId", "null"),
    "replaced": lambda s3, bucket, key, _: s3.copy_object(
        Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": "source"}, MetadataDirective="REPLACE", Metadata={"a": "b"}, TaggingDirective="REPLACE", Tagging="n=1"
    ).get("VersionId", "null"),
    "multipart": lambda s3, bucket, key, body: complete(s3, bucket, key, body),
    "delete": lambda s3, bucket, key, _: s3.delete_object(Bucket=bucket, Key=key)["VersionId"],
    "batch": lambda s3, bucket, key, _: s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})["Deleted"][0]["DeleteMarkerVersionId"],
}
"""What makes a version of a key, by the key that it is tried at; each answers the version's id."""


@pytest.fixture
def s3(gateway):
    return gateway.target("acme").s3()


@pytest.fixture
def suspended(s3):
    """A bucket with, of each key, a version that stays and a `null` one above it."""
    bucket = f"suspended-{uuid.uuid4().hex[:10]}"
    # Of its own: what a backend holds is looked for by the key.
    others = ("still", "by id", f"busy-{bucket}")
    create_bucket(s3, bucket, f"{HOME},{REPLICA}")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    kept = {key: put(s3, bucket, key, b"kept", Tagging="n=kept") for key in (*WRITES, *others)}
    put(s3, bucket, "source", payload(7000, "source"))
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    put(s3, bucket, "probe", b"x")
    for key in kept:
        assert put(s3, bucket, key, f"null of {key}".encode(), Tagging="n=null") == "null"
    return bucket, kept


def ids(s3, bucket: str, key: str) -> list[str]:
    """The key's own, the newest first."""
    found = s3.list_object_versions(Bucket=bucket, Prefix=key)
    both = [*found.get("Versions", []), *found.get("DeleteMarkers", [])]
    return [v["VersionId"] for v in sorted(both, key=lambda v: not v["IsLatest"]) if v["Key"] == key]


def test_the_null_version_is_one_wherever_its_home_is(gateway, s3, suspended):
    bucket, kept = suspended
    for to, epoch in ((REPLICA, 2), (HOME, 3)):
        before = history(s3, bucket)
        done = promote(gateway, bucket, to)
        assert done["state"] == "done" and "until versioning is set again" not in done["detail"], done
        assert home_of(gateway, bucket) == (to, epoch)
        for client in gateway.through_each_proxy("acme"):
            assert client.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
            assert history(client, bucket) == before
            until(lambda: put(client, bucket, "probe", b"x") == "null", "writes are taken again", 30)
        for key, write in WRITES.items():
            assert write(s3, bucket, key, f"by {to}".encode()) == "null", key
            # At once, whoever asks.
            for client in gateway.through_each_proxy("acme"):
                assert ids(client, bucket, key) == ["null", kept[key]], key
                if key in ("delete", "batch"):
                    assert fails(client.get_object, Bucket=bucket, Key=key, VersionId="null") == (405, "MethodNotAllowed")
                else:
                    assert read(client, bucket, key, VersionId="null") == read(client, bucket, key) != f"null of {key}".encode()
                assert read(client, bucket, key, VersionId=kept[key]) == b"kept"
        assert read(s3, bucket, "still", VersionId="null") == b"null of still"
        s3.delete_object(Bucket=bucket, Key="by id", VersionId="null")
        assert ids(s3, bucket, "by id") == [kept["by id"]]
        assert put(s3, bucket, "by id", b"again") == "null" and ids(s3, bucket, "by id") == ["null", kept["by id"]]
        for key in ("put", "delete", "by id", "still"):
            converged(gateway, bucket, key, 2)

    # Enabled again: the `null` version stays where it is, and goes with the bucket.
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    newest = put(s3, bucket, "put", b"beside it")
    assert ids(s3, bucket, "put")[0] == newest != "null" and len(ids(s3, bucket, "put")) == 3
    before = history(s3, bucket)
    assert promote(gateway, bucket, REPLICA)["state"] == "done"
    assert history(s3, bucket) == before
    # And suspended at a home that knows it by an id of its own.
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    # Also through a proxy that has yet to hear of it.
    for client in gateway.through_each_proxy("acme"):
        assert put(client, bucket, "put", b"in its place") == "null"
        assert read(client, bucket, "put", VersionId="null") == b"in its place"
        assert ids(client, bucket, "put")[0] == "null" and sorted(ids(client, bucket, "put")) == sorted(["null", newest, kept["put"]])
    converged(gateway, bucket, "put", 3)
    assert read(s3, bucket, "put", VersionId=newest) == b"beside it"
    destroy(s3, bucket)


def test_of_many_writes_at_once_one_is_the_null_version(gateway, s3, suspended):
    """While the home moves under them, and moves back."""
    bucket, kept = suspended
    busy = f"busy-{bucket}"
    stop, acknowledged = threading.Event(), []

    def work(client, who: int):
        n = 0
        while not stop.wait(0.02):
            n += 1
            try:
                assert put(client, bucket, busy, f"{who} {n}".encode()) == "null"
                acknowledged.append(f"{who} {n}".encode())
            except ClientError as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (503, 409), error

    # By itself radosgw lists a `null` version once for each time that it was written, where several write it at once while somebody reads it.
    clients = gateway.through_each_proxy("acme")
    clients = clients[:1] if gateway.name == "production" else 4 * clients
    writers = [threading.Thread(target=work, args=(client, who)) for who, client in enumerate(clients)]
    for writer in writers:
        writer.start()
    try:
        for to in (REPLICA, HOME):
            done = promote(gateway, bucket, to)
            assert done["state"] == "done", done
            count = len(acknowledged)
            until(lambda: len(acknowledged) > count + 20, "the new home takes writes", 60)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert read(s3, bucket, busy) == read(s3, bucket, busy, VersionId="null")
    assert ids(s3, bucket, busy) == ["null", kept[busy]]
    converged(gateway, bucket, busy, 2)
    for place in (HOME, REPLICA):
        held = gateway.backends[place].holding(lambda s3, name: [v for v in s3.list_object_versions(Bucket=name, Prefix=busy).get("Versions", [])])
        assert [len(versions) for versions in held.values()] == [2], place


def test_a_home_of_suspended_buckets_that_is_away_can_be_replaced(gateway, s3, suspended):
    """By force it keeps all versions; where the former home alone knows which one is `null`, nobody is told of another."""
    bucket, kept = suspended
    until(lambda: gateway.idle(bucket), "all keys are clean", 60)
    gateway.stop_backend(REPLICA)
    assert put(s3, bucket, "put", b"in its place", Tagging="n=newer") == put(s3, bucket, "alone", b"alone") == "null"
    s3.delete_object(Bucket=bucket, Key="delete")
    s3.delete_object(Bucket=bucket, Key="by id", VersionId="null")
    before = history(s3, bucket)
    have_the_replica_alone(gateway)
    until(lambda: read(s3, bucket, "still") == b"null of still", "the replica serves what is clean", 60)

    done = promote(gateway, bucket, REPLICA, "--force")
    assert done["state"] == "done" and "versioning is Enabled now" in done["detail"], done
    assert set(stranded(gateway, bucket)) == {"put", "alone", "delete", "by id"}
    since = until(lambda: put(s3, bucket, "put", b"since"), "the new home takes writes", 60)
    for client in gateway.through_each_proxy("acme"):
        assert client.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        assert read(client, bucket, "still", VersionId="null") == b"null of still"
        assert read(client, bucket, "put") == read(client, bucket, "put", VersionId=since) == b"since"
        assert read(client, bucket, "put", VersionId=kept["put"]) == b"kept"
        null = {"Bucket": bucket, "Key": "put", "VersionId": "null"}
        for refused in (client.get_object, client.head_object, client.get_object_tagging, client.delete_object):
            assert fails(refused, **null)[0] == 503, "it is another one at the former home"
        assert fails(client.put_object_tagging, **null, Tagging={"TagSet": []})[0] == 503
        assert fails(client.copy_object, Bucket=bucket, Key="copied", CopySource=null)[0] == 503
        for key in ("alone", "delete", "by id"):
            assert fails(client.get_object, Bucket=bucket, Key=key)[0] == 503, key
        assert listed(client, bucket, 1) == listed(client, bucket), "page by page, behind whatever is `null` here"
    assert fails(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})[0] == 409

    gateway.start_backend(HOME)
    gateway.call("POST", "/v1/jobs/redrive", {"all": True})
    until(lambda: not stranded(gateway, bucket), "what stayed behind is home", 120)
    after = history(s3, bucket)
    assert after == before | {("put", "null"): (False, b"in its place", [{"Key": "n", "Value": "newer"}]), ("put", since): (True, b"since", [])}
    assert ids(s3, bucket, "put") == [since, "null", kept["put"]]
    # As before, as soon as nothing waits.
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    for client in gateway.through_each_proxy("acme"):
        for key in ("put", "alone", "delete", "by id", "still"):
            assert put(client, bucket, key, b"replaced") == "null" == ids(client, bucket, key)[0], key
            assert read(client, bucket, key, VersionId="null") == b"replaced"
    assert sorted(ids(s3, bucket, "put")) == sorted(["null", since, kept["put"]]) and ids(s3, bucket, "alone") == ["null"]
    before = history(s3, bucket)
    # All versions and delete markers of both are compared, in their order.
    assert promote(gateway, bucket, HOME)["state"] == "done"
    assert history(s3, bucket) == before
    destroy(s3, bucket)


def test_a_home_of_suspended_buckets_can_be_left(gateway, s3, suspended):
    """By a migration to another backend, with what was there, to the bytes."""
    bucket, kept = suspended
    gateway.admin("bucket", "replica-count", "acme", bucket, "1")
    gateway.admin("bucket", "placement", "acme", bucket, HOME)
    before = history(s3, bucket)
    path = of(gateway, bucket) + "/migrate"

    def last():
        return gateway.call("GET", of(gateway, bucket) + "/migrations")["migrations"][0]

    def begins() -> bool:
        status, answer = gateway.api("POST", path, {"to": REPLICA, "drop_old": True, "deep": True})
        assert status == 202 or "drain" in answer["detail"], answer
        return status == 202

    until(begins, "the replica has gone, and the migration begins", 120)
    until(lambda: "moved_at" in last(), "the home has moved", 120)
    for client in gateway.through_each_proxy("acme"):
        until(lambda: put(client, bucket, "probe", b"x") == "null", "writes are taken again", 30)
    assert put(s3, bucket, "put", b"by the new home") == "null"
    s3.delete_object(Bucket=bucket, Key="empty", VersionId="null")

    def ended() -> dict:
        now = last()
        assert now["state"] in ("done", "cancelled"), now
        return now

    done = until(ended, "the migration has ended", 120)
    assert done["state"] == "done" and done["differing"] == done["strays"] == 0, done
    assert home_of(gateway, bucket)[0] == REPLICA
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    now = history(s3, bucket)
    changed = ("put", "empty", "probe")
    assert {at: shown for at, shown in now.items() if at[0] not in changed} == {at: shown for at, shown in before.items() if at[0] not in changed}
    assert ids(s3, bucket, "put") == ["null", kept["put"]] and ids(s3, bucket, "empty") == [kept["empty"]]
    destroy(s3, bucket)
