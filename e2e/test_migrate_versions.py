"""Legacy buckets that keep versions, and move while clients go on: each version keeps the id by which clients know it."""

from __future__ import annotations

import contextlib
import json
import threading
import uuid

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from clients import MIB, create_bucket, fails, payload, read
from gateway import HOME, REPLICA, Gateway
from processes import until
from test_promotion import history, home_of, of, promote
from test_versions import keeps_versions, listed, put

pytestmark = [keeps_versions, pytest.mark.timeout(420)]


class Writes:
    """What a client has heard of its writes of one key, each with a content of its own."""

    def __init__(self):
        self.there: dict[str, bytes] = {}
        self.unanswered: set[bytes] = set()
        """Of writes and deletes that were refused, or whose answer was lost: they may have been made."""
        self.failed_reads: list[Exception] = []

    def judge(self, now: dict[str, bytes]):
        assert self.there.items() <= now.items(), "what was acknowledged is there, under its id"
        assert {body for version, body in now.items() if version not in self.there} <= self.unanswered, "and nothing that was deleted, or that nobody wrote"
        assert len({*now.values()}) == len(now), "none is doubled"


class Legacy:
    """A bucket that has got its versions past the gateway, and is adopted with them."""

    def __init__(self, gateway: Gateway, many: int = 10):
        self.gateway, self.run = gateway, uuid.uuid4().hex[:8]
        self.bucket, self.old = f"moved-{self.run}", f"legacy-{self.run}"
        self.direct = gateway.backends[HOME].s3()
        self.s3 = gateway.target("acme").s3()
        self.direct.create_bucket(Bucket=self.old)
        self.direct.put_object(Bucket=self.old, Key="null", Body=b"from before")
        self.direct.put_bucket_versioning(Bucket=self.old, VersioningConfiguration={"Status": "Enabled"})
        put(self.direct, self.old, "null", b"and after")
        self.ids = [put(self.direct, self.old, "k", f"body {n}".encode(), Tagging=f"n={n}", Metadata={"n": str(n)}) for n in range(5)]
        for key in ("hidden", "a b/ä+%&"):
            put(self.direct, self.old, key, b"x")
            self.direct.delete_object(Bucket=self.old, Key=key)
        put(self.direct, self.old, "a b/ä+%&", b"back again")
        upload = self.direct.create_multipart_upload(Bucket=self.old, Key="multipart")["UploadId"]
        parts = [payload(5 * MIB, "first"), b"last"]
        etags = [self.direct.upload_part(Bucket=self.old, Key="multipart", UploadId=upload, PartNumber=n, Body=p)["ETag"] for n, p in enumerate(parts, 1)]
        whole = {"Parts": [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, 1)]}
        self.direct.complete_multipart_upload(Bucket=self.old, Key="multipart", UploadId=upload, MultipartUpload=whole)
        for n in range(many):
            for body in (b"one", b"two"):
                put(self.direct, self.old, f"many/{n:04}", body)
        gateway.admin("bucket", "adopt", "acme", self.bucket, "--backend", HOME, "--physical", self.old)
        until(lambda: self.s3.get_bucket_versioning(Bucket=self.bucket)["Status"] == "Enabled", "it is served at once", 10)
        self.before = history(self.s3, self.bucket)
        assert len(self.before) == 13 + 2 * many and ("null", "null") in self.before
        assert {at[1] for at in self.before} == {version for _, version, _ in listed(self.direct, self.old)}

    def migrate(self, *options: str) -> dict:
        return json.loads(self.gateway.admin("--json", "bucket", "migrate", "acme", self.bucket, *options))

    def last(self) -> dict:
        return self.gateway.call("GET", of(self.gateway, self.bucket) + "/migrations")["migrations"][0]

    def once(self, is_so, what: str) -> dict:
        def last():
            last = self.last()
            assert is_so(last), last
            return last

        return until(last, what, 150, every=0.05)

    def moved(self) -> dict:
        return self.once(lambda last: "moved_at" in last, "the home has moved")

    def ended(self) -> dict:
        return self.once(lambda last: last["state"] in ("done", "cancelled"), "the migration has ended")

    def judge(self, writes: Writes):
        """Every proxy shows each version under its id, with its content, tags and place, and what clients have written since."""
        until(lambda: self.gateway.idle(self.bucket), "the queue is empty", 120)
        for client in self.gateway.through_each_proxy("acme"):
            now = history(client, self.bucket)
            assert {at: shown for at, shown in now.items() if at[0] != "busy"} == self.before, "nothing has another id, content, tag or place"
            writes.judge({version: body for (key, version), (_, body, _) in now.items() if key == "busy"})
            assert client.head_object(Bucket=self.bucket, Key="k", VersionId=self.ids[1])["Metadata"] == {"n": "1"}
            assert listed(client, self.bucket, size=1, Prefix="k") == listed(client, self.bucket, Prefix="k")

    def physical(self) -> str:
        shown = self.gateway.call("GET", of(self.gateway, self.bucket))
        return next(mapped["physical_bucket"] for mapped in shown["mapping"] if mapped["home"])


@contextlib.contextmanager
def a_client_writing_versions(legacy: Legacy):
    """One key's versions: it deletes one by its id now and then, and reads what was there before."""
    stop, writes = threading.Event(), Writes()

    def work():
        # Fewer than a page of versions: radosgw does not list on behind one that is deleted.
        for n in range(900):
            if stop.wait(0.1):
                return
            body = f"{n}".encode()
            try:
                writes.there[put(legacy.s3, legacy.bucket, "busy", body)] = body
            except (ClientError, BotoCoreError):
                writes.unanswered.add(body)
            if n % 7 == 6 and len(writes.there) > 3:
                version, body = next(iter(writes.there.items()))
                del writes.there[version]
                try:
                    legacy.s3.delete_object(Bucket=legacy.bucket, Key="busy", VersionId=version)
                except (ClientError, BotoCoreError):
                    writes.unanswered.add(body)
            try:
                assert read(legacy.s3, legacy.bucket, "k", VersionId=legacy.ids[n % 5]) == f"body {n % 5}".encode()
            except (ClientError, BotoCoreError, AssertionError) as error:
                writes.failed_reads.append(error)

    writer = threading.Thread(target=work, daemon=True)
    writer.start()
    try:
        until(lambda: len(writes.there) > 5, "versions are written", 60)
        yield writes
    finally:
        stop.set()
        writer.join(60)


@pytest.mark.parametrize("drop", [False, True], ids=["keep", "drop"])
def test_versions_move_to_the_hashed_bucket_while_clients_go_on(gateway, drop):
    legacy = Legacy(gateway)
    with a_client_writing_versions(legacy) as writes:
        begun = legacy.migrate(*(["--drop-old"] if drop else []))
        assert begun["state"] == "filling" and begun["to_bucket"].startswith("s3gw-"), begun
        done, count = legacy.ended(), len(writes.there)
        until(lambda: len(writes.there) > count, "versions are written at the new home", 60)
    assert writes.failed_reads == []
    assert done["state"] == "done" and done["differing"] == done["strays"] == 0 and done["objects"] > len(legacy.before), done
    assert (home_of(gateway, legacy.bucket)[0], legacy.physical()) == (HOME, begun["to_bucket"])
    legacy.judge(writes)
    own = {version for _, version, _ in listed(legacy.direct, begun["to_bucket"], Prefix="k")}
    assert len(own) == 5 and not own & {*legacy.ids}, "the new bucket has ids of its own"
    if drop:
        assert legacy.old not in gateway.backends[HOME].buckets() and done["dropped"] == done["objects"], done
    else:
        assert legacy.before.keys() <= {(key, version) for key, version, _ in listed(legacy.direct, legacy.old)}

    # What clients do with an id that the old bucket gave.
    s3, bucket, ids = legacy.s3, legacy.bucket, legacy.ids
    copied = s3.copy_object(Bucket=bucket, Key="copied", CopySource={"Bucket": bucket, "Key": "k", "VersionId": ids[1]})
    assert copied["CopySourceVersionId"] == ids[1] and read(s3, bucket, "copied") == b"body 1"
    s3.put_object_tagging(Bucket=bucket, Key="k", VersionId=ids[2], Tagging={"TagSet": [{"Key": "n", "Value": "other"}]})
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": ids[0]}, {"Key": "null", "VersionId": "null"}]})
    assert sorted(entry["VersionId"] for entry in gone["Deleted"]) == sorted([ids[0], "null"])
    assert fails(s3.get_object, Bucket=bucket, Key="k", VersionId=ids[0]) == (404, "NoSuchVersion")
    status, problem = gateway.api("POST", of(gateway, bucket) + "/migrate", {})
    assert status == 409 and "another name" in problem["detail"], problem

    # A replica follows, and may be home in its turn.
    gateway.admin("bucket", "placement", "acme", bucket, f"{HOME},{REPLICA}")
    gateway.admin("bucket", "replica-count", "acme", bucket, "2")
    until(lambda: gateway.idle(bucket), "the replica is filled", 120)
    expected = history(s3, bucket)
    assert expected["k", ids[2]] == (False, b"body 2", [{"Key": "n", "Value": "other"}]) and ("null", "null") not in expected
    assert promote(gateway, bucket, REPLICA)["state"] == "done"
    assert history(s3, bucket) == expected


def test_versions_move_to_another_backend_and_what_is_not_copied_stays(gateway):
    legacy = Legacy(gateway)
    begun = legacy.migrate("--to", REPLICA, "--deep", "--drop-old")
    legacy.moved()
    s3, bucket, old = legacy.s3, legacy.bucket, legacy.old
    # Past the gateway: a version, a key, a delete marker; on a slow machine some of them after the bucket was looked through, or has gone.
    strays = []
    with contextlib.suppress(ClientError):
        strays.append(("null", legacy.direct.delete_object(Bucket=old, Key="null")["VersionId"]))
        strays.append(("k", put(legacy.direct, old, "k", b"stray")))
        strays.append(("stray", put(legacy.direct, old, "stray", b"stray")))
    # A client's are no difference.
    for client in gateway.through_each_proxy("acme"):
        until(lambda: put(client, bucket, "probe", b"x"), "writes are taken again", 30)
    put(s3, bucket, "many/0001", b"newer")
    s3.delete_object(Bucket=bucket, Key="many/0002", VersionId=next(version for (key, version) in legacy.before if key == "many/0002"))
    s3.delete_object(Bucket=bucket, Key="multipart")
    done = legacy.ended()
    assert done["state"] == "done" and done["deep"] and (done["strays"] > 0) == bool(strays), done
    if strays:
        assert "kept with" in done["detail"]
        assert sorted((key, version) for key, version, _ in listed(legacy.direct, old)) == sorted(strays), done
    assert (home_of(gateway, bucket)[0], legacy.physical()) == (REPLICA, begun["to_bucket"])
    changed = ("many/0001", "many/0002", "multipart", "probe")
    legacy.before = {at: shown for at, shown in legacy.before.items() if at[0] not in changed}
    now = history(s3, bucket)
    assert [sum(key == at for key, _ in now) for at in changed] == [3, 1, 2, len(gateway.through_each_proxy("acme"))]
    assert {at: shown for at, shown in now.items() if at[0] not in changed} == legacy.before
    assert fails(s3.get_object, Bucket=bucket, Key="multipart") == (404, "NoSuchKey")


@pytest.mark.shape("production")
def test_a_migration_of_versions_goes_on_after_everything_was_killed(gateway):
    legacy = Legacy(gateway, many=30)
    with a_client_writing_versions(legacy) as writes:
        legacy.migrate("--drop-old")
        gateway.kill_workers()
        gateway.kill_proxies()
        gateway.start_proxies()
        gateway.start_workers()
        count = len(writes.there)
        until(lambda: len(writes.there) > count + 3, "versions are written", 60)
        legacy.moved()
        gateway.kill_workers()
        gateway.start_workers()
        done = legacy.ended()
    assert done["state"] == "done" and done["differing"] == 0, done
    legacy.judge(writes)
    assert legacy.old not in gateway.backends[HOME].buckets()


def test_a_bucket_of_the_gateways_own_moves_with_its_versions(gateway):
    s3 = gateway.target("acme").s3()
    bucket = f"lone-{uuid.uuid4().hex[:8]}"
    create_bucket(s3, bucket, HOME)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = put(s3, bucket, "k", b"moves")
    assert gateway.api("POST", of(gateway, bucket) + "/migrate", {"to": REPLICA, "drop_old": True})[0] == 202
    until(lambda: home_of(gateway, bucket)[0] == REPLICA, "the home has moved", 120)
    assert read(s3, bucket, "k", VersionId=version) == b"moves"
