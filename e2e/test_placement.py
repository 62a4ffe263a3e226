"""Where objects land: hashed buckets at the asked places, converged to the replicas, refused where a policy says no, readable when the home is away."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import uuid
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError
from minio import Minio

from clients import MIB, create_bucket, fails, md5, payload, read, sha256
from gateway import DENIED, HOME, REPLICA
from processes import until
from raw import host_of


@pytest.fixture
def s3(gateway):
    return gateway.target().s3()


def name() -> str:
    return f"place-{uuid.uuid4().hex[:10]}"


def held(gateway, place: str, key: str) -> dict[str, bytes]:
    """Buckets on a backend that hold the key, with its bytes."""

    def read_there(s3, bucket: str) -> list[bytes]:
        try:
            return [s3.get_object(Bucket=bucket, Key=key)["Body"].read()]
        except s3.exceptions.NoSuchKey:
            return []

    return {bucket: body for bucket, (body,) in gateway.backends[place].holding(read_there).items()}


def test_an_object_lands_in_a_hashed_bucket_and_is_converged(gateway, s3):
    bucket, key, data = name(), f"object-{uuid.uuid4().hex}", payload(300_000, "placed")
    create_bucket(s3, bucket, f"{HOME},{REPLICA}")
    s3.put_object(Bucket=bucket, Key=key, Body=data, ContentType="text/x-placed", Metadata={"a": "1"})
    at_home = held(gateway, HOME, key)
    assert [sha256(b) for b in at_home.values()] == [sha256(data)]
    (physical,) = at_home
    assert physical == proposed(gateway, "acme", HOME, bucket)
    until(lambda: [sha256(b) for b in held(gateway, REPLICA, key).values()] == [sha256(data)], f"a copy in {REPLICA}", 20)
    (replica,) = held(gateway, REPLICA, key)
    head = gateway.backends[REPLICA].s3().head_object(Bucket=replica, Key=key)
    assert head["ContentType"] == "text/x-placed" and head["Metadata"] == {"a": "1"} and head["ETag"] == f'"{md5(data)}"'
    assert not held(gateway, DENIED, key)
    until(lambda: gateway.copies("acme", bucket, key)["state"] == "clean", "the copies are recorded as clean", 10)
    copies = gateway.copies("acme", bucket, key)
    assert {c["backend"] for c in copies["copies"]} == {HOME, REPLICA} and copies["home"] == HOME
    shown = gateway.admin("object", "copies", "acme", bucket, key)
    assert HOME in shown and REPLICA in shown


def test_overwrite_metadata_tags_and_delete_are_converged(gateway, s3):
    bucket, key = name(), f"object-{uuid.uuid4().hex}"
    create_bucket(s3, bucket, f"{HOME},{REPLICA}")
    replica = gateway.backends[REPLICA].s3()
    s3.put_object(Bucket=bucket, Key=key, Body=b"one")
    until(lambda: list(held(gateway, REPLICA, key).values()) == [b"one"], "the first version", 20)
    s3.put_object(Bucket=bucket, Key=key, Body=b"two")
    until(lambda: list(held(gateway, REPLICA, key).values()) == [b"two"], "the overwrite", 20)
    s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": key}, MetadataDirective="REPLACE", Metadata={"m": "1"})
    (physical,) = held(gateway, REPLICA, key)
    until(lambda: replica.head_object(Bucket=physical, Key=key)["Metadata"] == {"m": "1"}, "the metadata", 20)
    s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": [{"Key": "t", "Value": "1"}]})
    if gateway.name == "production":
        until(lambda: replica.get_object_tagging(Bucket=physical, Key=key).get("TagSet") == [{"Key": "t", "Value": "1"}], "the tags", 20)
    s3.delete_object(Bucket=bucket, Key=key)
    until(lambda: not held(gateway, REPLICA, key), "the delete", 20)
    assert not held(gateway, HOME, key)


def test_a_multipart_object_has_the_same_etag_from_its_replica(gateway, s3):
    """Where a backend cannot give part boundaries back, its own ETag may differ; what the client sees may not."""
    bucket, key = name(), f"object-{uuid.uuid4().hex}"
    create_bucket(s3, bucket, f"{HOME},{REPLICA}")
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    pieces = [payload(6 * MIB, 1), payload(5 * MIB, 2), payload(100, 3)]
    etags = [s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=n, Body=p)["ETag"] for n, p in enumerate(pieces, 1)]
    done = s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": n, "ETag": e} for n, e in enumerate(etags, 1)]})
    whole = b"".join(pieces)
    until(lambda: [sha256(b) for b in held(gateway, REPLICA, key).values()] == [sha256(whole)], "the copy", 40)
    until(lambda: gateway.idle(bucket), "the queue is empty", 20)
    seen = s3.head_object(Bucket=bucket, Key=key)
    assert seen["ETag"].endswith('-3"') and done["ETag"] == seen["ETag"]
    gateway.stop_backend(HOME)
    got = until(lambda: s3.get_object(Bucket=bucket, Key=key), "the replica serves it", 20)
    assert got["ETag"] == seen["ETag"] and sha256(got["Body"].read()) == sha256(whole)
    assert s3.get_object(Bucket=bucket, Key=key, IfMatch=seen["ETag"])["ContentLength"] == len(whole)
    assert fails(s3.get_object, Bucket=bucket, Key=key, IfNoneMatch=seen["ETag"])[0] == 304


def test_default_placement(gateway, s3):
    bucket, key = name(), f"object-{uuid.uuid4().hex}"
    create_bucket(s3, bucket, "")
    s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert held(gateway, HOME, key)
    until(lambda: held(gateway, REPLICA, key), "the default replica", 20)


def test_other_home(gateway, s3):
    bucket, key = name(), f"object-{uuid.uuid4().hex}"
    create_bucket(s3, bucket, f"{REPLICA},{HOME}")
    assert location(gateway, bucket) == f"{REPLICA},{HOME}"
    s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert held(gateway, REPLICA, key)
    until(lambda: held(gateway, HOME, key), "the replica", 20)


def location(gateway, bucket: str) -> str:
    """The places that were asked for. GetBucketLocation does not tell them: clients sign for what it says."""
    return gateway.call("GET", f"/v1/tenants/acme/buckets/{bucket}")["location"]


@pytest.mark.parametrize("places", [HOME, f"{HOME},{REPLICA}", ""])
def test_a_client_that_asks_for_the_region_signs_for_what_it_is_told(gateway, s3, places):
    """minio-py does where it is given none, as does what is built on minio-go."""
    target = gateway.target()
    bucket = target.make_bucket("asked", places, s3=s3)
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    client = Minio(host_of(target.endpoint), access_key=target.access_key, secret_key=target.secret_key, secure=False)
    client.put_object(bucket, "k", io.BytesIO(b"x"), 1)
    with client.get_object(bucket, "k") as got:
        assert got.read() == b"x"
    assert [o.object_name for o in client.list_objects(bucket)] == ["k"]
    client.remove_object(bucket, "k")
    client.remove_bucket(bucket)


def test_a_head_that_is_signed_for_a_wrong_region_is_told_the_right_one(gateway, s3):
    """boto3 asks again, signed for that: of an answer to HEAD it reads the header alone."""
    target = gateway.target()
    bucket = target.make_bucket("redirected", HOME, s3=s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    elsewhere = dataclasses.replace(target, region="eu-nowhere-1").s3()
    assert elsewhere.head_object(Bucket=bucket, Key="k")["ContentLength"] == 1
    assert elsewhere.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"


def test_replica_count_tag(gateway, s3):
    """`replica-count` 1 keeps one copy; more than the placement gives is refused when it is set."""
    bucket = name()
    create_bucket(s3, bucket, f"{HOME},{REPLICA}")
    one, two = f"one-{uuid.uuid4().hex}", f"two-{uuid.uuid4().hex}"
    s3.put_object(Bucket=bucket, Key=one, Body=b"1", Tagging="replica-count=1")
    s3.put_object(Bucket=bucket, Key=two, Body=b"2", Tagging="replica-count=2")
    until(lambda: held(gateway, REPLICA, two), "two copies where two are asked", 20)
    until(lambda: gateway.idle(bucket), "the queue is empty", 20)
    assert not held(gateway, REPLICA, one), "one copy was asked"
    s3.put_object_tagging(Bucket=bucket, Key=one, Tagging={"TagSet": [{"Key": "replica-count", "Value": "2"}]})
    until(lambda: held(gateway, REPLICA, one), "a raised count is converged", 20)


@pytest.mark.parametrize("value", ["0", "-1", "1e9", "NaN", "2.5", " 2", "٢", "", "3", "18446744073709551616"])
def test_TR_17_TR_18_replica_count_out_of_range(gateway, s3, value):
    bucket = gateway.target().make_bucket("count", f"{HOME},{REPLICA}", s3=s3)
    assert fails(s3.put_object, Bucket=bucket, Key="k", Body=b"x", Tagging=f"replica-count={quote(value)}")[0] == 400
    assert fails(s3.head_object, Bucket=bucket, Key="k")[0] == 404
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert fails(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "replica-count", "Value": value}]})[0] == 400
    assert fails(s3.create_multipart_upload, Bucket=bucket, Key="m", Tagging=f"replica-count={quote(value)}")[0] == 400


@pytest.mark.parametrize("location", [DENIED, f"{HOME},{DENIED}", f"{DENIED},{HOME}", "US", "us-iad-1", f"{HOME},{REPLICA},us"])
def test_a_denied_place_is_refused_with_its_rule(gateway, s3, location):
    bucket = name()
    with pytest.raises(ClientError) as refused:
        create_bucket(s3, bucket, location)
    error = refused.value.response["Error"]
    assert error["Code"] == "AccessDenied" and refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert "jurisdiction" in error["Message"].lower(), f"the message does not say which rule: {error['Message']}"
    assert fails(s3.head_bucket, Bucket=bucket)[0] == 404
    for place in (HOME, REPLICA, DENIED):
        assert proposed(gateway, "acme", place, bucket) not in gateway.backends[place].buckets(), f"a physical bucket was made at {place}"


def proposed(gateway, tenant: str, place: str, bucket: str) -> str:
    """The hashed name by the design's formula, computed here anew."""
    tenant_id = gateway.call("GET", f"/v1/tenants/{tenant}")["id"]
    digest = hashlib.sha256(f"{tenant_id}:{place}:{bucket}:{place}:0".encode()).hexdigest()  # region and backend id are the same word here
    return f"s3gw-{digest[:16]}-{place[:8].rstrip('-')}"


def test_the_other_tenant_may_use_the_place(gateway):
    s3 = gateway.target("globex").s3()
    bucket, key = name(), f"object-{uuid.uuid4().hex}"
    create_bucket(s3, bucket, DENIED)
    s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert held(gateway, DENIED, key)
    s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_bucket(Bucket=bucket)


@pytest.mark.parametrize(
    "location",
    ["mars", f"{HOME},,de", f"{HOME},{HOME}", f",{HOME}", f"{HOME},", "../", "http://127.0.0.1:1/", "a" * 5000, ",".join(f"p{n}" for n in range(1000)), f"{HOME},mars", " ", "fi hel"],
    ids=lambda v: ascii(v[:20]),
)
def test_TR_20_an_unknown_place_is_refused(gateway, s3, location):
    bucket = name()
    assert fails(create_bucket, s3, bucket, location) in [(400, "InvalidLocationConstraint"), (400, "MalformedXML")]
    assert fails(s3.head_bucket, Bucket=bucket)[0] == 404


@pytest.mark.parametrize("location", ["FI", "fi", "FI-HEL", "fi-hel-1", "EU", f"{HOME},{REPLICA}"])
def test_places_by_any_of_their_names(gateway, s3, location):
    bucket, key = name(), f"object-{uuid.uuid4().hex}"
    create_bucket(s3, bucket, location)
    s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert held(gateway, HOME, key)
    s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_bucket(Bucket=bucket)


def test_RE_01_a_copy_does_not_cross_the_border(gateway, s3):
    """The source's policy holds for its bytes wherever they are copied, and for the replicas of the destination too."""
    source = gateway.target().make_bucket("border-from", HOME, s3=s3)
    s3.put_object(Bucket=source, Key="k", Body=payload(6 * MIB, "border"))
    gateway.call("PUT", f"/v1/tenants/acme/buckets/{source}/policy", {"allow": {"countries": ["FI"]}})
    inside = gateway.target().make_bucket("border-in", HOME, s3=s3)
    copy = {"Bucket": source, "Key": "k"}
    until(lambda: s3.copy_object(Bucket=inside, Key="k", CopySource=copy), "a copy within the country", 15)
    for location in (REPLICA, f"{HOME},{REPLICA}"):
        outside = gateway.target().make_bucket("border-out", location, s3=s3)
        until(lambda: fails(s3.copy_object, Bucket=outside, Key="k", CopySource=copy)[1] == "AccessDenied", f"the copy to {location} is refused", 15)
        key = f"part-{uuid.uuid4().hex}"
        upload = s3.create_multipart_upload(Bucket=outside, Key=key)["UploadId"]
        part = {"Bucket": outside, "Key": key, "UploadId": upload, "PartNumber": 1, "CopySource": copy}
        assert fails(s3.upload_part_copy, **part) == (403, "AccessDenied")


def test_a_policy_that_tightens_stops_writes_soon(gateway, s3):
    bucket = gateway.target().make_bucket("tighten", f"{HOME},{REPLICA}", s3=s3)
    s3.put_object(Bucket=bucket, Key="before", Body=b"x")
    gateway.call("PUT", f"/v1/tenants/acme/buckets/{bucket}/policy", {"deny": {"countries": ["FI"]}})
    denied = (403, "AccessDenied")
    proxies = gateway.through_each_proxy()
    until(lambda: all(outcome(p.put_object, Bucket=bucket, Key="after", Body=b"x") == denied for p in proxies), "every proxy refuses", 15)


def test_RE_02_an_upload_ends_where_the_policy_tightens(gateway, s3):
    """What was begun in a place that has been denied since neither grows nor is completed there."""
    bucket = gateway.target().make_bucket("begun", HOME, s3=s3)
    upload = {"Bucket": bucket, "Key": "begun", "UploadId": s3.create_multipart_upload(Bucket=bucket, Key="begun")["UploadId"]}
    parts = [{"PartNumber": n, "ETag": s3.upload_part(**upload, PartNumber=n, Body=payload(5 * MIB, str(n)))["ETag"]} for n in (1, 2)]
    gateway.call("PUT", f"/v1/tenants/acme/buckets/{bucket}/policy", {"deny": {"countries": ["FI"]}})
    denied = (403, "AccessDenied")
    proxies = gateway.through_each_proxy()
    until(lambda: all(outcome(p.upload_part, **upload, PartNumber=3, Body=b"x") == denied for p in proxies), "every proxy refuses a part", 15)
    assert all(outcome(p.complete_multipart_upload, **upload, MultipartUpload={"Parts": parts}) == denied for p in proxies)
    gateway.call("PUT", f"/v1/tenants/acme/buckets/{bucket}/policy", {})
    until(lambda: fails(s3.head_object, Bucket=bucket, Key="begun")[0] == 404, "nothing was completed", 15)


def test_RE_08_no_words_of_a_client_move_an_object(gateway, s3):
    """Metadata, tags and a second constraint say nothing about where an object may be."""
    bucket, key = gateway.target().make_bucket("words", HOME, s3=s3), f"words-{uuid.uuid4().hex}"
    s3.put_object(Bucket=bucket, Key=key, Body=b"x", Metadata={"residency": DENIED, "placement": DENIED}, Tagging=f"placement={DENIED}&residency={DENIED}&location={DENIED}")
    assert fails(create_bucket, s3, bucket, DENIED)[1] in ("AccessDenied", "BucketAlreadyOwnedByYou")
    s3.put_object(Bucket=bucket, Key=key, Body=b"y")
    until(lambda: gateway.idle(bucket), "all is converged", 20)
    assert held(gateway, HOME, key) and not held(gateway, DENIED, key)
    assert location(gateway, bucket) == HOME


def outcome(call, **kwargs):
    try:
        return call(**kwargs)["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


def test_deleted_bucket_leaves_no_physical_bucket(gateway, s3):
    bucket, key = name(), f"object-{uuid.uuid4().hex}"
    create_bucket(s3, bucket, f"{HOME},{REPLICA}")
    s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    until(lambda: held(gateway, REPLICA, key), "the copy", 20)
    names = {p: next(iter(held(gateway, p, key))) for p in (HOME, REPLICA)}
    s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_bucket(Bucket=bucket)
    for place, physical in names.items():
        gone = lambda: physical not in gateway.backends[place].buckets()  # noqa: B023, E731
        until(gone, f"{place} drops the bucket", 30)


def test_reads_go_on_without_the_home(gateway, s3):
    """The whole story of the README: the home is switched off, a clean key is read, a write is refused, a dirty key is not served stale."""
    bucket = name()
    create_bucket(s3, bucket, f"{HOME},{REPLICA}")
    clean, dirty, data = f"clean-{uuid.uuid4().hex}", f"dirty-{uuid.uuid4().hex}", payload(200_000, "failover")
    s3.put_object(Bucket=bucket, Key=clean, Body=data, ContentType="text/x-clean")
    s3.put_object(Bucket=bucket, Key=dirty, Body=b"old")
    until(lambda: held(gateway, REPLICA, dirty) and held(gateway, REPLICA, clean), "both copies", 20)
    until(lambda: gateway.idle(bucket), "the queue is empty", 20)
    gateway.stop_backend(REPLICA)  # so that the next write cannot be converged
    try:
        s3.put_object(Bucket=bucket, Key=dirty, Body=b"new")
        gateway.stop_backend(HOME)
        # A copy under way has the home's bytes already, and would be made as soon as the replica is back.
        until(lambda: gateway.depth()["claimed"] == 0, "no worker is at work", 60)
        gateway.start_backend(REPLICA)
        until(lambda: read(s3, bucket, clean) == data, "the clean key is served by the replica", 20)
        for _ in range(3):
            got = s3.get_object(Bucket=bucket, Key=clean)
            assert got["ContentType"] == "text/x-clean" and got["ETag"] == f'"{md5(data)}"' and got["Body"].read() == data
            assert s3.head_object(Bucket=bucket, Key=clean)["ContentLength"] == len(data)
            assert read(s3, bucket, clean, Range="bytes=10-19") == data[10:20]
            status, code = fails(s3.get_object, Bucket=bucket, Key=dirty)
            assert (status, code) in ((503, "ServiceUnavailable"), (503, "SlowDown")), (status, code)
        assert fails(s3.put_object, Bucket=bucket, Key="refused", Body=b"x")[0] in (500, 503)
        assert fails(s3.get_object, Bucket=bucket, Key="never-there")[0] in (404, 503)
    finally:
        gateway.start_backend(HOME)
    until(lambda: read(s3, bucket, dirty) == b"new", "the home is back", 20)
    until(lambda: list(held(gateway, REPLICA, dirty).values()) == [b"new"], "the dirty key is converged", 90)


def test_RE_06_an_acknowledged_delete_is_not_seen_again_on_failover(gateway, s3):
    bucket, key = name(), f"deleted-{uuid.uuid4().hex}"
    create_bucket(s3, bucket, f"{HOME},{REPLICA}")
    s3.put_object(Bucket=bucket, Key=key, Body=b"old")
    until(lambda: held(gateway, REPLICA, key), "the copy", 20)
    until(lambda: gateway.idle(bucket), "the queue is empty", 20)
    gateway.stop_backend(REPLICA)
    try:
        s3.delete_object(Bucket=bucket, Key=key)
        gateway.stop_backend(HOME)
        gateway.start_backend(REPLICA)
        for _ in range(10):
            assert fails(s3.get_object, Bucket=bucket, Key=key)[0] in (500, 503)
    finally:
        gateway.start_backend(HOME)
    until(lambda: not held(gateway, REPLICA, key), "the delete is converged", 40)
    assert fails(s3.get_object, Bucket=bucket, Key=key) == (404, "NoSuchKey")


@pytest.mark.shape("production")
def test_a_remote_backend_cannot_be_switched_off(gateway):
    shown = gateway.admin("backend", "stop", HOME, check=False)
    assert "does not run inside this process" in shown


def test_a_refusal_is_explained(gateway):
    explained = gateway.call("GET", "/v1/explain?tenant=acme")
    assert DENIED in str(explained) and "jurisdiction" in str(explained).lower()
