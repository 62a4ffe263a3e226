"""A replica becomes home: planned under a running writer, forced while the home is away, by itself; and what frozen processes do to it."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import sys
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from checker import Ledger
from clients import MIB, create_bucket, fails, may_be_old, payload, read
from gateway import BINARY, CONFIG, DENIED, HOME, REPLICA, listens
from processes import Process, pick_port, until
from test_faults import bucket_with_forgotten_writes, clients_writing, wait_for_writes
from test_versions import destroy, keeps_versions, listed, put


def of(gateway, bucket: str) -> str:
    return f"/v1/tenants/acme/buckets/{bucket}"


def promote(gateway, bucket: str, to: str, *options: str, deadline: float = 240) -> dict:
    """Asks as an operator does and waits for the end, whatever it is."""
    shown = gateway.admin("--json", "bucket", "promote", "acme", bucket, "--to", to, *options, check=False)
    begun, _ = json.JSONDecoder().raw_decode(shown)
    return ended(gateway, bucket, begun["id"], deadline)


def ended(gateway, bucket: str, promotion: str | None = None, deadline: float = 120) -> dict:
    def last():
        (found,) = [p for p in gateway.call("GET", of(gateway, bucket) + "/promotions")["promotions"] if promotion in (None, p["id"])][:1]
        assert found["state"] in ("done", "failed"), found
        return found

    return until(last, "the promotion has ended", deadline)


def home_of(gateway, bucket: str) -> tuple[str, int]:
    shown = gateway.call("GET", of(gateway, bucket))
    return shown["home"], shown["epoch"]


def stranded(gateway, bucket: str) -> dict[str, dict]:
    return {row["key"]: row for row in gateway.call("GET", of(gateway, bucket) + "/stranded")["stranded"]}


def have_the_replica_alone(gateway):
    """Starts the replica again once the home, which alone has what was written since it was stopped, is away."""
    gateway.stop_backend(HOME)
    # A copy under way has the home's bytes already, and would be made as soon as the replica is back.
    until(lambda: gateway.depth()["claimed"] == 0, "no worker is at work", 60)
    gateway.switch_backend(REPLICA, True)
    gateway.stopped.discard(REPLICA)


class Timed(Ledger):
    """Remembers when each write was acknowledged, and makes no multipart uploads."""

    def __init__(self, gateway, *where: str):
        super().__init__(gateway, *where)
        self.times: list[float] = []

    def _write(self, key, state, write) -> bool:
        done = super()._write(key, state, write)
        if done:
            self.times.append(time.monotonic())
        return done

    def multipart(self, key, parts) -> bool:
        """At once: radosgw does not tell its part boundaries, and an object whose ETag would change holds a planned promotion up."""
        return self.put(key, b"".join(parts))

    def longest_pause(self, since: float) -> float:
        """The longest time since then in which no write of any client was acknowledged."""
        times = [since, *sorted(t for t in list(self.times) if t > since)]
        return max(after - before for before, after in zip(times, times[1:]))


def test_a_planned_promotion_loses_nothing_and_stops_writes_for_a_moment(gateway):
    """There and back again, while clients write all the time."""
    ledger = Timed(gateway)
    with clients_writing(ledger, 3):
        wait_for_writes(ledger, 40, 60)
        for to, epoch in ((REPLICA, 2), (HOME, 3)):
            begun = time.monotonic()
            done = promote(gateway, ledger.bucket, to)
            assert done["state"] == "done", done
            assert home_of(gateway, ledger.bucket) == (to, epoch)
            wait_for_writes(ledger, 30, 60)
            (stopped,) = re.findall(r"stopped for (\d+) ms", done["detail"])
            pause = ledger.longest_pause(begun)
            print(f"{gateway.name}: writes stopped for {stopped} ms, no write acknowledged for {pause:.2f} s")
            assert int(stopped) < 8000 and pause < 12, (done, pause)
    assert not stranded(gateway, ledger.bucket)
    ledger.check(deadline=170)


def test_what_cannot_be_promoted_is_refused_with_the_reason(gateway):
    ledger = Ledger(gateway)
    assert ledger.put(ledger.key("k"), b"1")
    for to, field in ((HOME, "home already"), (DENIED, "placement"), ("nowhere", "placement"), ("../x", "placement")):
        status, problem = gateway.api("POST", of(gateway, ledger.bucket) + "/promote", {"to": to})
        assert status == 422 and field in problem["detail"], problem
    gateway.call("PUT", of(gateway, ledger.bucket) + "/replica-count", {"replica_count": 1})
    failed = promote(gateway, ledger.bucket, REPLICA)
    assert failed["state"] == "failed" and "replica count" in failed["detail"], failed
    with pytest.raises(AssertionError, match="(?s)ended with 1.*the promotion has failed: .*replica count"):
        gateway.admin("bucket", "promote", "acme", ledger.bucket, "--to", REPLICA)
    gateway.call("PUT", of(gateway, ledger.bucket) + "/replica-count", {"replica_count": 2})
    ledger.s3.put_object(Bucket=ledger.bucket, Key=ledger.key("once"), Body=b"x", Tagging="replica-count=1")
    until(lambda: gateway.idle(ledger.bucket), "the queue is empty", 60)
    failed = promote(gateway, ledger.bucket, REPLICA)
    assert failed["state"] == "failed" and ledger.key("once") in failed["detail"], failed
    assert home_of(gateway, ledger.bucket) == (HOME, 1)
    assert ledger.put(ledger.key("k"), b"2"), "it takes writes where it was"


def history(s3, bucket: str, tags: bool = True) -> dict:
    """Every version by key and id: whether it is the current one, its content (None of a delete marker) and tags."""
    shown = {}
    for key, version, latest in listed(s3, bucket):
        try:
            got = s3.get_object(Bucket=bucket, Key=key, VersionId=version)
            assert got["VersionId"] == version
            found = s3.get_object_tagging(Bucket=bucket, Key=key, VersionId=version)["TagSet"] if tags else []
            shown[key, version] = (latest, got["Body"].read(), found)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "MethodNotAllowed", error
            shown[key, version] = (latest, None, [])
    return shown


def test_versions_keep_their_ids_wherever_their_home_is(gateway):
    """There and back again, while a client writes versions: each is asked for, deleted and copied by the id that it was given first."""
    s3 = gateway.target("acme").s3()
    bucket = f"moving-{uuid.uuid4().hex[:10]}"
    create_bucket(s3, bucket, f"{HOME},{REPLICA}")
    s3.put_object(Bucket=bucket, Key="null", Body=b"from before")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    ids = [put(s3, bucket, "k", f"body {n}".encode(), Tagging=f"n={n}") for n in range(5)]
    put(s3, bucket, "null", b"and after")
    put(s3, bucket, "hidden", b"x")
    marker = s3.delete_object(Bucket=bucket, Key="hidden")["VersionId"]
    before = history(s3, bucket)
    assert len(before) == 9 and ("null", "null") in before
    stop, written = threading.Event(), []

    def write():
        # Fewer than a page of versions: radosgw does not list on behind one that is deleted.
        while not stop.wait(0.05):
            with contextlib.suppress(ClientError):
                written.append((put(s3, bucket, "busy", f"{len(written)}".encode()), f"{len(written)}".encode()))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for to, epoch in ((REPLICA, 2), (HOME, 3)):
            until(lambda: len(written) > 10 * epoch, "versions are written", 60)
            done = promote(gateway, bucket, to)
            assert done["state"] == "done", done
            assert home_of(gateway, bucket) == (to, epoch)
            for client in gateway.through_each_proxy("acme"):
                now = {at: shown for at, shown in history(client, bucket).items() if at[0] != "busy"}
                assert now == before, "nothing has another id, content, tag or place"
                assert client.head_object(Bucket=bucket, Key="k")["VersionId"] == ids[-1]
                assert client.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ETag"])["VersionId"] == ids[-1]
                assert listed(client, bucket, size=1, Prefix="k") == listed(client, bucket, Prefix="k")
    finally:
        stop.set()
        writer.join()
    until(lambda: gateway.idle(bucket), "the queue is empty", 120)
    shown = history(s3, bucket)
    assert {version: body for (key, version), (_, body, _) in shown.items() if key == "busy"} == dict(written), "none is lost, none is doubled"

    # Once more away from the first home, so that the ids are another's; then what clients do with them.
    assert promote(gateway, bucket, REPLICA)["state"] == "done"
    copied = s3.copy_object(Bucket=bucket, Key="copied", CopySource={"Bucket": bucket, "Key": "k", "VersionId": ids[1]})
    assert copied["CopySourceVersionId"] == ids[1] and read(s3, bucket, "copied") == b"body 1"
    s3.put_object_tagging(Bucket=bucket, Key="k", VersionId=ids[2], Tagging={"TagSet": [{"Key": "n", "Value": "other"}]})
    assert s3.delete_object(Bucket=bucket, Key="hidden", VersionId=marker)["VersionId"] == marker
    assert read(s3, bucket, "hidden") == b"x", "the delete marker is gone"
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": ids[0]}, {"Key": "null", "VersionId": "null"}]})
    assert sorted(entry["VersionId"] for entry in gone["Deleted"]) == sorted([ids[0], "null"])
    assert fails(s3.get_object, Bucket=bucket, Key="k", VersionId=ids[0]) == (404, "NoSuchVersion")
    until(lambda: gateway.idle(bucket), "the queue is empty", 120)
    expected = history(s3, bucket)
    assert [version for _, version, _ in listed(s3, bucket, Prefix="k")] == ids[:0:-1]
    assert expected["k", ids[2]] == (False, b"body 2", [{"Key": "n", "Value": "other"}])

    # The former home serves them by the same ids while the new one is away.
    gateway.stop_backend(REPLICA)
    expected = {at: (latest, body, []) for at, (latest, body, _) in expected.items()}
    until(lambda: history(s3, bucket, tags=False) == expected, "all are read at the former home", 60)
    gateway.start_backend(REPLICA)
    until(lambda: put(s3, bucket, "k", b"last"), "the new home is back", 60)
    until(lambda: gateway.idle(bucket), "the queue is empty", 120)
    destroy(s3, bucket)


@pytest.fixture
def split(gateway):
    """A bucket with a clean key, and two whose last writes only the home has, which is away now."""
    ledger = Ledger(gateway)
    clean, left, again = (ledger.key(name) for name in ("clean", "left", "again"))
    for key in (clean, left, again):
        assert ledger.put(key, b"first " + key.encode())
    until(lambda: gateway.idle(ledger.bucket), "the queue is empty", 60)
    gateway.stop_backend(REPLICA)
    for key in (left, again):
        assert ledger.put(key, b"second " + key.encode())
    have_the_replica_alone(gateway)
    until(lambda: read(ledger.s3, ledger.bucket, clean) == b"first " + clean.encode(), "the replica serves what is clean", 60)
    return ledger, clean, left, again


def listings_that_may_be_old(s3, bucket: str) -> list[bool]:
    return [may_be_old(ask(Bucket=bucket)) for ask in (s3.list_objects, s3.list_objects_v2, s3.list_object_versions)]


def assert_stranded_and_brought_home(gateway, ledger, clean, left, again):
    """From the moment on when the replica is home: nothing is passed off, everything is written, nothing is dropped."""
    s3, bucket = ledger.s3, ledger.bucket
    until(lambda: read(s3, bucket, clean) == b"first " + clean.encode(), "a clean key is read at its new home", 60)
    assert set(stranded(gateway, bucket)) == {left, again}
    for client in gateway.through_each_proxy():
        assert fails(client.get_object, Bucket=bucket, Key=left) == (503, "ServiceUnavailable")
        assert fails(client.head_object, Bucket=bucket, Key=left)[0] == 503
        assert fails(client.copy_object, Bucket=bucket, Key=ledger.key("copy"), CopySource={"Bucket": bucket, "Key": left})[0] == 503
        assert not may_be_old(client.head_object(Bucket=bucket, Key=clean))
        assert listings_that_may_be_old(client, bucket) == [True] * 3
    until(lambda: ledger.put(again, b"third"), "the new home takes writes", 60)
    assert read(s3, bucket, again) == b"third"
    assert stranded(gateway, bucket)[again]["state"] == "overwritten"
    gateway.start_backend(HOME)
    gateway.call("POST", "/v1/jobs/redrive", {"all": True})
    until(lambda: all(row["state"] == "kept" for row in stranded(gateway, bucket).values()), "both sides were compared", 120)
    assert read(s3, bucket, left) == b"second " + left.encode(), "what stayed behind was the newer one"
    assert read(s3, bucket, again) == b"third"
    for client in gateway.through_each_proxy():
        until(lambda c=client: listings_that_may_be_old(c, bucket) == [False] * 3, "no key waits, as every proxy knows", 30)
    rows = stranded(gateway, bucket)
    aside = gateway.physical(REPLICA, rows[left]["id"])
    for key, lost in ((left, b"first " + left.encode()), (again, b"second " + again.encode())):
        file = gateway.folder.path / rows[key]["id"]
        gateway.admin("stranded", "download", rows[key]["id"], "--output", file)
        assert file.read_bytes() == lost, key
        gateway.admin("stranded", "drop", rows[key]["id"])
    assert not stranded(gateway, bucket)
    assert aside not in gateway.backends[REPLICA].buckets(), "its bucket goes with the last"
    status, _ = gateway.api("GET", f"/v1/stranded/{rows[left]['id']}")
    assert status == 404
    ledger.places = [REPLICA, HOME]
    ledger.check(deadline=120)


def test_a_forced_promotion_strands_what_the_home_alone_has_and_brings_it_home(gateway, split):
    ledger, *keys = split
    done = promote(gateway, ledger.bucket, REPLICA, "--force", deadline=240)
    assert done["state"] == "done", done
    assert home_of(gateway, ledger.bucket) == (REPLICA, 2)
    assert_stranded_and_brought_home(gateway, ledger, *keys)


@keeps_versions
def test_versions_that_stayed_behind_come_home_below_those_written_since(gateway):
    """A home with versions, a delete, tags and a delete marker that it has alone is away, and its replica becomes home by force."""
    s3 = gateway.target("acme").s3()
    bucket = f"stranded-{uuid.uuid4().hex[:10]}"
    create_bucket(s3, bucket, f"{HOME},{REPLICA}")
    s3.put_object(Bucket=bucket, Key="again", Body=b"null")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    clean = [put(s3, bucket, "clean", f"clean {n}".encode()) for n in range(2)]
    left = [put(s3, bucket, "left", f"left {n}".encode(), Tagging=f"n={n}") for n in range(3)]
    again = [put(s3, bucket, "again", b"again 0")]
    put(s3, bucket, "hidden", b"hidden")
    until(lambda: gateway.idle(bucket), "the queue is empty", 60)
    gateway.stop_backend(REPLICA)
    s3.delete_object(Bucket=bucket, Key="left", VersionId=left[0])
    s3.put_object_tagging(Bucket=bucket, Key="left", VersionId=left[1], Tagging={"TagSet": [{"Key": "n", "Value": "other"}]})
    left.append(put(s3, bucket, "left", payload(MIB)))
    again += [put(s3, bucket, "again", f"again {n}".encode()) for n in (1, 2)]
    s3.delete_object(Bucket=bucket, Key="hidden")
    alone = put(s3, bucket, "alone", b"alone")
    before = history(s3, bucket)
    have_the_replica_alone(gateway)
    until(lambda: read(s3, bucket, "clean") == b"clean 1", "the replica serves what is clean", 60)

    done = promote(gateway, bucket, REPLICA, "--force", deadline=240)
    assert done["state"] == "done", done
    assert home_of(gateway, bucket) == (REPLICA, 2)
    assert set(stranded(gateway, bucket)) == {"left", "again", "hidden", "alone"}
    for client in gateway.through_each_proxy("acme"):
        assert [read(client, bucket, "clean", VersionId=version) for version in clean] == [b"clean 0", b"clean 1"]
        assert fails(client.get_object, Bucket=bucket, Key="left") == (503, "ServiceUnavailable")
        assert fails(client.get_object, Bucket=bucket, Key="left", VersionId=left[1]) == (503, "ServiceUnavailable")
        assert listings_that_may_be_old(client, bucket) == [True] * 3
    since = [until(lambda: put(s3, bucket, "again", b"since 0"), "the new home takes writes", 60)]
    since.append(s3.delete_object(Bucket=bucket, Key="again")["VersionId"])
    since.append(put(s3, bucket, "again", b"since 1", Tagging="n=since"))
    assert stranded(gateway, bucket)["again"]["state"] == "overwritten"
    assert read(s3, bucket, "again") == read(s3, bucket, "again", VersionId=since[-1]) == b"since 1"
    assert read(s3, bucket, "again", VersionId=again[0]) == b"again 0", "the new home has it"
    assert fails(s3.get_object, Bucket=bucket, Key="again", VersionId=again[2]) == (503, "ServiceUnavailable")
    assert fails(s3.delete_object, Bucket=bucket, Key="again", VersionId=again[2]) == (503, "ServiceUnavailable"), "it would come back"
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "again", "VersionId": again[2]}]})
    assert [error["Code"] for error in gone["Errors"]] == ["ServiceUnavailable"]
    refused = fails(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert refused[0] == 409

    gateway.start_backend(HOME)
    gateway.call("POST", "/v1/jobs/redrive", {"all": True})
    until(lambda: not stranded(gateway, bucket), "what stayed behind is home", 120)
    for client in gateway.through_each_proxy("acme"):
        until(lambda c=client: listings_that_may_be_old(c, bucket) == [False] * 3, "no key waits, as every proxy knows", 30)
    after = history(s3, bucket)
    new = {("again", since[0]): (False, b"since 0", []), ("again", since[1]): (False, None, []), ("again", since[2]): (True, b"since 1", [{"Key": "n", "Value": "since"}])}
    assert after == {at: (latest and at[0] != "again", *rest) for at, (latest, *rest) in before.items()} | new, "nothing is lost, doubled or back"
    assert [version for _, version, _ in listed(s3, bucket, Prefix="left")] == left[:0:-1]
    assert fails(s3.get_object, Bucket=bucket, Key="left", VersionId=left[0]) == (404, "NoSuchVersion")
    of_again = s3.list_object_versions(Bucket=bucket, Prefix="again")
    assert [version["VersionId"] for version in of_again["Versions"]] == [since[2], since[0], *again[::-1], "null"]
    assert read(s3, bucket, "alone", VersionId=alone) == b"alone"
    until(lambda: gateway.idle(bucket), "the queue is empty", 120)
    # All versions and delete markers of both are compared, in their order.
    done = promote(gateway, bucket, HOME)
    assert done["state"] == "done", done
    assert history(s3, bucket) == after
    destroy(s3, bucket)


@pytest.mark.shape("production")
def test_a_replica_is_promoted_by_itself_where_that_is_allowed(gateway, split):
    ledger, *keys = split
    gateway.admin("bucket", "promote-after", "acme", ledger.bucket, "--seconds", "3")
    until(lambda: home_of(gateway, ledger.bucket)[0] == REPLICA, "the replica is home", 60)
    assert ended(gateway, ledger.bucket)["forced"]
    assert_stranded_and_brought_home(gateway, ledger, *keys)


@pytest.mark.shape("production")
def test_a_home_is_replaced_though_redis_has_forgotten_what_it_took_last(gateway):
    """An acknowledged overwrite and an acknowledged delete whose marks are lost, at a home that is away before anybody could look there."""
    s3 = gateway.target("acme").s3()
    bucket = bucket_with_forgotten_writes(gateway, gateway.target("acme"), s3)
    gateway.stop_backend(HOME)
    gateway.start_workers()
    done = promote(gateway, bucket, REPLICA, "--force", deadline=240)
    assert done["state"] == "done", done
    assert set(stranded(gateway, bucket)) == {"overwritten", "deleted", "untouched"}
    for key in ("overwritten", "deleted", "untouched"):
        assert fails(s3.get_object, Bucket=bucket, Key=key)[0] == 503, key
    until(lambda: s3.put_object(Bucket=bucket, Key="new", Body=b"new"), "the new home takes writes", 60)
    gateway.start_backend(HOME)
    gateway.call("POST", "/v1/jobs/redrive", {"all": True})
    until(lambda: all(row["state"] == "kept" for row in stranded(gateway, bucket).values()), "both sides were compared", 120)
    assert [read(s3, bucket, key) for key in ("overwritten", "untouched", "new")] == [b"after", b"before", b"new"]
    assert fails(s3.get_object, Bucket=bucket, Key="deleted")[0] == 404


@pytest.fixture
def third_proxy(gateway):
    """One more proxy, whose view runs out soon; and a file that says how its link to the metadata is."""
    port, path, folder = pick_port(), gateway.folder.path / "third.toml", gateway.folder.path / f"links-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    argv = [sys.executable, Path(__file__).with_name("links.py"), folder, f"postgres=127.0.0.1:{gateway.postgres.port}"]
    links = Process("links-third", argv, gateway.folder.path).start()
    linked = folder / "postgres.port"
    until(lambda: links.must_live() and linked.exists(), "the link listens")
    metadata = gateway.postgres.url.replace(f":{gateway.postgres.port}/", f":{linked.read_text()}/")
    text = CONFIG.format(metadata=metadata, redis=json.dumps(gateway.redis.urls), folder=gateway.folder.path, port=port, admin_port=pick_port(), worker_port=pick_port())
    path.write_text(text.replace('lease = "20s"', 'lease = "5s"', 1))
    process = Process("proxy-third", [BINARY, "proxy", "--config", path], gateway.folder.path, {"S3GATEWAY_ADMIN_TOKEN": gateway.admin_token}).start()
    endpoint = f"http://127.0.0.1:{port}"
    until(lambda: process.must_live() and listens(endpoint), "the third proxy listens", 60)
    try:
        yield process, endpoint, folder / "postgres.state"
    finally:
        process.stop(signal.SIGKILL)
        links.stop()


class HalfSent:
    """An upload of which the last bytes are still to come."""

    def __init__(self, url: str, body: bytes):
        place, self.rest = urlsplit(url), body[-65536:]
        self.socket = socket.create_connection((place.hostname, place.port), 30)
        head = f"PUT {place.path}?{place.query} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body[:-65536])

    def send_rest(self):
        self.socket.sendall(self.rest)

    def status(self) -> int:
        """0 where the connection was closed without one."""
        try:
            answer = self.socket.recv(64)
        except OSError:
            return 0
        return int(answer.split()[1]) if answer else 0


@pytest.mark.shape("production")
def test_a_proxy_that_stood_still_over_a_promotion_writes_nothing_to_the_old_home(gateway, third_proxy):
    process, endpoint, _ = third_proxy
    ledger = Ledger(gateway)
    assert ledger.put(ledger.key("known"), b"before")
    target = gateway.target()
    target.endpoint = endpoint
    s3 = target.s3()
    assert read(s3, ledger.bucket, ledger.key("known")) == b"before"
    late = ledger.key("late")
    upload = HalfSent(s3.generate_presigned_url("put_object", {"Bucket": ledger.bucket, "Key": late}), payload(3 * MIB, "late"))
    time.sleep(0.5)  # the proxy has taken what was sent
    process.child.send_signal(signal.SIGSTOP)
    try:
        done = promote(gateway, ledger.bucket, REPLICA)
        assert done["state"] == "done", done
        assert ledger.put(ledger.key("known"), b"after")
        upload.send_rest()  # it is there when the proxy goes on
    finally:
        process.child.send_signal(signal.SIGCONT)
    assert upload.status() in (0, 400, 503), "400: it was too slow for the proxy's clock"
    ledger.places = [REPLICA, HOME]
    ledger.check(deadline=60)
    assert late not in ledger.states(HOME) and late not in ledger.states(REPLICA)
    until(lambda: s3.put_object(Bucket=ledger.bucket, Key=late, Body=b"anew"), "it takes writes for the new home", 20)
    assert ledger.put(late, b"anew")
    ledger.check(deadline=60)


@pytest.mark.shape("production")
def test_a_proxy_that_is_cut_from_its_metadata_over_a_promotion_says_that_its_reads_may_be_old(gateway, third_proxy):
    _, endpoint, link = third_proxy
    ledger = Ledger(gateway)
    bucket, (kept, deleted, new) = ledger.bucket, (ledger.key(name) for name in ("kept", "deleted", "new"))
    for key in (kept, deleted):
        assert ledger.put(key, b"before")
    until(lambda: gateway.idle(bucket), "the queue is empty", 60)
    target = gateway.target()
    target.endpoint = endpoint
    s3 = target.s3()

    def seen() -> tuple[dict[str, bytes | None], list[list[str]], set[bool]]:
        """Objects and listings as this proxy answers them, and whether its answers say that they may be old."""
        objects, answers = {}, []
        for key in (kept, deleted, new):
            for ask in (s3.head_object, s3.get_object):
                try:
                    answers.append(ask(Bucket=bucket, Key=key))
                    objects[key] = answers[-1]["Body"].read() if "Body" in answers[-1] else b""
                except ClientError as error:
                    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404, error
                    answers.append(error.response)
                    objects[key] = None
        answers.append(s3.get_object_tagging(Bucket=bucket, Key=kept))
        lists = [s3.list_objects(Bucket=bucket), s3.list_objects_v2(Bucket=bucket), s3.list_object_versions(Bucket=bucket)]
        keys = [[entry["Key"] for entry in page.get("Contents", page.get("Versions", []))] for page in lists]
        return objects, keys, {may_be_old(answer) for answer in answers + lists}

    old = ({kept: b"before", deleted: b"before", new: None}, [sorted([kept, deleted])] * 3)
    assert seen() == (*old, {False})
    try:
        link.write_text("stalled")
        until(lambda: may_be_old(s3.head_object(Bucket=bucket, Key=kept)), "its view has run out", 30)
        done = promote(gateway, bucket, REPLICA)
        assert done["state"] == "done", done
        # Else they bring the former home up to date.
        gateway.kill_workers()
        assert ledger.put(kept, b"after") and ledger.delete(deleted) and ledger.put(new, b"new")
        assert seen() == (*old, {True})
        assert fails(s3.put_object, Bucket=bucket, Key=kept, Body=b"x")[0] == 503
        link.write_text("open")
        until(lambda: not may_be_old(s3.head_object(Bucket=bucket, Key=kept)), "it reads the feed again", 60)
        assert seen() == ({kept: b"after", deleted: None, new: b"new"}, [sorted([kept, new])] * 3, {False})
    finally:
        for worker in gateway.workers:
            if not worker.alive():
                worker.start()
    ledger.places = [REPLICA, HOME]
    ledger.check(deadline=60)


@pytest.mark.shape("production")
def test_workers_that_die_or_stand_still_do_not_stop_a_promotion(gateway):
    ledger = Timed(gateway)
    with clients_writing(ledger, 2):
        wait_for_writes(ledger, 20, 60)
        gateway.kill_workers()
        begun = gateway.call("POST", of(gateway, ledger.bucket) + "/promote", {"to": REPLICA})
        assert begun["state"] == "preparing", begun
        gateway.start_workers()
        frozen = gateway.workers[0]
        until(lambda: gateway.call("GET", of(gateway, ledger.bucket) + "/promotions")["promotions"][0]["state"] != "preparing", "it is under way", 60)
        frozen.child.send_signal(signal.SIGSTOP)
        try:
            done = ended(gateway, ledger.bucket, begun["id"], 120)
        finally:
            frozen.child.send_signal(signal.SIGCONT)
        wait_for_writes(ledger, 20, 60)
    ledger.places = [REPLICA, HOME] if done["state"] == "done" else [HOME, REPLICA]
    assert home_of(gateway, ledger.bucket)[0] == ledger.places[0]
    ledger.check(deadline=120)
