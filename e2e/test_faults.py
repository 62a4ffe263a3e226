"""Faults: each kills something that matters while clients write; when it is back, the checker reads the backends and judges."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from checker import Ledger, traffic
from clients import MIB, fails, payload, read, sha256
from gateway import DENIED, HOME, REPLICA
from processes import until


@contextlib.contextmanager
def clients_writing(ledger: Ledger, count: int = 6):
    """Clients that write all the time; on leaving they stop and none has died of anything but an S3 answer."""
    stop, died = threading.Event(), []

    def work(n):
        try:
            traffic(ledger, n, stop)
        except Exception as error:  # noqa: BLE001 - shown below
            died.append(error)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not died, died
    assert not any(t.is_alive() for t in threads), "a client hangs"


def wait_for_writes(ledger: Ledger, more: int, deadline: float = 30):
    start = writes(ledger)
    until(lambda: writes(ledger) >= start + more, f"{more} more writes", deadline)


def writes(ledger: Ledger) -> int:
    with ledger.lock:
        return sum(e.writes for e in ledger.entries.values()) - len(ledger.refused)


def test_nothing_was_given_up_so_far(gateway):
    """Everything before the faults was ordinary work: a dead letter in it is a fault of the gateway."""
    assert not gateway.dead_letters()


def test_HT_21_a_head_that_never_ends_was_given_up(gateway):
    """The connection was opened when the shape started, so most of the proxy's minute is over."""
    answer = gateway.slow_head.answer("GET", linger=5)
    assert answer.status in (0, 400, 408) and answer.closed


def test_the_checker_can_fail(gateway):
    """A judge that never says no proves nothing: bytes changed behind the gateway's back are seen."""
    ledger = Ledger(gateway)
    key = ledger.key("watched")
    assert ledger.put(key, b"as acknowledged")
    ledger.check()
    home = gateway.backends[HOME].s3()
    home.put_object(Bucket=gateway.physical(HOME, key), Key=key, Body=b"as forged")
    with pytest.raises(AssertionError):
        ledger.check(deadline=0.5)
    home.delete_object(Bucket=gateway.physical(HOME, key), Key=key)
    with pytest.raises(AssertionError):
        ledger.check(deadline=0.5)
    assert ledger.put(key, b"as acknowledged")
    ledger.check()


def test_worker_is_killed_during_a_large_copy(gateway):
    ledger = Ledger(gateway)
    key = ledger.key("large")
    data = payload(96 * MIB, "large copy")
    parts = [data[n : n + 8 * MIB] for n in range(0, len(data), 8 * MIB)]
    assert ledger.multipart(key, parts), ledger.refused
    until(lambda: gateway.depth()["claimed"] or gateway.depth()["dirty"] == 0, "a worker has the job", 20)
    gateway.kill_workers()
    if gateway.name == "production":
        assert not gateway.idle(), "the key is dirty while nobody copies it"
    gateway.start_workers()
    ledger.check(deadline=90)
    assert sha256(read(ledger.s3, ledger.bucket, key)) == sha256(data)


def test_gateway_is_killed_during_uploads(gateway):
    """First one proxy of two, where there are two: the other serves on. Then all at once."""
    ledger = Ledger(gateway)
    with clients_writing(ledger):
        wait_for_writes(ledger, 40)
        if len(gateway.proxy_processes()) > 1:
            gateway.proxy_processes()[1].stop()
            wait_for_writes(ledger, 60)
            gateway.proxy_processes()[1].start()
        wait_for_writes(ledger, 40)
        gateway.kill_proxies()
        time.sleep(0.3)  # clients run against nothing for a moment
        gateway.start_proxies()
        wait_for_writes(ledger, 20)
    assert ledger.refused, "the kill was not felt: the test proves nothing"
    # A mark whose writer is dead lives until its lease runs out, about a minute; `dev` ends it as it starts.
    ledger.check(deadline=170)


def known_to_every_proxy(ledger: Ledger, key: str, data: bytes) -> list:
    """Writes a key and reads it through each proxy, which from then on has the route and the access key cached; their clients."""
    assert ledger.put(key, data)
    ledger.check()
    proxies = ledger.gateway.through_each_proxy()
    for s3 in proxies:
        assert read(s3, ledger.bucket, key) == data
    return proxies


@pytest.mark.shape("production")
@pytest.mark.parametrize("server", ["redis", "postgres"])
def test_a_store_is_killed_and_restarted(gateway, server):
    """Without Redis the marks go to PostgreSQL. Without PostgreSQL they go to Redis, and what is asked of it is cached. So reads and writes go on."""
    ledger, store = Ledger(gateway), getattr(gateway, server)
    proxies = known_to_every_proxy(ledger, ledger.key("before"), b"before")
    with clients_writing(ledger):
        wait_for_writes(ledger, 40)
        store.kill()
        for s3 in proxies:
            assert read(s3, ledger.bucket, ledger.key("before")) == b"before"
        assert lacks(gateway) == {"redis": {"queue"}, "postgres": {"metadata"}}[server]
        wait_for_writes(ledger, 40, 60)
        store.start()
        wait_for_writes(ledger, 40, 60)
        until(lambda: not lacks(gateway), "the store is seen again", 30)
    ledger.check(deadline=90)


def lacks(gateway) -> set[str]:
    """What a proxy lacks that is ready nevertheless, as a load balancer hears it."""
    status, body = gateway.api("GET", "/readyz")
    assert status == 200 and body["ready"], body
    return {check["name"] for check in body["checks"] if not check["ok"]} - {"feed"}


def write_and_have_it_forgotten(gateway, write):
    """Carries out writes, all acknowledged, and then has Redis restart as if it had not got to writing their marks down."""
    appended = [node.folder.path / "appendonlydir" for node in gateway.redis.nodes]
    gateway.kill_workers()
    earlier = {file: file.read_bytes() for folder in appended for file in folder.iterdir()}
    write()
    gateway.redis.kill()
    for file in [file for folder in appended for file in folder.iterdir()]:
        file.unlink()
    for file, data in earlier.items():
        file.write_bytes(data)
    gateway.redis.start()
    assert gateway.is_clean(), "Redis has forgotten"


def bucket_with_forgotten_writes(gateway, target, s3) -> str:
    """Of the keys `overwritten`, `deleted` and `untouched`, with an overwrite and a delete whose marks Redis has forgotten. No worker runs."""
    bucket = target.make_bucket("forgotten", f"{HOME},{REPLICA}", s3=s3)
    for key in ("overwritten", "deleted", "untouched"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"before")
    until(lambda: gateway.idle(bucket), "all keys are clean", 60)

    def write():
        s3.put_object(Bucket=bucket, Key="overwritten", Body=b"after")
        s3.delete_object(Bucket=bucket, Key="deleted")

    write_and_have_it_forgotten(gateway, write)
    return bucket


@pytest.mark.shape("production")
def test_what_redis_has_forgotten_is_not_read_stale_and_is_found(gateway):
    """An acknowledged overwrite and an acknowledged delete whose marks are lost: no replica answers for them until a walk has looked."""
    s3 = gateway.target().s3()
    bucket = bucket_with_forgotten_writes(gateway, gateway.target(), s3)
    gateway.stop_backend(HOME)
    try:
        for key in ("overwritten", "deleted", "untouched"):
            assert fails(s3.get_object, Bucket=bucket, Key=key)[0] == 503, key
        assert fails(s3.list_objects_v2, Bucket=bucket)[0] == 503
        gateway.start_workers()
        until(lambda: any(w["bucket"] == bucket and "forgotten" in w["reason"] for w in gateway.call("GET", "/v1/walks?limit=1000")["walks"]), "a walk is begun", 120)
        assert fails(s3.get_object, Bucket=bucket, Key="untouched")[0] == 503, "it waits for the home"
    finally:
        gateway.start_backend(HOME)
    until(lambda: gateway.idle(bucket), "the walk is over and all keys are clean", 120)
    gateway.stop_backend(HOME)
    try:
        assert until(lambda: read(s3, bucket, "overwritten"), "the replica answers again", 30) == b"after"
        assert read(s3, bucket, "untouched") == b"before"
        assert fails(s3.get_object, Bucket=bucket, Key="deleted")[0] == 404
    finally:
        gateway.start_backend(HOME)


@pytest.mark.shape("production")
def test_tags_and_headers_that_redis_has_forgotten_come_to_the_replica(gateway):
    """Acknowledged writes that leave an object's bytes as they were, so that no listing shows them, whose marks are lost."""
    s3, replica = gateway.target().s3(), gateway.backends[REPLICA].s3()
    bucket = gateway.target().make_bucket("unlisted", f"{HOME},{REPLICA}", s3=s3)
    keys = [f"unlisted/{name}" for name in ("tagged", "untagged", "copied", "put-again", "untouched")]
    tagged, untagged, copied, again, untouched = keys
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"the same", Metadata={"owner": "ann"}, Tagging="state=old")
    until(lambda: gateway.idle(bucket), "all keys are clean", 60)

    def shown(key: str) -> tuple[str, list[str]]:
        """What the replica has: the owner in the metadata, and the tags' values."""
        held = {"Bucket": gateway.physical(REPLICA, key), "Key": key}
        return replica.head_object(**held)["Metadata"]["owner"], [tag["Value"] for tag in replica.get_object_tagging(**held)["TagSet"]]

    def write():
        s3.put_object_tagging(Bucket=bucket, Key=tagged, Tagging={"TagSet": [{"Key": "state", "Value": "new"}]})
        s3.delete_object_tagging(Bucket=bucket, Key=untagged)
        s3.copy_object(Bucket=bucket, Key=copied, CopySource=f"{bucket}/{copied}", MetadataDirective="REPLACE", Metadata={"owner": "bob"})
        s3.put_object(Bucket=bucket, Key=again, Body=b"the same", Metadata={"owner": "bob"}, Tagging="state=newer")

    write_and_have_it_forgotten(gateway, write)
    assert {key: shown(key) for key in keys} == dict.fromkeys(keys, ("ann", ["old"])), "the replica is behind"
    gateway.start_workers()
    until(lambda: any(w["bucket"] == bucket and "forgotten" in w["reason"] for w in gateway.call("GET", "/v1/walks?limit=1000")["walks"]), "a walk is begun", 120)
    until(lambda: gateway.idle(bucket), "the walk is over and all keys are clean", 120)
    assert {key: shown(key) for key in keys} == {
        tagged: ("ann", ["new"]), untagged: ("ann", []), copied: ("bob", ["old"]), again: ("bob", ["newer"]), untouched: ("ann", ["old"]),
    }


@pytest.mark.shape("production")
def test_redis_and_postgres_are_both_away(gateway):
    """No mark can be made: a write is refused before its last byte reaches the backend; a cached read goes on."""
    ledger = Ledger(gateway)
    proxies = known_to_every_proxy(ledger, ledger.key("known"), b"before")
    gateway.redis.kill()
    gateway.postgres.kill()
    try:
        for s3 in proxies:
            assert fails(s3.put_object, Bucket=ledger.bucket, Key=ledger.key("known"), Body=b"unmarked")[0] == 503
            assert fails(s3.delete_object, Bucket=ledger.bucket, Key=ledger.key("known"))[0] == 503
            assert read(s3, ledger.bucket, ledger.key("known")) == b"before"
        assert lacks(gateway) == {"queue", "metadata"}
        home = ledger.states(HOME)
        assert home[ledger.key("known")][0] == sha256(b"before"), "a write without a mark reached the backend"
    finally:
        gateway.postgres.start()
        gateway.redis.start()
    until(lambda: ledger.put(ledger.key("known"), b"after"), "writes are taken again", 30)
    ledger.check(deadline=60)


def test_replica_is_killed_and_restarted(gateway):
    """Writes do not wait for a replica; it is brought up to date when it is back."""
    ledger = Ledger(gateway)
    with clients_writing(ledger):
        wait_for_writes(ledger, 30)
        gateway.stop_backend(REPLICA)
        wait_for_writes(ledger, 60)
        gateway.start_backend(REPLICA)
    gateway_redrive(gateway)
    ledger.check(deadline=120)


def test_home_is_killed_and_restarted(gateway):
    """Writes are refused, reads of clean keys come from the replica, reads of dirty ones are refused rather than served stale."""
    ledger = Ledger(gateway)
    clean = ledger.key("clean")
    assert ledger.put(clean, b"clean")
    ledger.check()
    with clients_writing(ledger):
        wait_for_writes(ledger, 40)
        gateway.stop_backend(HOME)
        until(lambda: read(ledger.s3, ledger.bucket, clean) == b"clean", "a clean key is served by the replica", 20)
        assert fails(ledger.s3.put_object, Bucket=ledger.bucket, Key=ledger.key("refused"), Body=b"x")[0] in (500, 503)
        gateway.start_backend(HOME)
        wait_for_writes(ledger, 40, 60)
    ledger.entries.setdefault(ledger.key("refused"), type(ledger.entries[clean])())
    gateway_redrive(gateway)
    ledger.check(deadline=120)


def gateway_redrive(gateway):
    """What ran out of attempts while a backend was away is driven again by the operator."""
    gateway.call("POST", "/v1/jobs/redrive", {"all": True})


def test_nothing_of_all_this_is_in_the_denied_place(gateway):
    """The first tenant's policy keeps its data in the EU, whatever was killed."""
    ours = lambda s3, b: [o["Key"] for o in s3.list_objects_v2(Bucket=b).get("Contents", []) if "/w" in o["Key"] or "ledger" in o["Key"]]  # noqa: E731
    assert not gateway.backends[DENIED].holding(ours)
