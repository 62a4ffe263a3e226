"""Placements that change under a bucket's feet: a replica more, a replica less, a backend retired, a policy that tightens; what is let go is proven gone."""

from __future__ import annotations

import json
import uuid
from datetime import datetime

import pytest
from botocore.exceptions import ClientError

from checker import Ledger
from clients import create_bucket, fails, md5, payload
from gateway import DENIED, HOME, REPLICA, SPARE, Backend, Gateway
from processes import until
from test_faults import clients_writing, wait_for_writes
from test_promotion import Timed, history
from test_versions import versioned

KEYS = 40
"""Enough for several looks, few enough for a busy machine."""


@pytest.fixture
def s3(gateway):
    return gateway.target("globex").s3()


def filled(s3, location: str, count: int = KEYS) -> tuple[str, dict[str, bytes]]:
    """A bucket of the tenant that may be everywhere, and what was put into it."""
    bucket, run = f"change-{uuid.uuid4().hex[:10]}", uuid.uuid4().hex[:8]
    create_bucket(s3, bucket, location)
    bodies = {f"{run}/{n:03}": payload(1_000 + n, f"{run}{n}") for n in range(count)}
    for key, body in bodies.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    return bucket, bodies


def mapping(gateway: Gateway, bucket: str, tenant: str = "globex") -> dict[str, dict]:
    return {m["backend"]: m for m in gateway.call("GET", f"/v1/tenants/{tenant}/buckets/{bucket}")["mapping"]}


def at(gateway: Gateway, backend: str, physical: str) -> dict[str, str]:
    """Keys and ETags that a physical bucket really lists; nothing where it is not there."""
    s3 = gateway.backends[backend].s3()
    try:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=physical)
        return {o["Key"]: o["ETag"] for page in pages for o in page.get("Contents", [])}
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":
            return {}
        raise


def etags(bodies: dict[str, bytes]) -> dict[str, str]:
    return {key: f'"{md5(body)}"' for key, body in bodies.items()}


def drains(gateway: Gateway, bucket: str, tenant: str = "globex") -> list[dict]:
    return json.loads(gateway.admin("--json", "drains", "--tenant", tenant, "--bucket", bucket))["drains"]


def is_gone(gateway: Gateway, bucket: str, backend: str, physical: str, tenant: str = "globex") -> dict:
    """The report of a drain that has ended, once the physical bucket is really not there."""
    report = next(d for d in drains(gateway, bucket, tenant) if d["backend"] == backend)
    assert report["state"] == "gone", report
    assert physical not in gateway.backends[backend].buckets()
    begun, proven, ended = (datetime.fromisoformat(report[name]) for name in ("begun_at", "proven_at", "ended_at"))
    assert begun <= proven <= ended and report["left"] == 0
    return report


def place(gateway: Gateway, bucket: str, locations: str, tenant: str = "globex"):
    return gateway.admin("bucket", "placement", tenant, bucket, locations)


def test_a_replica_is_added_and_filled_and_taken_out_again(gateway, s3):
    bucket, bodies = filled(s3, f"{HOME},{REPLICA}")
    gateway.admin("bucket", "replica-count", "globex", bucket, "2")
    until(lambda: gateway.idle(bucket), "all is converged", 60)
    place(gateway, bucket, f"{HOME},{REPLICA},{DENIED}")
    gateway.admin("bucket", "replica-count", "globex", bucket, "3")
    added = mapping(gateway, bucket)[DENIED]
    assert added["state"] == "active" and added["physical_bucket"].startswith("s3gw-")
    until(lambda: at(gateway, DENIED, added["physical_bucket"]) == etags(bodies), "every key is at the new place", 90)

    gateway.admin("bucket", "replica-count", "globex", bucket, "2")
    removed = mapping(gateway, bucket)[REPLICA]["physical_bucket"]
    shown = place(gateway, bucket, f"{HOME},{DENIED}")
    assert "draining" in shown
    report = until(lambda: is_gone(gateway, bucket, REPLICA, removed), "the replica is gone", 90)
    assert report["reason"] == "placement" and report["keys"] <= KEYS
    assert set(mapping(gateway, bucket)) == {HOME, DENIED}
    assert at(gateway, DENIED, added["physical_bucket"]) == etags(bodies)
    for key, body in bodies.items():
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
    s3.put_object(Bucket=bucket, Key="later", Body=b"later")
    until(lambda: "later" in at(gateway, DENIED, added["physical_bucket"]), "a write goes to the new placement", 30)


def test_what_a_placement_cannot_be_is_said(gateway, s3):
    bucket, _ = filled(s3, f"{HOME},{REPLICA}", 1)
    gateway.admin("bucket", "replica-count", "globex", bucket, "2")
    for locations, want in [
        (f"{REPLICA},{HOME}", "promote"),
        (REPLICA, "promote"),
        (HOME, "replica count first"),
        (f"{HOME},mars", "mars"),
        (f"{HOME},{HOME}", "twice"),
    ]:
        shown = gateway.admin("bucket", "placement", "globex", bucket, locations, check=False)
        assert want in shown and "(422)" in shown, (locations, shown)
    gateway.call("PUT", f"/v1/tenants/globex/buckets/{bucket}/policy", {"deny": {"countries": ["US"]}})
    shown = gateway.admin("bucket", "placement", "globex", bucket, f"{HOME},{REPLICA},{DENIED}", check=False)
    assert "deny.countries" in shown and set(mapping(gateway, bucket)) == {HOME, REPLICA}


def test_a_drain_is_called_off(gateway, s3):
    """A backend that is away holds its drain up; taken back in time, it is a replica as before."""
    bucket, bodies = filled(s3, f"{HOME},{REPLICA},{DENIED}", 5)
    gateway.admin("bucket", "replica-count", "globex", bucket, "3")
    for key in bodies:
        s3.put_object(Bucket=bucket, Key=key, Body=bodies[key])
    physical = mapping(gateway, bucket)[DENIED]["physical_bucket"]
    until(lambda: at(gateway, DENIED, physical) == etags(bodies), "three copies of each", 60)
    gateway.stop_backend(DENIED)
    try:
        gateway.admin("bucket", "replica-count", "globex", bucket, "2")
        place(gateway, bucket, f"{HOME},{REPLICA}")
        assert mapping(gateway, bucket)[DENIED]["state"] == "draining"
        assert next(d for d in drains(gateway, bucket))["state"] == "draining"
        place(gateway, bucket, f"{HOME},{REPLICA},{DENIED}")
        gateway.admin("bucket", "replica-count", "globex", bucket, "3")
    finally:
        gateway.start_backend(DENIED)
    assert mapping(gateway, bucket)[DENIED] == {"backend": DENIED, "physical_bucket": physical, "home": False, "state": "active"}
    assert drains(gateway, bucket)[0]["state"] == "called-off"
    until(lambda: at(gateway, DENIED, physical) == etags(bodies), "all copies are there", 90)


def test_a_key_that_only_the_drained_replica_has_holds_it_back(gateway, s3):
    bucket, bodies = filled(s3, f"{HOME},{REPLICA}", 5)
    gateway.admin("bucket", "replica-count", "globex", bucket, "1")
    physical = mapping(gateway, bucket)[REPLICA]["physical_bucket"]
    direct = gateway.backends[REPLICA].s3()
    until(lambda: gateway.idle(bucket), "all is converged", 60)
    if physical not in gateway.backends[REPLICA].buckets():
        direct.create_bucket(Bucket=physical)
    direct.put_object(Bucket=physical, Key="stray", Body=b"written at the replica")
    place(gateway, bucket, HOME)
    seen = lambda: drains(gateway, bucket)[0]  # noqa: E731
    until(lambda: (seen()["strays"], seen().get("stray"), seen().get("left")) == (1, "stray", 1), "the report names the key", 60)
    assert seen()["state"] == "draining" and direct.get_object(Bucket=physical, Key="stray")["Body"].read() == b"written at the replica"
    direct.delete_object(Bucket=physical, Key="stray")
    until(lambda: is_gone(gateway, bucket, REPLICA, physical), "the replica is gone", 60)
    assert {k: s3.get_object(Bucket=bucket, Key=k)["Body"].read() for k in bodies} == bodies


def test_a_policy_that_tightens_has_the_last_copy_proven_gone(gateway, s3):
    bucket, bodies = filled(s3, f"{HOME},{REPLICA}")
    gateway.admin("bucket", "replica-count", "globex", bucket, "2")
    for key, body in bodies.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    physical = mapping(gateway, bucket)[REPLICA]["physical_bucket"]
    until(lambda: at(gateway, REPLICA, physical) == etags(bodies), "every key is at the replica", 60)
    gateway.call("PUT", f"/v1/tenants/globex/buckets/{bucket}/policy", {"deny": {"countries": ["DE"]}})
    report = until(lambda: is_gone(gateway, bucket, REPLICA, physical), "the forbidden copies are gone", 90)
    assert report["reason"] == "policy" and "reduced from 2 to 1" in report["remark"], report
    assert gateway.call("GET", f"/v1/tenants/globex/buckets/{bucket}")["replica_count"] == 1
    assert {k: s3.get_object(Bucket=bucket, Key=k)["Body"].read() for k in bodies} == bodies


def test_a_home_that_policy_forbids_is_listed_as_promote_first(gateway, s3):
    bucket, _ = filled(s3, f"{HOME},{REPLICA}", 1)
    listed = lambda: bucket in gateway.admin("bucket", "to-promote", "--limit", "1000")  # noqa: E731
    assert not listed()
    gateway.call("PUT", f"/v1/tenants/globex/buckets/{bucket}/policy", {"deny": {"countries": ["FI"]}})
    until(listed, "the bucket is listed", 30)
    assert gateway.call("GET", f"/v1/tenants/globex/buckets/{bucket}")["promote_first"] == "policy"
    gateway.call("PUT", f"/v1/tenants/globex/buckets/{bucket}/policy", {})
    until(lambda: not listed(), "the home may stay", 30)


def test_a_backend_is_retired_and_taken_back(gateway, s3):
    bucket, bodies = filled(s3, f"{HOME},{DENIED}")
    gateway.admin("bucket", "replica-count", "globex", bucket, "2")
    at_home, _ = filled(s3, DENIED, 1)
    for key, body in bodies.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    physical = mapping(gateway, bucket)[DENIED]["physical_bucket"]
    until(lambda: at(gateway, DENIED, physical) == etags(bodies), "every key is at the replica", 60)
    assert "retiring" in gateway.admin("backend", "retire", DENIED)
    try:
        assert fails(create_bucket, s3, f"new-{uuid.uuid4().hex[:8]}", DENIED)[1] == "InvalidLocationConstraint"
        report = until(lambda: is_gone(gateway, bucket, DENIED, physical), "the replica is gone", 90)
        assert report["reason"] == "retired" and f"no other place in {HOME},{DENIED}: copies reduced from 2 to 1" == report["remark"]
        shown = json.loads(gateway.admin("--json", "backend", "show", DENIED))
        assert shown["state"] == "retiring" and shown["buckets"]["home"] >= 1, shown
        assert at_home in gateway.admin("bucket", "to-promote", "--limit", "1000")
        refused = gateway.admin("backend", "remove", DENIED, check=False)
        assert "(409)" in refused
    finally:
        gateway.admin("backend", "unretire", DENIED)
    until(lambda: at_home not in gateway.admin("bucket", "to-promote", "--limit", "1000"), "its homes may stay", 30)
    assert {k: s3.get_object(Bucket=bucket, Key=k)["Body"].read() for k in bodies} == bodies


@pytest.fixture
def spare(gateway):
    """One more backend, with a bucket in it that is not the gateway's."""
    user = gateway.rgw.add_user(SPARE)
    backend = Backend(SPARE, gateway.rgw.endpoint(DENIED), user.access_key, user.secret_key)
    backend.s3().create_bucket(Bucket="not-the-gateways")
    gateway.add_backend(backend, SPARE, quoted_if_match=False)
    try:
        until(lambda: gateway.can_write(SPARE), "every proxy knows the backend", 30)
        yield backend
    finally:
        del gateway.backends[SPARE]


@pytest.mark.shape("production")
def test_a_backend_that_is_home_of_buckets_is_retired_to_its_end(gateway, s3, spare):
    """Its homes are promoted elsewhere, one under clients that write, what it holds is drained, and then it is removed: nothing is lost on the way."""
    written = Timed(gateway, "globex", f"{SPARE},{HOME}")
    wide, in_wide = filled(s3, f"{SPARE},{HOME},{REPLICA}", 10)
    alone, in_alone = filled(s3, SPARE, 5)
    replica, in_replica = filled(s3, f"{HOME},{SPARE}", 10)
    versions = versioned(s3, f"{SPARE},{HOME}")
    for n in range(12):
        s3.put_object(Bucket=versions, Key=f"k{n % 3}", Body=f"{n}".encode())
    s3.delete_object(Bucket=versions, Key="k0")
    in_versions = history(s3, versions)
    assert len(in_versions) == 13
    homes = {written.bucket, wide, alone, versions}
    for bucket in (written.bucket, wide, replica, versions):
        gateway.admin("bucket", "replica-count", "globex", bucket, "2")
    upload = s3.create_multipart_upload(Bucket=wide, Key="left-open")["UploadId"]
    there = {bucket: mapping(gateway, bucket)[SPARE]["physical_bucket"] for bucket in (*homes, replica)}
    until(lambda: at(gateway, SPARE, there[replica]) == etags(in_replica), "every key is at the replica", 60)
    shown = lambda: json.loads(gateway.admin("--json", "backend", "show", SPARE))  # noqa: E731
    to_promote = lambda: {h["bucket"] for h in json.loads(gateway.admin("--json", "bucket", "to-promote", "--limit", "1000"))["buckets"] if h["home"] == SPARE}  # noqa: E731

    with clients_writing(written, 2):
        assert "retiring" in gateway.admin("backend", "retire", SPARE)
        until(lambda: to_promote() == homes, "the buckets that have their home there are listed", 30)
        until(lambda: is_gone(gateway, replica, SPARE, there[replica]), "the replica is gone", 60)
        assert shown()["state"] == "retiring" and shown()["buckets"]["home"] == 4, shown()
        assert "(409)" in gateway.admin("backend", "remove", SPARE, check=False)
        # One that has no replica gets one first.
        place(gateway, alone, f"{SPARE},{HOME}")
        gateway.admin("bucket", "replica-count", "globex", alone, "2")
        until(lambda: at(gateway, HOME, mapping(gateway, alone)[HOME]["physical_bucket"]) == etags(in_alone), "it is filled", 60)
        begun = json.loads(gateway.admin("--json", "bucket", "to-promote", "--begin", "--limit", "1000"))["buckets"]
        assert {home["bucket"]: home.get("to") for home in begun if home["home"] == SPARE} == dict.fromkeys(homes, HOME), begun
        wait_for_writes(written, 20)
        until(lambda: not to_promote(), "its homes are elsewhere", 60)
        until(lambda: shown()["state"] == "retired", "nothing is there any more", 90)

    assert not any(shown()["buckets"].values()), shown()
    assert spare.buckets() == ["not-the-gateways"]
    reports = {bucket: is_gone(gateway, bucket, SPARE, there[bucket]) for bucket in (*homes, replica)}
    assert {report["reason"] for report in reports.values()} == {"retired"}
    assert "reduced" not in reports[wide]["remark"] and all("copies reduced from 2 to 1" in reports[b]["remark"] for b in (written.bucket, alone, replica, versions)), reports
    gateway.admin("backend", "remove", SPARE)
    assert SPARE not in gateway.admin("backend", "list")
    kept = {d["bucket"]: d["state"] for d in json.loads(gateway.admin("--json", "drains", "--backend", SPARE))["drains"]}
    assert kept.items() >= dict.fromkeys((*homes, replica), "gone").items(), kept

    written.places = [HOME]
    written.check()
    assert set(mapping(gateway, wide)) == {HOME, REPLICA} and set(mapping(gateway, alone)) == {HOME}
    until(lambda: at(gateway, REPLICA, mapping(gateway, wide)[REPLICA]["physical_bucket"]) == etags(in_wide), "the third place has the second copy", 60)
    for client in gateway.through_each_proxy("globex"):
        assert history(client, versions) == in_versions, "ids that a backend has given outlive it"
        for bucket, bodies in ((wide, in_wide), (alone, in_alone), (replica, in_replica)):
            assert {k: client.get_object(Bucket=bucket, Key=k)["Body"].read() for k in bodies} == bodies
            client.put_object(Bucket=bucket, Key="later", Body=b"later")
    assert fails(s3.upload_part, Bucket=wide, Key="left-open", UploadId=upload, PartNumber=1, Body=b"x") == (404, "NoSuchUpload")
    assert fails(create_bucket, s3, f"new-{uuid.uuid4().hex[:8]}", SPARE)[1] == "InvalidLocationConstraint"


def test_workers_are_killed_while_a_written_bucket_is_drained(gateway):
    """Clients write all the time, workers die twice, and the checker finds every acknowledged write at the home and none at the place that was left."""
    ledger = Ledger(gateway, "globex", f"{HOME},{REPLICA}")
    physical = mapping(gateway, ledger.bucket)[REPLICA]["physical_bucket"]
    for n in range(KEYS):
        assert ledger.put(ledger.key(f"before/{n}"), payload(2_000, str(n)))
    gateway.admin("bucket", "replica-count", "globex", ledger.bucket, "1")
    gateway.admin("bucket", "replica-count", "globex", ledger.bucket, "2")
    with clients_writing(ledger, 3):
        wait_for_writes(ledger, 20)
        gateway.admin("bucket", "replica-count", "globex", ledger.bucket, "1")
        place(gateway, ledger.bucket, HOME)
        for _ in range(2):
            wait_for_writes(ledger, 10)
            gateway.kill_workers()
            gateway.start_workers()
        wait_for_writes(ledger, 30, 60)
        until(lambda: is_gone(gateway, ledger.bucket, REPLICA, physical), "the replica is gone while clients write", 180)
    ledger.places = [HOME]
    ledger.check(120)
    assert not ledger.states(REPLICA)


def test_a_legacy_bucket_is_adopted_replicated_and_given_back(gateway, s3):
    """What was there before the gateway is served at once, copied to a replica, and stays when the logical bucket goes."""
    legacy, bucket = f"legacy-{uuid.uuid4().hex[:8]}", f"adopted-{uuid.uuid4().hex[:8]}"
    direct = gateway.backends[HOME].s3()
    direct.create_bucket(Bucket=legacy)
    bodies = {f"old/{n:02}": payload(2_000 + n, f"legacy{n}") for n in range(10)}
    for key, body in bodies.items():
        direct.put_object(Bucket=legacy, Key=key, Body=body)
    refused = gateway.admin("bucket", "adopt", "globex", bucket, "--backend", HOME, "--physical", "nobody-has-this", check=False)
    assert "(422)" in refused and "no such bucket" in refused
    gateway.admin("bucket", "adopt", "globex", bucket, "--backend", HOME, "--physical", legacy, "--placement", f"{HOME},{REPLICA}")
    twice = gateway.admin("bucket", "adopt", "acme", f"{bucket}-2", "--backend", HOME, "--physical", legacy, check=False)
    assert "(409)" in twice
    for client in gateway.through_each_proxy("globex"):
        until(lambda: {k: client.get_object(Bucket=bucket, Key=k)["Body"].read() for k in bodies} == bodies, "served at once", 5)  # noqa: B023
    s3.put_object(Bucket=bucket, Key="new", Body=b"through the gateway")
    gateway.admin("bucket", "replica-count", "globex", bucket, "2")
    replica = mapping(gateway, bucket)[REPLICA]["physical_bucket"]
    want = etags(bodies | {"new": b"through the gateway"})
    until(lambda: at(gateway, REPLICA, replica) == want, "the replica has what was there before", 90)
    assert fails(s3.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")
    gateway.admin("bucket", "release", "globex", bucket)
    until(lambda: replica not in gateway.backends[REPLICA].buckets(), "the replica is gone", 60)
    assert at(gateway, HOME, legacy) == want
    gateway.admin("bucket", "adopt", "globex", bucket, "--backend", HOME, "--physical", legacy)
    for key in want:
        s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_bucket(Bucket=bucket)
    assert legacy in gateway.backends[HOME].buckets()
    direct.delete_bucket(Bucket=legacy)
