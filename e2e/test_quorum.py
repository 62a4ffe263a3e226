"""Quorum writes: what is acknowledged is at so many places at that moment, read there past the gateway; what cannot be is 503 and nowhere by half."""

from __future__ import annotations

import concurrent.futures
import contextlib
import signal
import sqlite3
import threading
import time
import urllib.request
import uuid
from urllib.parse import quote

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from checker import Ledger
from clients import MIB, create_bucket, fails, md5, payload, sha256
from gateway import DENIED, HOME, REPLICA, Backend, Gateway, Plain, Solo
from hostile import ACCESS_KEY, CLOSE, HANG, READ, SECRET_KEY, Hostile, answer, etag
from processes import until
from raw import Connection, host_of
from sigv4 import UNSIGNED, Request, authorise

TENANT = "globex"
UNAVAILABLE = (503, "ServiceUnavailable")
EVERYWHERE = f"{HOME},{REPLICA},{DENIED}"


class Bucket:
    """A bucket whose writes wait for so many places, with the eyes of somebody who reads these directly."""

    def __init__(self, gateway: Gateway, quorum: int = 2, location: str = f"{HOME},{REPLICA}", copies: int = 0):
        self.gateway, self.name, self.places = gateway, f"quorum-{uuid.uuid4().hex[:10]}", location.split(",")
        self.s3 = gateway.target(TENANT).s3()
        create_bucket(self.s3, self.name, location)
        gateway.admin("bucket", "replica-count", TENANT, self.name, str(copies or quorum))
        assert f"{quorum}" in gateway.admin("bucket", "write-quorum", TENANT, self.name, str(quorum))
        self.backends = {place: gateway.backends[place].s3() for place in self.places}
        mapping = gateway.call("GET", f"/v1/tenants/{TENANT}/buckets/{self.name}")["mapping"]
        self.physical = {m["backend"]: m["physical_bucket"] for m in mapping}
        until(self.is_known, "every proxy waits for the places", 20)
        until(gateway.is_clean, "nothing is left to do", 20)

    def is_known(self) -> bool:
        """Whether each proxy has heard of the quorum, and each replica has got its bucket by a first write."""
        for s3 in self.gateway.through_each_proxy(TENANT):
            for _ in range(2):
                s3.put_object(Bucket=self.name, Key="first", Body=uuid.uuid4().bytes)
                if sum(self.at(place, "first") == self.at(HOME, "first") for place in self.places) < 2:
                    return False
        return True

    def put(self, key: str, body: bytes, **more):
        return self.s3.put_object(Bucket=self.name, Key=key, Body=body, **more)

    def delete(self, key: str):
        return self.s3.delete_object(Bucket=self.name, Key=key)

    def at(self, place: str, key: str) -> bytes | None:
        try:
            return self.backends[place].get_object(Bucket=self.physical[place], Key=key)["Body"].read()
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            return None

    def everywhere(self, key: str) -> list[bytes | None]:
        return [self.at(place, key) for place in self.places]

    def head(self, place: str, key: str) -> dict:
        return self.backends[place].head_object(Bucket=self.physical[place], Key=key)

    def jobs(self, key: str) -> list[str]:
        jobs = self.gateway.call("GET", f"/v1/jobs?tenant={TENANT}&bucket={self.name}&limit=1000")["jobs"]
        return [job["detail"] for job in jobs if job["key"] == key]

    def is_clean(self, key: str) -> bool:
        return self.gateway.copies(TENANT, self.name, key)["state"] == "clean"

    def request(self, key: str, length: int, **headers: str) -> Request:
        """An upload whose body is sent by hand."""
        request = Request("PUT", f"/{self.name}/{quote(key)}", list(headers.items()))
        request.length = str(length)
        target = self.gateway.direct(TENANT)
        authorise(request, target.signer(), host_of(target.endpoint), UNSIGNED)
        return request


@pytest.fixture(scope="module")
def bucket(shape) -> Bucket:
    return Bucket(shape)


def counted(gateway: Gateway, outcome: str) -> int:
    """Quorum writes of the first proxy that came to this."""
    with urllib.request.urlopen(gateway.admin_endpoint + "/metrics", timeout=10) as got:
        lines = got.read().decode().splitlines()
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if line.startswith("s3gateway_quorum_writes_total{") and f'outcome="{outcome}"' in line)


def test_both_copies_are_there_when_the_put_returns_and_a_worker_finds_nothing_to_do(gateway, bucket):
    streamed = counted(gateway, "streamed")
    s3 = gateway.through_each_proxy(TENANT)[0]
    for n, (size, more) in enumerate([
        (0, {}),
        (1, {"ContentType": "text/plain", "Metadata": {"a": "1"}}),
        (70_000, {"CacheControl": "no-cache", "ContentDisposition": "inline", "ContentLanguage": "fi", "ContentEncoding": "gzip"}),
        (3 * MIB, {"ChecksumAlgorithm": "CRC32", "Tagging": "team=a&b=c"}),
        (9 * MIB, {"ChecksumAlgorithm": "SHA256", "Metadata": {"large": "yes"}}),
    ]):
        key, body = f"put/{n} ä+", payload(size, f"quorum{n}")
        s3.put_object(Bucket=bucket.name, Key=key, Body=body, **more)
        assert bucket.everywhere(key) == [body, body], f"{size} bytes"
        before = {place: bucket.head(place, key)["LastModified"] for place in bucket.places}
        until(lambda k=key: bucket.is_clean(k), "a worker has looked at it", 30)
        assert {place: bucket.head(place, key)["LastModified"] for place in bucket.places} == before
        details = until(lambda k=key: bucket.jobs(k), "its job is in the history", 20)
        assert all(f"{REPLICA} leave" in detail for detail in details), details
    assert counted(gateway, "streamed") >= streamed + 5


@pytest.mark.shape("production")
def test_no_worker_is_needed_for_what_is_streamed(gateway, bucket):
    gateway.kill_workers()
    for n, size in enumerate((0, 10, 200_000, 5 * MIB)):
        body = payload(size, f"alone{n}")
        bucket.put(f"alone/{n}", body)
        assert bucket.everywhere(f"alone/{n}") == [body, body]
    # Its key is dirty, and nobody is there to clean it: so another write of it has to be waited for, in vain.
    assert fails(bucket.put, "alone/1", b"again") == UNAVAILABLE
    assert bucket.at(HOME, "alone/1") == b"again"
    gateway.start_workers()
    until(lambda: bucket.everywhere("alone/1") == [b"again"] * 2 and bucket.is_clean("alone/1"), "it is converged", 60)


def test_an_overwrite_under_the_hands_of_a_worker_is_at_both_places(gateway, bucket):
    """The same keys again and again, by several clients: most find the key dirty, or a worker at it."""
    def overwrite(client: int) -> int:
        s3 = gateway.target(TENANT).s3()
        key = f"hot/{client}"
        for n in range(25):
            body = payload(2_000 + n, f"{client}/{n}")
            s3.put_object(Bucket=bucket.name, Key=key, Body=body)
            assert bucket.everywhere(key) == [body, body], f"{key}, write {n}"
        return n + 1

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(overwrite, range(4))) == [25] * 4


def test_several_writers_of_one_key_leave_it_equal(gateway, bucket):
    bodies = [payload(5_000 + n, f"rival{n}") for n in range(12)]

    def write(body: bytes):
        gateway.target(TENANT).s3().put_object(Bucket=bucket.name, Key="rivals", Body=body)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(write, bodies))
    home, replica = bucket.everywhere("rivals")
    assert home == replica and home in bodies


def test_deletes_copies_tags_and_parts_are_at_both_places_when_they_return(gateway, bucket):
    s3, body = bucket.s3, payload(300_000, "waiting")
    bucket.put("w/source", body)
    s3.copy_object(Bucket=bucket.name, Key="w/copy", CopySource={"Bucket": bucket.name, "Key": "w/source"}, MetadataDirective="REPLACE", Metadata={"m": "1"})
    assert bucket.everywhere("w/copy") == [body, body]
    assert [bucket.head(place, "w/copy")["Metadata"] for place in bucket.places] == [{"m": "1"}] * 2
    s3.put_object_tagging(Bucket=bucket.name, Key="w/copy", Tagging={"TagSet": [{"Key": "t", "Value": "1"}]})
    if gateway.name == "production":
        tags = [bucket.backends[p].get_object_tagging(Bucket=bucket.physical[p], Key="w/copy")["TagSet"] for p in bucket.places]
        assert tags == [[{"Key": "t", "Value": "1"}]] * 2
    upload = s3.create_multipart_upload(Bucket=bucket.name, Key="w/parts")["UploadId"]
    parts = [payload(5 * MIB, "part1"), payload(1_000, "part2")]
    etags = [s3.upload_part(Bucket=bucket.name, Key="w/parts", UploadId=upload, PartNumber=n, Body=p)["ETag"] for n, p in enumerate(parts, 1)]
    s3.complete_multipart_upload(
        Bucket=bucket.name, Key="w/parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": n, "ETag": e} for n, e in enumerate(etags, 1)]}
    )
    assert bucket.everywhere("w/parts") == [b"".join(parts)] * 2
    bucket.delete("w/source")
    assert bucket.everywhere("w/source") == [None, None]
    batch = s3.delete_objects(Bucket=bucket.name, Delete={"Objects": [{"Key": "w/copy"}, {"Key": "w/parts"}, {"Key": "w/never"}]})
    assert len(batch["Deleted"]) == 3 and "Errors" not in batch
    assert [bucket.everywhere(k) for k in ("w/copy", "w/parts")] == [[None, None]] * 2


class Parts:
    """An upload in parts, sent one by one."""

    def __init__(self, bucket: Bucket, key: str, **more):
        self.bucket, self.key = bucket, key
        self.named = {"Bucket": bucket.name, "Key": key}
        self.named["UploadId"] = bucket.s3.create_multipart_upload(**self.named, **more)["UploadId"]
        self.bodies: dict[int, bytes] = {}
        self.etags: dict[int, str] = {}
        self.checksums: dict[int, dict[str, str]] = {}

    def send(self, number: int, body: bytes, **more) -> Parts:
        self.bodies[number] = body
        sent = self.bucket.s3.upload_part(**self.named, PartNumber=number, Body=body, **more)
        self.etags[number] = sent["ETag"]
        self.checksums[number] = {name: value for name, value in sent.items() if name == "ChecksumCRC32" and "ChecksumAlgorithm" in more}
        return self

    def copy(self, number: int, key: str, body: bytes) -> Parts:
        """A part from an object of the bucket, which no client sends."""
        named = {**self.named, "CopySource": {"Bucket": self.bucket.name, "Key": key}, "PartNumber": number}
        self.bodies[number], self.etags[number] = body, self.bucket.s3.upload_part_copy(**named)["CopyPartResult"]["ETag"]
        return self

    def complete(self, **more) -> bytes:
        parts = [{"PartNumber": n, "ETag": e, **self.checksums.get(n, {})} for n, e in sorted(self.etags.items())]
        self.bucket.s3.complete_multipart_upload(**self.named, MultipartUpload={"Parts": parts}, **more)
        return b"".join(body for _, body in sorted(self.bodies.items()))

    def abort(self):
        self.bucket.s3.abort_multipart_upload(**self.named)

    def at(self, place: str) -> list[dict[int, str]]:
        """The key's open uploads at a backend: their parts' ETags by number."""
        s3, named = self.bucket.backends[place], {"Bucket": self.bucket.physical[place]}
        uploads = s3.list_multipart_uploads(**named, Prefix=self.key).get("Uploads", [])
        named["Key"] = self.key
        ids = [upload["UploadId"] for upload in uploads if upload["Key"] == self.key]
        return [{part["PartNumber"]: part["ETag"] for part in s3.list_parts(**named, UploadId=i).get("Parts", [])} for i in ids]


@pytest.mark.shape("production")
def test_parts_are_at_both_places_as_they_are_sent_and_no_worker_is_needed(gateway, bucket):
    streamed, s3 = counted(gateway, "streamed"), gateway.through_each_proxy(TENANT)[0]
    gateway.kill_workers()
    parts = Parts(bucket, "p/alone ä+", ContentType="text/plain", CacheControl="no-cache", Metadata={"a": "1"})
    assert parts.at(REPLICA) == [{}], "it is begun at the replica, too"
    for number, size in ((1, 6 * MIB), (2, 5 * MIB), (7, 1_000)):
        parts.send(number, payload(size, f"part{number}"))
        assert parts.at(HOME) == parts.at(REPLICA) == [parts.etags]
    parts.send(2, payload(5 * MIB + 1, "replaces the one before it"))
    assert parts.at(HOME) == parts.at(REPLICA) == [parts.etags]
    bucket.s3 = s3
    body = parts.complete()
    assert bucket.everywhere(parts.key) == [body, body]
    heads = [bucket.head(place, parts.key) for place in bucket.places]
    assert all(head["ContentType"] == "text/plain" and head["CacheControl"] == "no-cache" and head["Metadata"] == {"a": "1"} for head in heads)
    assert heads[0]["ETag"] == heads[1]["ETag"] and heads[0]["ETag"].endswith('-3"')
    assert counted(gateway, "streamed") == streamed + 1
    assert parts.at(HOME) == parts.at(REPLICA) == []
    gateway.start_workers()
    until(lambda: bucket.is_clean(parts.key), "a worker has looked at it", 60)
    assert [bucket.head(place, parts.key)["LastModified"] for place in bucket.places] == [head["LastModified"] for head in heads]
    details = until(lambda: bucket.jobs(parts.key), "its job is in the history", 20)
    assert all(f"{REPLICA} leave" in detail for detail in details), details


def test_uploads_in_parts_of_every_kind_are_at_both_places_when_they_are_completed(gateway, bucket):
    first, last = payload(5 * MIB, "first"), payload(10, "last")
    plain = Parts(bucket, "p/plain").send(1, first).send(2, last)
    assert bucket.everywhere("p/plain") == [None, None]
    body = plain.complete()
    assert bucket.everywhere("p/plain") == [body] * 2
    tagged = Parts(bucket, "p/tagged", Tagging="t=1").send(1, first)
    body = tagged.complete()
    assert bucket.everywhere("p/tagged") == [body] * 2
    if gateway.name == "production":
        tags = [bucket.backends[p].get_object_tagging(Bucket=bucket.physical[p], Key="p/tagged")["TagSet"] for p in bucket.places]
        assert tags == [[{"Key": "t", "Value": "1"}]] * 2
    checked = Parts(bucket, "p/checked", ChecksumAlgorithm="CRC32").send(1, first, ChecksumAlgorithm="CRC32").send(2, b"", ChecksumAlgorithm="CRC32")
    body = checked.complete()
    assert bucket.everywhere("p/checked") == [body] * 2
    body = Parts(bucket, "p/copied").send(1, first).copy(2, "p/plain", first + last).send(3, last).complete()
    assert bucket.everywhere("p/copied") == [body] * 2
    # Conditions are the home's: a replica is not asked to complete what the home has refused.
    rival = Parts(bucket, "p/plain").send(1, last)
    assert fails(rival.complete, IfNoneMatch="*") == (412, "PreconditionFailed")
    assert bucket.everywhere("p/plain") == [first + last] * 2
    body = rival.complete()
    assert bucket.everywhere("p/plain") == [body] * 2
    empty = Parts(bucket, "p/empty").send(1, b"")
    assert empty.complete() == b"" and bucket.everywhere("p/empty") == [b"", b""]


def test_a_part_of_a_wrong_hash_is_nowhere(gateway, bucket):
    parts, target = Parts(bucket, "p/false").send(1, payload(5 * MIB, "true")), gateway.direct(TENANT)
    request = Request("PUT", f"/{bucket.name}/p/false?partNumber=2&uploadId={quote(parts.named['UploadId'])}", body=payload(200_000, "false"))
    authorise(request, target.signer(), host_of(target.endpoint), sha256(b"something else"))
    with Connection(target.endpoint) as connection:
        connection.send(request.to_bytes())
        assert connection.answer("PUT").status == 400
    assert parts.at(HOME) == parts.at(REPLICA) == [parts.etags]
    body = parts.complete()
    assert bucket.everywhere("p/false") == [body] * 2


def test_an_upload_that_is_aborted_ends_at_both_places(gateway, bucket):
    parts = Parts(bucket, "p/aborted").send(1, payload(5 * MIB, "aborted"))
    kept = Parts(bucket, "p/kept").send(1, payload(5 * MIB, "kept"))
    assert len(parts.at(REPLICA)) == len(kept.at(REPLICA)) == 1
    parts.abort()
    until(lambda: parts.at(HOME) == parts.at(REPLICA) == [], "nothing is left of it", 30)
    assert kept.at(HOME) == kept.at(REPLICA) == [kept.etags]
    body = kept.complete()
    assert bucket.everywhere("p/kept") == [body] * 2


def test_a_worker_leaves_a_clients_upload_alone(gateway, bucket):
    """Another upload of the same key is brought to the replica by a worker meanwhile."""
    parts = Parts(bucket, "p/shared").send(1, payload(5 * MIB, "mine"))
    source = payload(5 * MIB, "source")
    bucket.put("p/source", source)
    body = Parts(bucket, "p/shared").send(1, payload(6 * MIB, "theirs")).copy(2, "p/source", source).complete()
    assert bucket.everywhere("p/shared") == [body] * 2
    until(lambda: bucket.is_clean("p/shared"), "its worker is done", 60)
    until(lambda: parts.at(HOME) == parts.at(REPLICA) == [parts.etags], "only the client's is open", 30)
    awaited = counted(gateway, "awaited")
    body = parts.send(2, b"and more").complete()
    assert bucket.everywhere("p/shared") == [body] * 2
    if gateway.name == "dev":
        assert counted(gateway, "awaited") == awaited, "it was streamed"


def test_a_replica_that_is_lost_in_the_middle_of_an_upload_leaves_the_rest_to_a_worker(gateway, bucket):
    parts = Parts(bucket, "p/middle").send(1, payload(5 * MIB, "before"))
    assert parts.at(REPLICA) == [parts.etags]
    gateway.stop_backend(REPLICA)
    parts.send(2, payload(5 * MIB, "meanwhile"))
    until(lambda: fails(bucket.delete, "p/none") == UNAVAILABLE, "the proxy has seen that it is away", 30)
    assert fails(parts.complete) == UNAVAILABLE, "too few places can hold it"
    assert fails(bucket.s3.create_multipart_upload, Bucket=bucket.name, Key="p/other") == UNAVAILABLE
    gateway.start_backend(REPLICA)
    until(lambda: bucket.put("p/other", b"back"), "writes go on", 40)
    body = until(lambda: parts.send(3, b"after") and parts.complete(), "it is completed", 60)
    assert bucket.everywhere("p/middle") == [body] * 2
    until(lambda: bucket.is_clean("p/middle") and parts.at(HOME) == parts.at(REPLICA) == [], "nothing is left open", 60)


def test_what_is_put_and_deleted_at_once_is_nowhere(gateway, bucket):
    for n in range(10):
        bucket.put(f"brief/{n}", b"brief")
        bucket.delete(f"brief/{n}")
        assert bucket.everywhere(f"brief/{n}") == [None, None]


def test_conditions_hold(gateway, bucket):
    bucket.put("once", b"first", IfNoneMatch="*")
    assert bucket.everywhere("once") == [b"first"] * 2
    assert fails(bucket.put, "once", b"second", IfNoneMatch="*") == (412, "PreconditionFailed")
    assert bucket.everywhere("once") == [b"first"] * 2
    bucket.put("once", b"third", IfMatch=f'"{md5(b"first")}"')
    assert bucket.everywhere("once") == [b"third"] * 2


def test_a_wrong_hash_is_stored_nowhere(gateway, bucket):
    for size in (0, 10, 100_000, 3 * MIB):
        key, target = f"false/{size}", gateway.direct(TENANT)
        request = Request("PUT", f"/{bucket.name}/{key}", body=payload(size, "false"))
        authorise(request, target.signer(), host_of(target.endpoint), sha256(b"something else"))
        with Connection(target.endpoint) as connection:
            connection.send(request.to_bytes())
            got = connection.answer("PUT")
        assert got.status == 400, got
        assert bucket.everywhere(key) == [None, None]


def test_three_of_three_and_two_of_three(gateway):
    """With one place away, three of three take nothing, and two of three go on with the next place."""
    three = Bucket(gateway, 3, EVERYWHERE)
    two = Bucket(gateway, 2, EVERYWHERE, copies=3)
    body = payload(400_000, "three")
    three.put("k", body)
    assert three.everywhere("k") == [body] * 3
    gateway.stop_backend(REPLICA)
    assert fails(three.put, "away", body) == UNAVAILABLE
    two.put("away", body)
    assert (two.at(HOME, "away"), two.at(DENIED, "away")) == (body, body)
    two.put("away", b"again")
    assert (two.at(HOME, "away"), two.at(DENIED, "away")) == (b"again", b"again")
    two.delete("away")
    assert (two.at(HOME, "away"), two.at(DENIED, "away")) == (None, None)

    def brief(n: int):
        """Workers find some of them deleted when they first look at them."""
        two.put(f"brief/{n}", b"brief")
        two.delete(f"brief/{n}")
        assert (two.at(HOME, f"brief/{n}"), two.at(DENIED, f"brief/{n}")) == (None, None)

    with concurrent.futures.ThreadPoolExecutor(24) as clients:
        list(clients.map(brief, range(96)))
    two.put("stays", body)
    assert three.at(HOME, "away") is None and three.at(DENIED, "away") is None
    gateway.start_backend(REPLICA)
    until(lambda: two.everywhere("stays") == [body] * 3 and two.at(REPLICA, "away") is None, "the place has caught up", 60)
    three.put("away", body)
    assert three.everywhere("away") == [body] * 3


def test_a_replica_that_is_away_leaves_nothing_acknowledged(gateway, bucket):
    bucket.put("kept", b"kept")
    until(lambda: bucket.is_clean("kept"), "it is clean", 20)
    gateway.stop_backend(REPLICA)
    unreachable = counted(gateway, "unreachable")
    for _ in range(3):
        assert fails(bucket.put, "away", b"away") == UNAVAILABLE
    assert bucket.at(HOME, "away") is None, "not one byte was asked for"
    with Connection(gateway.direct(TENANT).endpoint) as connection:
        connection.send(bucket.request("away", 1_000, Expect="100-continue").head_bytes())
        got = connection.answer("PUT")
    assert (got.status, got.code, got.interim) == (*UNAVAILABLE, [])
    assert counted(gateway, "unreachable") > unreachable
    until(lambda: fails(bucket.delete, "kept") == UNAVAILABLE, "deletes are refused, too", 30)
    gateway.start_backend(REPLICA)
    until(lambda: bucket.put("away", b"back"), "writes go on", 40)
    assert bucket.everywhere("away") == [b"back"] * 2
    until(lambda: len(set(bucket.everywhere("kept"))) == 1 and bucket.is_clean("kept"), "what was refused is the same everywhere", 60)


def test_a_replica_that_is_lost_in_the_middle_of_a_body(gateway, bucket):
    body = payload(24 * MIB, "middle")
    with Connection(gateway.direct(TENANT).endpoint, timeout=60) as connection:
        connection.send(bucket.request("middle", len(body)).head_bytes() + body[: 8 * MIB])
        gateway.stop_backend(REPLICA)
        connection.send(body[8 * MIB :])
        got = connection.answer("PUT")
    assert (got.status, got.code) == UNAVAILABLE, got
    assert bucket.at(HOME, "middle") is None, "the home has not been sent the end of it either"
    gateway.start_backend(REPLICA)
    until(lambda: bucket.put("middle", body), "the next attempt is taken", 40)
    assert bucket.everywhere("middle") == [body] * 2


def test_a_proxy_that_is_killed_in_the_middle_leaves_nothing_by_half(gateway):
    """Clients write all the time, the proxies are killed and come back; what was acknowledged was at both places then, and is so at the end."""
    bucket = Bucket(gateway)
    stop, acknowledged, wrong = threading.Event(), [0], []
    last: dict[str, bytes] = {}

    def write(client: int):
        s3, n = gateway.target(TENANT).s3(read_timeout=30), 0
        while not stop.is_set():
            n += 1
            key, body = f"kill/{client}/{n % 5}", payload((700, 90_000, 1_500_000)[n % 3], f"{client}/{n}")
            try:
                s3.put_object(Bucket=bucket.name, Key=key, Body=body)
            except (ClientError, BotoCoreError):
                last.pop(key, None)
                stop.wait(0.1)
                continue
            last[key] = body
            acknowledged[0] += 1
            # `dev` takes its backends with it.
            with contextlib.suppress(BotoCoreError):
                if bucket.everywhere(key) != [body, body]:
                    wrong.append((key, n))

    threads = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    for round_ in range(1, 4):
        until(lambda r=round_: acknowledged[0] >= 20 * r, "clients write", 60)
        gateway.kill_proxies()
        gateway.start_proxies()
    until(lambda: acknowledged[0] >= 100, "clients write on", 60)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert not wrong and acknowledged[0] >= 100
    until(lambda: gateway.idle(), "no key is dirty", 120)
    for client in range(4):
        for n in range(5):
            key = f"kill/{client}/{n}"
            home, replica = bucket.everywhere(key)
            assert home == replica, key
            assert key not in last or home == last[key], key


@pytest.mark.timeout(300)
def test_large_bodies_pass_by_without_being_held(gateway, bucket, capsys):
    """Eight bodies of 64 MiB at once, each to two places; `dev` holds the backends as well, so only a proxy alone is measured."""
    body = payload(64 * MIB, "large")
    target = gateway.direct(TENANT)
    process = gateway.proxy_processes()[0]
    before = process.resident_bytes()
    count = 8 if gateway.name == "production" else 2

    def upload(n: int) -> int:
        with Connection(target.endpoint, timeout=200) as connection:
            connection.send(bucket.request(f"large/{n}", len(body)).head_bytes())
            connection.send(body)
            return connection.answer("PUT").status

    done, peak = threading.Event(), [before]

    def watch():
        while not done.wait(0.02):
            peak[0] = max(peak[0], process.resident_bytes())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        statuses = list(pool.map(upload, range(count)))
    done.set()
    watcher.join()
    assert statuses == [200] * count
    for n in range(count):
        assert [b is not None and sha256(b) for b in bucket.everywhere(f"large/{n}")] == [sha256(body)] * 2
        bucket.delete(f"large/{n}")
    with capsys.disabled():
        print(f"\n{count} x 64 MiB to two places: {before / MIB:.0f} MiB before, {peak[0] / MIB:.0f} MiB at most")
    if gateway.name == "production":
        assert peak[0] - before < 60 * MIB


def test_what_a_quorum_cannot_be_is_said(gateway, bucket):
    for quorum, words in [("0", "1 to 2"), ("3", "1 to 2")]:
        assert words in gateway.admin("bucket", "write-quorum", TENANT, bucket.name, quorum, check=False)
    assert "write quorum" in gateway.admin("bucket", "replica-count", TENANT, bucket.name, "1", check=False)
    assert "replica count" in gateway.admin("bucket", "placement", TENANT, bucket.name, HOME, check=False)
    assert fails(bucket.put, "tagged", b"x", Tagging="replica-count=1") == (400, "InvalidTag")
    enabled = {"Status": "Enabled"}
    assert fails(bucket.s3.put_bucket_versioning, Bucket=bucket.name, VersioningConfiguration=enabled) == (409, "OperationAborted")
    versioned = gateway.target(TENANT).make_bucket("quorum-versions", f"{HOME},{REPLICA}")
    gateway.admin("bucket", "replica-count", TENANT, versioned, "2")
    bucket.s3.put_bucket_versioning(Bucket=versioned, VersioningConfiguration=enabled)
    shown = gateway.admin("bucket", "write-quorum", TENANT, versioned, "2", check=False)
    assert "(409)" in shown and "versions" in shown


def test_a_policy_that_takes_a_place_away_does_not_weaken_the_promise(gateway):
    bucket = Bucket(gateway)
    policy = f"/v1/tenants/{TENANT}/buckets/{bucket.name}/policy"
    gateway.call("PUT", policy, {"deny": {"countries": ["DE"]}})

    clients = gateway.through_each_proxy(TENANT)

    def refused() -> str | None:
        key = uuid.uuid4().hex
        return key if all(fails(s3.put_object, Bucket=bucket.name, Key=key, Body=b"k") == UNAVAILABLE for s3 in clients) else None

    assert bucket.everywhere(until(refused, "every proxy refuses writes", 30)) == [None, None]
    gateway.admin("bucket", "write-quorum", TENANT, bucket.name, "1")
    until(lambda: bucket.put("k", b"k"), "the home alone is enough", 20)
    assert bucket.everywhere("k") == [b"k", None]
    gateway.call("PUT", policy, {})


@pytest.mark.shape("production")
def test_without_redis_nothing_is_acknowledged_and_nothing_is_stored(gateway, bucket):
    bucket.put("redis", b"before")
    until(lambda: bucket.is_clean("redis"), "it is clean", 20)
    gateway.redis.kill()
    try:
        for size in (10, 3 * MIB):
            assert fails(bucket.put, "redis", payload(size, "redis")) == UNAVAILABLE
        assert bucket.everywhere("redis") == [b"before"] * 2
    finally:
        gateway.redis.start()
    until(lambda: bucket.put("redis", b"after"), "writes go on", 40)
    assert bucket.everywhere("redis") == [b"after"] * 2


@pytest.mark.shape("plain")
def test_what_is_copied_in_parts_is_waited_for_as_long_as_its_copy_takes(shape):
    """A worker takes longer for the copy than a backend may take for an answer; so does the next one, over it."""
    gateway = Plain('backend_bandwidth_mib = 6\n[proxy.upstream]\nread_timeout = "3s"\n').start()
    try:
        bucket, bodies = Bucket(gateway), [payload(8 * MIB, n) for n in range(4)]
        for n, body in enumerate(bodies):
            bucket.put(f"source/{n}", body)
        for order in ((0, 1, 2, 3), (3, 2, 1, 0)):
            parts = Parts(bucket, "large")
            for number, n in enumerate(order, 1):
                parts.copy(number, f"source/{n}", bodies[n])
            began = time.monotonic()
            body = parts.complete()
            assert time.monotonic() - began > 3
            assert [sha256(held) for held in bucket.everywhere("large")] == [sha256(body)] * 2
    finally:
        gateway.close()


SETTINGS = """
[proxy.upstream]
connect_timeout = "1s"
read_timeout = "2s"
write_timeout = "1s"
probe_interval = "1h"

[proxy.breaker]
# Each case meets the replica itself, not what earlier ones have made of it.
failures = 1000
"""


@pytest.fixture(scope="module")
def siege():
    """A proxy before two scripted backends, and no worker: what is acknowledged was streamed."""
    home, replica = Hostile(), Hostile()
    gateway = Solo(SETTINGS).start()
    for place, hostile in ((HOME, home), (REPLICA, replica)):
        gateway.add_backend(Backend(place, hostile.endpoint, ACCESS_KEY, SECRET_KEY), place, tagging=False, list_uploads=False)
    gateway.add_tenant("acme", "--placement", f"{HOME},{REPLICA}", "--replica-count", "2")
    target = gateway.target()
    bucket = until(lambda: target.make_bucket("siege", f"{HOME},{REPLICA}"), "a first bucket is made", 20)
    gateway.admin("bucket", "write-quorum", "acme", bucket, "2")

    def streams() -> bool:
        key = f"first-{uuid.uuid4().hex}"
        target.s3().put_object(Bucket=bucket, Key=key, Body=b"first")
        return bool(replica.asked("PUT", key))

    until(streams, "writes go to the replica", 20)
    yield gateway, home, replica, target, bucket
    gateway.close()
    home.close()
    replica.close()


BROKEN = answer(200, ("ETag", etag(b"something else")))


@pytest.mark.parametrize("name,script,size", [
    ("refuses", [READ, answer(500)], 100_000),
    ("refuses early", [answer(503)], 3 * MIB),
    ("hangs up at once", [CLOSE], 100_000),
    ("hangs up at the end", [READ, CLOSE], 100_000),
    ("takes it and says nothing", [READ, HANG], 100_000),
    ("stores something else", [READ, BROKEN], 100_000),
    ("keeps nothing of what it acknowledges", [READ, answer(200, ("ETag", etag(payload(100_000, "keeps nothing of what it acknowledges"))))], 100_000),
    ("takes nothing of an empty one", [READ, answer(500)], 0),
], ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "")
def test_a_replica_that_misbehaves_is_never_acknowledged(siege, name, script, size):
    gateway, _, replica, target, bucket = siege
    key = name.replace(" ", "-")
    replica.answers["PUT", key] = script
    started = time.monotonic()
    assert fails(target.s3().put_object, Bucket=bucket, Key=key, Body=payload(size, name)) == UNAVAILABLE
    assert time.monotonic() - started < 10
    assert gateway.depth()["dirty"] and gateway.copies("acme", bucket, key)["state"] != "clean"


def parts_of(target, bucket: str, key: str) -> tuple[dict, list[dict]]:
    """An upload of two parts that is begun: its names, and what is to be completed."""
    s3, named = target.s3(), {"Bucket": bucket, "Key": key}
    named["UploadId"] = s3.create_multipart_upload(**named)["UploadId"]
    return named, [{"PartNumber": n, "ETag": s3.upload_part(**named, PartNumber=n, Body=payload(5 * MIB, n))["ETag"]} for n in (1, 2)]


def assert_not_completed(target, named: dict, parts: list[dict]):
    """A completion that took its time has failed in an answer of status 200, which botocore tells as 500."""
    status, code = fails(target.s3().complete_multipart_upload, **named, MultipartUpload={"Parts": parts})
    assert status in (500, 503) and code == "ServiceUnavailable", (status, code)


def test_parts_are_streamed_past_the_workers(siege):
    _, home, replica, target, bucket = siege

    def stream() -> str:
        # A home that is slow for once is no matter here.
        key = f"honest-{uuid.uuid4().hex}"
        named, parts = parts_of(target, bucket, key)
        target.s3().complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
        return key

    key = until(stream, "an upload is acknowledged", 60)
    bodies = [request.body for backend in (home, replica) for where, request in backend.objects.items() if where[1] == key]
    assert bodies == [payload(5 * MIB, 1) + payload(5 * MIB, 2)] * 2


@pytest.mark.parametrize("name,script", [
    ("refuses a part", [READ, answer(500)]),
    ("refuses a part early", [answer(503)]),
    ("hangs up on a part", [CLOSE]),
    ("hangs up at the end of a part", [READ, CLOSE]),
    ("takes a part and says nothing", [READ, HANG]),
    ("stores another part", [READ, BROKEN]),
], ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "")
def test_a_replica_that_fails_at_a_part_is_left_out_of_the_upload(siege, name, script):
    gateway, home, replica, target, bucket = siege
    key = name.replace(" ", "-")
    replica.answers["PUT", key] = script
    named, parts = parts_of(target, bucket, key)
    assert len(replica.asked("PUT", key)) == 1, "it is not sent the second part"
    assert_not_completed(target, named, parts)
    assert [r.query for r in replica.asked("POST", key)] == [{"uploads": [""]}], "it is not asked to complete"
    assert any(where[1] == key for where in home.objects) and gateway.copies("acme", bucket, key)["state"] != "clean"


@pytest.mark.parametrize("name,script", [
    ("refuses to complete", [READ, answer(500)]),
    ("is asked to slow down", [answer(503, body=b"<Error><Code>SlowDown</Code></Error>")]),
    ("hangs up on a completion", [READ, CLOSE]),
    ("completes and says nothing", [READ, HANG]),
    ("fails after a success", [READ, answer(200, body=b"<Error><Code>InternalError</Code></Error>")]),
    ("completes something else", [READ, answer(200, body=b'<CompleteMultipartUploadResult><ETag>"0-2"</ETag></CompleteMultipartUploadResult>')]),
    ("completes what no HEAD finds", [READ, answer(200, body=b"<CompleteMultipartUploadResult/>")]),
], ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "")
def test_a_replica_that_does_not_complete_is_never_acknowledged(siege, name, script):
    gateway, _, replica, target, bucket = siege
    key = name.replace(" ", "-")
    named, parts = parts_of(target, bucket, key)
    replica.answers["POST", key] = script
    started = time.monotonic()
    assert_not_completed(target, named, parts)
    assert time.monotonic() - started < 10
    assert gateway.copies("acme", bucket, key)["state"] != "clean"


def test_a_replica_completes_nothing_once_something_else_has_come_to_the_key(siege):
    _, home, replica, target, bucket = siege
    named, parts = parts_of(target, bucket, "overtaken")
    asked, go_on = threading.Event(), threading.Event()

    def complete(request):
        asked.set()
        assert go_on.wait(10)
        return answer(200, body=b'<CompleteMultipartUploadResult><ETag>"0-2"</ETag></CompleteMultipartUploadResult>')

    home.answers["POST", "overtaken"] = [READ, complete]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(assert_not_completed, target, named, parts)
        assert asked.wait(10)
        second = pool.submit(fails, target.s3().put_object, Bucket=bucket, Key="overtaken", Body=b"another")
        until(lambda: any(not request.query for request in home.asked("PUT", "overtaken")), "the other write is at the home", 10)
        go_on.set()
        assert second.result(20) == UNAVAILABLE
        first.result(20)
    assert [r.query for r in replica.asked("POST", "overtaken")] == [{"uploads": [""]}]


def late_at(gateway: Solo, place: str) -> set[str]:
    """Keys of which it is noted that something may land there yet."""
    with contextlib.closing(sqlite3.connect(gateway.folder.path / "metadata.db")) as db:
        return {key.decode() for (key,) in db.execute("select object_key from dirty_leases where lease = ?", (f"~{place}",))}


def test_a_completion_that_fails_at_a_replica_is_tried_once_more(siege):
    gateway, _, replica, target, bucket = siege

    acknowledged: dict[int, list[str]] = {1: [], 2: []}

    def attempts(failures: int) -> int:
        """How often the replica is asked to complete what it fails at so often."""
        key, left = f"again-{uuid.uuid4().hex}", [answer(500)] * failures
        named, parts = parts_of(target, bucket, key)
        replica.answers["POST", key] = [READ, lambda request: left.pop() if left else replica._upload(request)]
        with contextlib.suppress(ClientError):
            target.s3().complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
            acknowledged[failures].append(key)
        return len(replica.asked("POST", key)) - 1

    # A home that is slow for once is no matter here: then the replica is not asked.
    until(lambda: attempts(1) == 2 and acknowledged[1], "the second attempt counts", 60)
    until(lambda: attempts(2) == 2, "there is no third", 60)
    assert not acknowledged[2]
    assert set(acknowledged[1]) <= late_at(gateway, REPLICA), "what failed at first may go on there, and land over another write"


def test_a_replica_that_reads_nothing_holds_the_client_back_and_not_the_memory(siege):
    gateway, home, replica, target, bucket = siege
    replica.answers["PUT", "stalled"] = [HANG_UNREAD]
    body = payload(64 * MIB, "stalled")
    before = gateway.process.resident_bytes()
    request = Request("PUT", f"/{bucket}/stalled")
    request.length = str(len(body))
    authorise(request, target.signer(), host_of(target.endpoint), UNSIGNED)
    with Connection(target.endpoint, timeout=30) as connection:
        connection.send(request.head_bytes())
        connection.send(body)
        got = connection.answer("PUT")
    assert (got.status, got.code) == UNAVAILABLE, got
    assert gateway.process.peak_resident_bytes() - before < 30 * MIB
    assert not [s for s in home.asked("PUT", "stalled") if len(s.body) == len(body)]


def HANG_UNREAD(_) -> bytes:
    """Reads nothing and says nothing for longer than the proxy's patience."""
    time.sleep(5)
    return b""


def test_a_ledger_of_a_quorum_bucket_is_kept(gateway):
    """The judge of the fault tests: mixed writes with a worker killed in between lose nothing."""
    ledger = Ledger(gateway, TENANT)
    gateway.admin("bucket", "replica-count", TENANT, ledger.bucket, "2")
    gateway.admin("bucket", "write-quorum", TENANT, ledger.bucket, "2")
    for n in range(30):
        key = ledger.key(n % 7)
        (ledger.delete(key) if n % 5 == 4 else ledger.put(key, payload(3_000 + n, n)))
        if n == 15 and gateway.name == "production":
            gateway.kill_workers()
            gateway.start_workers()
    ledger.check()


def test_what_may_land_at_a_third_place_keeps_no_write_waiting():
    """A worker that has no answer from a place that no write needs lets writes go on at those that hold them."""
    places, key = {HOME: Hostile(), REPLICA: Hostile(), DENIED: Hostile()}, "third"
    gateway = Solo(SETTINGS.replace('read_timeout = "2s"', 'read_timeout = "20s"')).start()
    worker = gateway.worker()
    try:
        for place, hostile in places.items():
            gateway.add_backend(Backend(place, hostile.endpoint, ACCESS_KEY, SECRET_KEY), place, tagging=False, list_uploads=False)
        gateway.add_tenant("acme", "--placement", EVERYWHERE, "--replica-count", "3")
        target = gateway.target()
        bucket, s3 = until(lambda: target.make_bucket("third", EVERYWHERE), "a first bucket is made", 20), target.s3()
        gateway.admin("bucket", "write-quorum", "acme", bucket, "2")
        worker.start()
        home, replica, third = places.values()

        third.answers["PUT", key] = [READ, CLOSE]
        s3.put_object(Bucket=bucket, Key=key, Body=b"first")
        until(lambda: key in late_at(gateway, DENIED), "a worker has had no answer", 30)
        for body in (b"second", b"third"):
            s3.put_object(Bucket=bucket, Key=key, Body=body)
            assert [at.body for backend in (home, replica) for where, at in backend.objects.items() if where[1] == key] == [body] * 2
        s3.delete_object(Bucket=bucket, Key=key)
        assert not any(where[1] == key for backend in (home, replica) for where in backend.objects)
        assert key in late_at(gateway, DENIED) and gateway.copies("acme", bucket, key)["state"] != "clean"
    finally:
        worker.stop(signal.SIGKILL)
        gateway.close()
        for hostile in places.values():
            hostile.close()
