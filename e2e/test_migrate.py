"""Legacy buckets that move to a bucket of the gateway's own, on their backend or another, while clients go on; and what is left of the old one."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
import threading
import time
import uuid

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from checker import GONE, Ledger
from clients import MIB, create_bucket, fails, payload, read
from gateway import DENIED, HOME, REPLICA, Gateway
from processes import until
from test_faults import clients_writing, wait_for_writes
from test_promotion import Timed, of

ODD = ["a b", "a+b", "a%b", "a%20b", "ä ö/☃", "<&>\"'`", "~-._!*()$@=;:,?#[]{}|\\^", "😀", "a//b", "trail/", "long-" + "s" * 900]
"""Names that XML, URLs and file systems each have their own idea of."""


class Legacy(Timed):
    """A bucket that is filled past the gateway, adopted, and then written through every proxy."""

    def __init__(self, gateway: Gateway, tenant: str = "acme", many: int = 30):
        self.gateway, self.tenant = gateway, tenant
        self.run = uuid.uuid4().hex[:8]
        self.bucket, self.old = f"moved-{self.run}", f"legacy-{self.run}"
        self.lock, self.entries, self.refused, self.times = threading.Lock(), {}, [], []
        self.clients = itertools.cycle(gateway.through_each_proxy(tenant))
        self.direct = gateway.backends[HOME].s3()
        self.direct.create_bucket(Bucket=self.old)
        self.bodies = {name: payload(1_000 + n, name) for n, name in enumerate(ODD)} | {"empty": b"", "multipart": payload(10 * MIB, "parts")}
        self.bodies |= {f"many/{n:04}": payload(500 + n, f"many{n}") for n in range(many)}
        for key, body in self.bodies.items():
            if key == "multipart":
                self.put_parts(key, body)
            else:
                self.direct.put_object(Bucket=self.old, Key=key, Body=body)
        headers = {"ContentType": "text/x-legacy", "CacheControl": "max-age=60", "ContentDisposition": 'attachment; filename="x"', "ContentLanguage": "fi"}
        self.direct.put_object(Bucket=self.old, Key="described", Body=b"described", Metadata={"colour": "blue"}, Tagging="team=a&kind=b", **headers)
        self.headers, self.bodies["described"] = headers, b"described"
        gateway.admin("bucket", "adopt", tenant, self.bucket, "--backend", HOME, "--physical", self.old)
        until(lambda: self.serves_all(), "it is served at once", 10)

    @property
    def s3(self):
        """Another proxy for each request."""
        with self.lock:
            return next(self.clients)

    def put_parts(self, key: str, body: bytes):
        upload = self.direct.create_multipart_upload(Bucket=self.old, Key=key)["UploadId"]
        halves = [body[: 5 * MIB], body[5 * MIB :]]
        etags = [self.direct.upload_part(Bucket=self.old, Key=key, UploadId=upload, PartNumber=n, Body=p)["ETag"] for n, p in enumerate(halves, 1)]
        whole = {"Parts": [{"PartNumber": n, "ETag": e} for n, e in enumerate(etags, 1)]}
        self.direct.complete_multipart_upload(Bucket=self.old, Key=key, UploadId=upload, MultipartUpload=whole)

    def serves_all(self) -> bool:
        """What was there before, with all that belongs to it; nobody writes these keys."""
        for client in self.gateway.through_each_proxy(self.tenant):
            for key, body in self.bodies.items():
                assert read(client, self.bucket, key) == body, key
            got = client.head_object(Bucket=self.bucket, Key="described")
            assert got["Metadata"] == {"colour": "blue"} and {name: got[name] for name in self.headers} == self.headers, got
            tags = client.get_object_tagging(Bucket=self.bucket, Key="described")["TagSet"]
            assert {t["Key"]: t["Value"] for t in tags} == {"team": "a", "kind": "b"}
        return True

    def migrate(self, *options: str) -> dict:
        return json.loads(self.gateway.admin("--json", "bucket", "migrate", self.tenant, self.bucket, *options))

    def status(self) -> dict:
        return json.loads(self.gateway.admin("--json", "bucket", "migrate", self.tenant, self.bucket, "status"))["migrations"][0]

    def last(self) -> dict:
        return self.gateway.call("GET", f"/v1/tenants/{self.tenant}/buckets/{self.bucket}/migrations")["migrations"][0]

    def ended(self, deadline: float = 150) -> dict:
        def over():
            last = self.last()
            assert last["state"] in ("done", "cancelled"), last
            return last

        return until(over, "the migration has ended", deadline, every=0.2)

    def once_moved(self, deadline: float = 150) -> dict:
        def moved():
            last = self.last()
            assert "moved_at" in last, last
            return last

        return until(moved, "the home has moved", deadline, every=0.02)

    def home(self) -> tuple[str, str]:
        shown = self.gateway.call("GET", f"/v1/tenants/{self.tenant}/buckets/{self.bucket}")
        (home,) = [m for m in shown["mapping"] if m["home"]]
        return home["backend"], home["physical_bucket"]

    def judge(self, place: str = HOME):
        """The new home, read directly, holds what was there before and what was acknowledged since; the gateway tells the same."""
        backend, physical = self.home()
        assert backend == place and physical.startswith("s3gw-") and physical != self.old
        until(lambda: self.gateway.idle(self.bucket), "no key is dirty", 90)
        held = listed(self.gateway.backends[place].s3(), physical)
        assert self.bodies.keys() <= held.keys()
        s3 = self.gateway.backends[place].s3()
        for key, body in self.bodies.items():
            assert read(s3, physical, key) == body, key
        for key in self.entries:
            state = hashlib.sha256(read(s3, physical, key)).hexdigest() if key in held else GONE
            assert state in self.allowed(key), f"{key}: {state}, allowed {self.allowed(key)}"
        strangers = held.keys() - self.bodies.keys() - self.entries.keys()
        assert not strangers, f"keys that nobody wrote: {sorted(strangers)[:3]}"
        assert listed(self.s3, self.bucket).keys() == held.keys()
        self.serves_all()


def listed(s3, bucket: str) -> dict[str, tuple[str, int, object]]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {o["Key"]: (o["ETag"], o["Size"], o["LastModified"]) for page in pages for o in page.get("Contents", [])}


@contextlib.contextmanager
def clients_reading(ledger: Legacy, count: int = 2):
    """Clients that read all the time: what nobody writes comes byte for byte, and nothing is answered with a failure."""
    stop, failed, reads = threading.Event(), [], [0]

    def work(client):
        while not stop.is_set():
            for key, body in list(ledger.bodies.items()):
                try:
                    if stop.is_set() or read(client, ledger.bucket, key) == body:
                        continue
                    failed.append(f"{key}: other bytes")
                except (ClientError, BotoCoreError) as error:
                    failed.append(f"{key}: {error}")
                finally:
                    reads[0] += 1
                    stop.wait(0.02)
            for key in list(ledger.entries):
                try:
                    read(client, ledger.bucket, key)
                except (ClientError, BotoCoreError) as error:
                    if getattr(error, "response", {}).get("Error", {}).get("Code") != "NoSuchKey":
                        failed.append(f"{key}: {error}")

    clients = ledger.gateway.through_each_proxy(ledger.tenant)
    threads = [threading.Thread(target=work, args=(clients[n % len(clients)],), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not failed, f"{len(failed)} reads failed, such as {failed[:3]}"
    assert reads[0] > 0


@pytest.mark.timeout(420)
@pytest.mark.parametrize("drop", [False, True], ids=["keep", "drop"])
def test_a_legacy_bucket_moves_to_its_hashed_bucket_while_clients_go_on(gateway, drop):
    ledger = Legacy(gateway)
    upload = ledger.s3.create_multipart_upload(Bucket=ledger.bucket, Key="left-open")["UploadId"]
    with clients_reading(ledger), clients_writing(ledger, 4):
        wait_for_writes(ledger, 40, 60)
        begun_at = time.monotonic()
        begun = ledger.migrate(*(["--drop-old"] if drop else []))
        assert begun["state"] == "filling" and begun["from_bucket"] == ledger.old and begun["to_bucket"].startswith("s3gw-"), begun
        ledger.direct.put_object(Bucket=ledger.old, Key="behind/before", Body=b"before")
        ledger.bodies |= {"behind/before": b"before"}
        assert ledger.last()["state"] == "filling", "it was written there before the cut over"
        ledger.once_moved()
        if not drop:
            ledger.direct.put_object(Bucket=ledger.old, Key="behind/after", Body=b"after")
        done = ledger.ended()
        wait_for_writes(ledger, 40, 60)
        pause = ledger.longest_pause(begun_at)
    assert done["state"] == "done" and done["differing"] == 0, done
    detail = gateway.call("GET", of(gateway, ledger.bucket) + "/promotions")["promotions"][0]["detail"]
    (stopped,) = re.findall(r"stopped for (\d+) ms", detail)
    print(f"{gateway.name}: {done['objects']} objects verified; writes stopped for {stopped} ms, no write acknowledged for {pause:.2f} s; {done['detail']}")
    assert int(stopped) < 8000 and pause < 12
    assert ledger.home() == (HOME, begun["to_bucket"])
    ledger.judge()
    assert fails(ledger.s3.upload_part, Bucket=ledger.bucket, Key="left-open", UploadId=upload, PartNumber=1, Body=b"x") == (404, "NoSuchUpload")
    if drop:
        assert ledger.old not in gateway.backends[HOME].buckets() and done["dropped"] == done["objects"] and done["strays"] == 0
    else:
        # The old home may have been looked through by then.
        assert (done["strays"], done["stray"]) in ((1, "behind/after"), (0, "")), done
        before = listed(ledger.direct, ledger.old)
        assert before["behind/after"] and ledger.put(ledger.key("later"), b"later") and ledger.delete(ledger.key("w0/0"))
        ledger.judge()
        assert listed(ledger.direct, ledger.old) == before, "nothing in it is touched any more"


def test_what_was_written_past_the_gateway_after_the_cut_over_stays_when_the_rest_is_dropped(gateway):
    ledger = Legacy(gateway)
    ledger.migrate("--drop-old")
    ledger.once_moved()
    # On a slow machine some of them after the bucket was looked through, or has gone.
    strays = {}
    with contextlib.suppress(ClientError):
        for key, body in (("many/0001", b"overwritten past the gateway"), ("stray", b"stray")):
            ledger.direct.put_object(Bucket=ledger.old, Key=key, Body=body)
            strays[key] = body
    until(lambda: ledger.put("many/0002", b"newer"), "a client writes after the cut over, which is no difference", 30)
    ledger.bodies["many/0002"] = b"newer"
    done = ledger.ended()
    assert done["state"] == "done" and (done["strays"] > 0) == bool(strays), done
    if strays:
        assert "kept with" in done["detail"]
        assert {key: read(ledger.direct, ledger.old, key) for key in listed(ledger.direct, ledger.old)} == strays, done
    ledger.judge()


@pytest.mark.timeout(420)
def test_a_migration_goes_on_after_everything_was_killed(gateway):
    ledger = Legacy(gateway, many=150)
    with clients_writing(ledger, 4):
        wait_for_writes(ledger, 20, 60)
        ledger.migrate("--drop-old")
        for _ in range(2):
            gateway.kill_workers()
            gateway.kill_proxies()
            gateway.start_proxies()
            if gateway.name == "production":
                gateway.start_workers()
            wait_for_writes(ledger, 20, 60)
        ledger.once_moved()
        gateway.kill_workers()
        gateway.start_workers()
        done = ledger.ended()
    assert done["state"] == "done" and done["differing"] == 0, done
    ledger.judge()
    assert ledger.old not in gateway.backends[HOME].buckets()


@pytest.mark.timeout(420)
def test_a_migration_that_is_called_off_leaves_everything_as_it_was(gateway):
    ledger = Legacy(gateway, many=200)
    until(lambda: gateway.idle(ledger.bucket), "all is converged", 60)
    before = listed(ledger.direct, ledger.old)
    begun = ledger.migrate()
    off = ledger.migrate("cancel")
    assert off["state"] == "cancelling", off
    assert ledger.ended()["state"] == "cancelled"
    assert ledger.home() == (HOME, ledger.old) and listed(ledger.direct, ledger.old) == before
    assert begun["to_bucket"] not in gateway.backends[HOME].buckets()
    copies = gateway.copies("acme", ledger.bucket, "empty")["copies"]
    assert [c["backend"] for c in copies] == [HOME], copies
    assert "has ended" in gateway.admin("bucket", "migrate", "acme", ledger.bucket, "cancel", check=False)
    assert ledger.put(ledger.key("after"), b"after") and ledger.serves_all()
    done = ledger.migrate() and ledger.ended()
    assert done["state"] == "done", done
    ledger.judge()


@pytest.mark.timeout(420)
def test_a_legacy_bucket_moves_to_another_backend_and_is_read_to_verify_it(gateway):
    ledger = Legacy(gateway)
    with clients_reading(ledger), clients_writing(ledger, 4):
        wait_for_writes(ledger, 20, 60)
        begun = ledger.migrate("--to", REPLICA, "--deep", "--drop-old")
        assert begun["to"] == REPLICA
        refused = gateway.admin("bucket", "placement", "acme", ledger.bucket, f"{HOME},{REPLICA}", check=False)
        assert "migration" in refused and "(409)" in refused, refused
        done = ledger.ended()
        wait_for_writes(ledger, 20, 60)
    assert done["state"] == "done" and done["deep"], done
    assert ledger.home() == (REPLICA, begun["to_bucket"])
    ledger.judge(REPLICA)
    assert ledger.old not in gateway.backends[HOME].buckets()


def test_what_cannot_be_migrated_is_refused_with_the_reason(gateway):
    ours = Ledger(gateway)
    migrate = "/migrate"

    def refused(bucket: str, body: dict, status: int, words: str):
        got, problem = gateway.api("POST", of(gateway, bucket) + migrate, body)
        assert got == status and words in problem["detail"], problem

    refused(ours.bucket, {}, 409, "hashed name")
    refused(ours.bucket, {"to": "nowhere"}, 422, "no such backend")
    refused(ours.bucket, {"to": DENIED}, 422, "")
    refused(ours.bucket, {"to": REPLICA}, 409, "replica")
    lone = f"lone-{ours.run}"
    create_bucket(ours.s3, lone, HOME)
    refused(lone, {"to": REPLICA}, 422, "nobody else")
    status, problem = gateway.api("POST", of(gateway, ours.bucket) + "/migrations/cancel")
    assert status == 404, problem
    ledger = Legacy(gateway, many=200)
    ledger.migrate()
    refused(ledger.bucket, {}, 409, "migration")
    assert fails(ledger.s3.delete_bucket, Bucket=ledger.bucket)[0] == 409
    assert "(409)" in gateway.admin("bucket", "release", "acme", ledger.bucket, check=False)
    assert ledger.ended()["state"] == "done"
    refused(ledger.bucket, {}, 409, "hashed name")


@pytest.mark.shape("production")
def test_a_promotion_or_a_drain_under_way_comes_first(gateway):
    ours = Ledger(gateway, "globex", f"{HOME},{REPLICA},{DENIED}")
    path = f"/v1/tenants/globex/buckets/{ours.bucket}"
    wanted = {"to": HOME, "drop_old": True}
    gateway.kill_workers()
    try:
        gateway.admin("bucket", "placement", "globex", ours.bucket, f"{HOME},{REPLICA}")
        status, problem = gateway.api("POST", path + "/migrate", wanted)
        assert status == 409 and "drain" in problem["detail"], problem
        other = Ledger(gateway)
        begun = gateway.call("POST", of(gateway, other.bucket) + "/promote", {"to": REPLICA})
        assert begun["state"] == "preparing", begun
        status, problem = gateway.api("POST", of(gateway, other.bucket) + "/migrate", wanted)
        assert status == 409 and "promotion" in problem["detail"], problem
    finally:
        gateway.start_workers()
