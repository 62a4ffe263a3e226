"""Walks: what went wrong behind the gateway's back is found, and repaired or reported; a walk outlives workers and absences, and asks before it deletes much."""

from __future__ import annotations

import json
import subprocess
import urllib.request
import uuid

import pytest

from clients import MIB, create_bucket, payload
from gateway import HOME, REPLICA
from processes import clean_environment, until

pytestmark = pytest.mark.shape("embedded", "production")


@pytest.fixture
def s3(gateway):
    return gateway.target().s3()


@pytest.fixture
def bucket(s3):
    name = f"walks-{uuid.uuid4().hex[:10]}"
    create_bucket(s3, name, f"{HOME},{REPLICA}")
    return name


def fill(gateway, s3, bucket: str, count: int) -> list[str]:
    """So many objects with both copies in place; the body of each is its key."""
    keys = [f"{bucket}-{n:03}" for n in range(count)]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    until(lambda: gateway.idle(bucket), "no key is dirty", 90)
    return keys


def begin(gateway, bucket: str, kind: str, *more: str) -> str:
    return json.loads(gateway.admin("--json", "walk", "start", "acme", bucket, "--kind", kind, *more))["id"]


def show(gateway, walk: str) -> dict:
    return gateway.call("GET", f"/v1/walks/{walk}")


def reach(gateway, walk: str, state: str, deadline: float = 90) -> dict:
    def reached():
        now = show(gateway, walk)
        assert now["state"] == state or now["state"] not in ("done", "cancelled", "failed"), now
        return now["state"] == state

    until(reached, f"the walk is {state}: {show(gateway, walk)}", deadline)
    return show(gateway, walk)


def walk(gateway, bucket: str, kind: str) -> dict:
    return reach(gateway, begin(gateway, bucket, kind), "done")


def found(report: dict) -> set[tuple[str, str, str]]:
    return {(f["kind"], f["key"], f["backend"]) for f in report["findings"]}


def held(gateway, place: str, physical: str, key: str) -> bytes | None:
    """What a backend holds, read directly, and without the checksum that boto3 would compare."""
    s3 = gateway.backends[place].s3()
    if not any(o["Key"] == key for o in s3.list_objects_v2(Bucket=physical, Prefix=key).get("Contents", [])):
        return None
    with urllib.request.urlopen(s3.generate_presigned_url("get_object", Params={"Bucket": physical, "Key": key}), timeout=30) as answer:
        return answer.read()


def corrupt(gateway, place: str, physical: str, key: str, old: bytes, new: bytes):
    """Changes an object's bytes as a failing disk does: below the server, which goes on to show the old ETag."""
    before = gateway.backends[place].s3().head_object(Bucket=physical, Key=key)["ETag"]
    if gateway.name == "embedded":
        files = [f for f in (gateway.folder.path / "state").rglob("content/*") if place in str(f) and f.is_file() and f.read_bytes() == old]
        assert len(files) == 1, files
        files[0].write_bytes(new)
    else:
        stats = subprocess.run(["radosgw-admin", "-c", gateway.rgw.conf, "bucket", "stats", f"--bucket={physical}"], capture_output=True, check=True, timeout=60, env=clean_environment())
        argv = ["rados", "-c", gateway.rgw.conf, "-p", "default.rgw.buckets.data", "put", f"{json.loads(stats.stdout)['marker']}_{key}", "-"]
        subprocess.run(argv, input=new, capture_output=True, check=True, timeout=60, env=clean_environment())
    assert held(gateway, place, physical, key) == new
    assert gateway.backends[place].s3().head_object(Bucket=physical, Key=key)["ETag"] == before


def test_what_was_lost_or_written_behind_the_gateway_is_found(gateway, s3, bucket):
    keys = fill(gateway, s3, bucket, 5)
    at_home, at_replica = gateway.physical(HOME, keys[0]), gateway.physical(REPLICA, keys[0])
    home, replica = gateway.backends[HOME].s3(), gateway.backends[REPLICA].s3()
    assert walk(gateway, bucket, "reconcile")["findings"] == []

    foreign, adopted = f"{bucket}-foreign", f"{bucket}-adopted ä+%&"
    replica.delete_object(Bucket=at_replica, Key=keys[0])
    replica.put_object(Bucket=at_replica, Key=keys[1], Body=b"forged")
    home.put_object(Bucket=at_home, Key=adopted, Body=b"written past the gateway")
    home.delete_object(Bucket=at_home, Key=keys[2])
    replica.put_object(Bucket=at_replica, Key=foreign, Body=b"somebody's")
    report = walk(gateway, bucket, "reconcile")
    assert found(report) == {
        ("missing", keys[0], REPLICA), ("different", keys[1], REPLICA), ("deleted", keys[2], HOME), ("foreign", foreign, REPLICA),
        ("adopted", adopted, HOME), ("missing", adopted, REPLICA),
    }
    assert (report["marked"], report["deletes"], report["done"]) == (4, 1, 5)
    until(lambda: gateway.idle(bucket), "no key is dirty", 60)
    for key, body in ((keys[0], keys[0].encode()), (keys[1], keys[1].encode()), (adopted, b"written past the gateway"), (keys[2], None)):
        assert held(gateway, REPLICA, at_replica, key) == body, key
    assert s3.get_object(Bucket=bucket, Key=adopted)["Body"].read() == b"written past the gateway"
    # Nobody has marked it, nobody deletes it, and it is told of each time.
    assert held(gateway, REPLICA, at_replica, foreign) == b"somebody's"
    assert found(walk(gateway, bucket, "reconcile")) == {("foreign", foreign, REPLICA)}
    shown = gateway.admin("walk", "show", report["id"])
    assert "foreign" in shown and foreign in shown
    assert report["id"] in gateway.admin("walk", "list", "--tenant", "acme", "--bucket", bucket)


def test_corrupt_bytes_at_a_replica_are_found_by_reading_and_written_anew(gateway, s3, bucket):
    (key, *_), large = fill(gateway, s3, bucket, 2), f"{bucket}-large"
    parts, upload = [payload(5 * MIB, "walk"), b"the end"], s3.create_multipart_upload(Bucket=bucket, Key=large)["UploadId"]
    sent = [s3.upload_part(Bucket=bucket, Key=large, UploadId=upload, PartNumber=n, Body=part)["ETag"] for n, part in enumerate(parts, 1)]
    s3.complete_multipart_upload(Bucket=bucket, Key=large, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": n, "ETag": e} for n, e in enumerate(sent, 1)]})
    until(lambda: gateway.idle(bucket), "no key is dirty", 60)
    assert walk(gateway, bucket, "deep")["findings"] == []
    physical, good = gateway.physical(REPLICA, key), key.encode()
    corrupt(gateway, REPLICA, physical, key, good, b"?" * len(good))
    assert walk(gateway, bucket, "reconcile")["findings"] == [], "no listing can tell"
    report = walk(gateway, bucket, "deep")
    assert found(report) == {("corrupt", key, REPLICA)} and report["marked"] == 1
    until(lambda: gateway.idle(bucket), "no key is dirty", 60)
    assert held(gateway, REPLICA, physical, key) == good
    assert walk(gateway, bucket, "deep")["findings"] == []


def test_much_that_is_gone_waits_for_an_operator(gateway, s3, bucket):
    keys = fill(gateway, s3, bucket, 120)
    at_home, at_replica = gateway.physical(HOME, keys[0]), gateway.physical(REPLICA, keys[0])
    gateway.backends[HOME].s3().delete_objects(Bucket=at_home, Delete={"Objects": [{"Key": key} for key in keys[:110]]})
    guarded = reach(gateway, begin(gateway, bucket, "reconcile"), "guarded")
    assert "110 keys or more of 120" in guarded["note"] and guarded["marked"] == 0, guarded
    assert gateway.is_clean() and held(gateway, REPLICA, at_replica, keys[0])
    gateway.admin("walk", "approve", guarded["id"])
    assert reach(gateway, guarded["id"], "done")["deletes"] == 110
    until(lambda: gateway.idle(bucket), "no key is dirty", 90)
    left = gateway.backends[REPLICA].s3().list_objects_v2(Bucket=at_replica)["Contents"]
    assert [o["Key"] for o in left] == keys[110:]


def test_a_home_that_lists_nothing_is_not_taken_at_its_word(gateway, s3, bucket):
    keys = fill(gateway, s3, bucket, 3)
    at_home, at_replica = gateway.physical(HOME, keys[0]), gateway.physical(REPLICA, keys[0])
    gateway.backends[HOME].s3().delete_objects(Bucket=at_home, Delete={"Objects": [{"Key": key} for key in keys]})
    id = begin(gateway, bucket, "reconcile")
    until(lambda: "lists nothing" in show(gateway, id)["note"], "it says why it waits", 30)
    assert gateway.is_clean() and held(gateway, REPLICA, at_replica, keys[0])
    gateway.admin("walk", "cancel", id)
    assert show(gateway, id)["state"] == "cancelled" and held(gateway, REPLICA, at_replica, keys[0])
    assert gateway.api("POST", f"/v1/walks/{id}/approve")[0] == 409


def test_a_walk_outlives_a_killed_worker_and_scans_nothing_twice(gateway, s3, bucket):
    fill(gateway, s3, bucket, 60)
    id = begin(gateway, bucket, "backfill", "--rate", "6")
    until(lambda: show(gateway, id)["done"] >= 12, "some steps are taken", 60)
    seen = show(gateway, id)
    assert seen["eta"] and seen["done"] < 60 and seen["total"] == 60, seen
    gateway.kill_workers()
    gateway.start_workers()
    until(lambda: show(gateway, id)["done"] > seen["done"], "it goes on", 60)
    report = reach(gateway, id, "done")
    assert (report["done"], report["marked"]) == (60, 60), "a walk that had begun anew would have seen more"


def test_a_walk_waits_for_its_home(gateway, s3, bucket):
    fill(gateway, s3, bucket, 40)
    id = begin(gateway, bucket, "reconcile", "--rate", "6")
    until(lambda: show(gateway, id)["done"] > 0, "a step is taken", 60)
    gateway.stop_backend(HOME)
    try:
        waiting = reach(gateway, id, "waiting")
        assert HOME in waiting["note"] and waiting["done"] < 40, waiting
    finally:
        gateway.start_backend(HOME)
    report = reach(gateway, id, "done", 120)
    assert (report["done"], report["marked"], report["findings"]) == (40, 0, [])


def test_a_cancelled_walk_stops(gateway, s3, bucket):
    fill(gateway, s3, bucket, 20)
    id = begin(gateway, bucket, "backfill", "--rate", "2")
    until(lambda: show(gateway, id)["done"] > 0, "a step is taken", 60)
    gateway.admin("walk", "cancel", id)
    # The next of its kind begins only when this one has ended.
    assert walk(gateway, bucket, "backfill")["done"] == 20
    assert show(gateway, id)["state"] == "cancelled" and show(gateway, id)["done"] < 20
    for method, path in (("GET", "/v1/walks/nothing"), ("POST", f"/v1/walks/{uuid.uuid4()}/cancel")):
        assert gateway.api(method, path)[0] == 404
    assert gateway.api("POST", f"/v1/tenants/acme/buckets/{bucket}/walks", {"kind": "stroll"})[0] == 422


def test_a_changed_replica_count_brings_copies_in_and_out(gateway, s3, bucket):
    keys = fill(gateway, s3, bucket, 8)
    physical = gateway.physical(REPLICA, keys[0])
    for count, bodies in (("1", [None] * 8), ("2", [key.encode() for key in keys])):
        gateway.admin("bucket", "replica-count", "acme", bucket, count)
        (newest, *_) = gateway.call("GET", f"/v1/walks?tenant=acme&bucket={bucket}")["walks"]
        assert newest["kind"] == "backfill" and "replica count" in newest["reason"]
        assert reach(gateway, newest["id"], "done")["marked"] == 8
        until(lambda: gateway.idle(bucket), "no key is dirty", 60)
        assert [held(gateway, REPLICA, physical, key) for key in keys] == bodies


def test_first_versions_are_marked_though_all_processes_die(gateway, s3, bucket):
    keys = fill(gateway, s3, bucket, 12)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    gateway.kill_proxies()
    gateway.kill_workers()
    gateway.start_proxies()
    if gateway.name == "production":
        gateway.start_workers()
    (walk, *_) = gateway.call("GET", f"/v1/walks?tenant=acme&bucket={bucket}")["walks"]
    assert walk["kind"] == "backfill" and reach(gateway, walk["id"], "done", 200)["marked"] == 12
    until(lambda: gateway.idle(bucket), "no key is dirty", 60)
    for key in keys:
        assert gateway.copies("acme", bucket, key)["versions"] == [{"backend": REPLICA, "held": 1}], key
