"""The one judge of every fault test: it keeps its own record of what was acknowledged and afterwards reads the backends directly.

What it holds the gateway to: every acknowledged write is readable with its exact bytes at the home and at each replica, every acknowledged delete is gone
everywhere, all copies are equal, and nothing ever came to a denied place. A write without an answer may have happened or not, but not by half.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from clients import create_bucket, payload
from gateway import DENIED, HOME, REPLICA, Gateway
from processes import until

GONE = None


@dataclass
class Entry:
    """What may be true of a key: the last acknowledged state, and states whose requests had no answer."""

    acknowledged: str | None = GONE
    possible: set = field(default_factory=set)
    writes: int = 0


class Ledger:
    """Writes to one bucket, each key from one thread at a time, and remembers."""

    def __init__(self, gateway: Gateway, tenant: str = "acme", location: str = f"{HOME},{REPLICA}"):
        self.gateway, self.tenant = gateway, tenant
        self.run = uuid.uuid4().hex[:8]
        self.bucket = f"ledger-{self.run}"
        self.places = location.split(",")
        self.lock = threading.Lock()
        self.entries: dict[str, Entry] = {}
        self.refused: list[str] = []
        self.s3 = gateway.target(tenant).s3(read_timeout=30)
        create_bucket(self.s3, self.bucket, location)

    def key(self, name: object) -> str:
        return f"{self.run}/{name}"

    def put(self, key: str, data: bytes) -> bool:
        return self._write(key, hashlib.sha256(data).hexdigest(), lambda: self.s3.put_object(Bucket=self.bucket, Key=key, Body=data))

    def delete(self, key: str) -> bool:
        return self._write(key, GONE, lambda: self.s3.delete_object(Bucket=self.bucket, Key=key))

    def multipart(self, key: str, parts: list[bytes]) -> bool:
        def write():
            upload = self.s3.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"]
            etags = [self.s3.upload_part(Bucket=self.bucket, Key=key, UploadId=upload, PartNumber=n, Body=p)["ETag"] for n, p in enumerate(parts, 1)]
            whole = {"Parts": [{"PartNumber": n, "ETag": e} for n, e in enumerate(etags, 1)]}
            self.s3.complete_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload=whole)

        return self._write(key, hashlib.sha256(b"".join(parts)).hexdigest(), write)

    def _write(self, key: str, state: str | None, write) -> bool:
        """True where it was acknowledged."""
        with self.lock:
            entry = self.entries.setdefault(key, Entry())
            entry.possible.add(state)
            entry.writes += 1
        try:
            write()
        except (ClientError, BotoCoreError) as error:
            with self.lock:
                self.refused.append(f"{key}: {type(error).__name__} {error}"[:300])
            return False
        with self.lock:
            entry.acknowledged, entry.possible = state, set()
        return True

    def acknowledged(self) -> int:
        with self.lock:
            return sum(e.acknowledged is not GONE and not e.possible for e in self.entries.values())

    def allowed(self, key: str) -> set:
        entry = self.entries[key]
        return {entry.acknowledged} | entry.possible

    # Judging ---------------------------------------------------------------------------------------------------------

    def check(self, deadline: float = 60):
        """Waits for convergence by looking at the backends alone, then judges everything once more."""
        until(self._converged, "all copies are equal and as acknowledged", deadline, every=0.25)
        until(lambda: self.gateway.idle(self.bucket), "no key is dirty", max(deadline, 20))
        self._check_gateway()
        self.check_denied_place()
        for process in self.gateway.proxy_processes():
            assert process.alive(), f"{process.name} died"

    def _converged(self) -> bool:
        states = {place: self.states(place) for place in self.places}
        home = states[self.places[0]]
        for key in self.entries:
            have = home.get(key, (GONE, None))
            assert have[0] in self.allowed(key), f"{key} at {self.places[0]} is {have[0]}, allowed {self.allowed(key)}"
        for place in self.places[1:]:
            differing = {k for k in home.keys() | states[place].keys() if home.get(k) != states[place].get(k)}
            assert not differing, f"{len(differing)} keys differ at {place}, such as {sorted(differing)[:3]}"
        strangers = home.keys() - self.entries.keys()
        assert not strangers, f"keys that nobody wrote: {sorted(strangers)[:3]}"
        return True

    def states(self, place: str) -> dict[str, tuple[str, str]]:
        """Digest and ETag of each key that a backend holds for this run, read directly."""
        s3 = self.gateway.backends[place].s3()
        states: dict[str, tuple[str, str]] = {}
        listed = self.gateway.backends[place].holding(lambda s3, b: list(s3.get_paginator("list_objects_v2").paginate(Bucket=b, Prefix=f"{self.run}/")))
        for bucket, pages in listed.items():
            for page in pages:
                for item in page.get("Contents", []):
                    key = item["Key"]
                    assert key not in states, f"{key} is twice on {place}"
                    got = s3.get_object(Bucket=bucket, Key=key)
                    digest = hashlib.sha256()
                    for chunk in got["Body"].iter_chunks(1 << 20):
                        digest.update(chunk)
                    # Part boundaries cannot be read back from every backend, so ETags of multipart objects may differ.
                    states[key] = (digest.hexdigest(), got["ETag"] if "-" not in got["ETag"] else "multipart")
        return states

    def _check_gateway(self):
        """The gateway tells the same as its home."""
        home = self.states(self.places[0])
        listed = {}
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            listed |= {o["Key"]: o["ETag"] for o in page.get("Contents", [])}
        assert listed.keys() == home.keys()
        for key in self.entries:
            try:
                got = self.s3.get_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                assert error.response["Error"]["Code"] == "NoSuchKey", error
                assert key not in home, f"{key} is acknowledged, at home, and the gateway does not find it"
                continue
            assert hashlib.sha256(got["Body"].read()).hexdigest() == home[key][0], key

    def check_denied_place(self):
        if DENIED not in self.places:
            held = self.states(DENIED)
            assert not held, f"{len(held)} keys in the denied place {DENIED}"


def traffic(ledger: Ledger, worker: int, stop: threading.Event, sizes=(0, 1_000, 70_000, 700_000)):
    """One client's mixed writes: creates, overwrites, deletes and small multipart uploads, until told to stop."""
    turn = 0
    while not stop.is_set():
        turn += 1
        key = ledger.key(f"w{worker}/{turn % 7}")
        data = payload(sizes[turn % len(sizes)] + turn % 3, f"{worker}/{turn}")
        if turn % 5 == 4:
            done = ledger.delete(key)
        elif turn % 11 == 10:
            done = ledger.multipart(ledger.key(f"w{worker}/multi"), [data + b"x" * 5 * 1024 * 1024, data])
        else:
            done = ledger.put(key, data)
        if not done:
            stop.wait(0.05)  # a client backs off a moment
