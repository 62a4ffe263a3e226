"""`s3gateway soak` against a deployment as in production, while a seeded schedule does everything to it that a machine room can.

Three proxies and three workers on PostgreSQL and Redis; backends of two kinds, Ceph RGW and the embedded server, each the home of one bucket and the
replica of another, and a bucket whose writes both must have; every connection between them goes over a link that can be cut, slowed down or held up.
By hand: `python soak.py --seconds 600`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway import BINARY, CONFIG, DENIED, HOME, REPLICA, Backend, Gateway, listens
from processes import TARGET, Process, pick_port, run, until
from servers import Postgres, Redis, Rgw

COUNT = 3
LIBFAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
DISK = 3072
"""MiB that the embedded server has, where a file system of its own is permitted."""
WEIGHTS = {"kill": 4, "stop": 2}
"""How often a kind comes, against 1 of the others."""
LASTS = {"cut": (0, 0), "freeze": (15, 70)}
"""Seconds, against 0.5 to 8 of the others."""
BUCKETS = {"rgw-first": (HOME, REPLICA), "embedded-first": (REPLICA, HOME), "quorum": (HOME, REPLICA)}
"""Homes and replicas; a write to the last counts once both have it."""


@dataclass
class Fault:
    """One thing that is done to one part, and undone after a while."""

    at: float
    kind: str
    target: str
    seconds: float
    skew: int = 0


def make_schedule(seed: int, seconds: float, kinds: dict[str, list[str]]) -> list[Fault]:
    """The same faults for the same seed; two at a time, or three where one lasts long, never two at one part, and all over when the load ends."""
    source, faults, at = random.Random(seed), [], 3.0
    most = 3 if "freeze" in kinds else 2
    busy: dict[str, float] = {}
    while at < seconds - 2:
        names = sorted(kinds)
        [kind] = source.choices(names, [WEIGHTS.get(name, 1) for name in names])
        target = source.choice(kinds[kind])
        lasts = min(source.uniform(*LASTS.get(kind, (0.5, 8.0))), seconds - at - 1)
        busy = {part: end for part, end in busy.items() if end > at}
        if len(busy) < most and part_of(target) not in busy:
            skew = source.choice([-1, 1]) * source.randint(2, 240) if kind == "skew" else 0
            faults.append(Fault(round(at, 2), kind, target, round(lasts, 2), skew))
            busy[part_of(target)] = at + lasts + 1
        at += source.uniform(0.3, 2.5)
    return faults


def part_of(target: str) -> str:
    return target.removeprefix("link-")


class Deployment(Gateway):
    """What the soak runs against."""

    name = "soak"
    any_key = True

    def __init__(self):
        super().__init__()
        self.postgres, self.redis, self.rgw = Postgres(), Redis(fsync="everysec"), Rgw([HOME, DENIED])
        self.admin_token = secrets.token_hex(32)
        self.env = {"S3GATEWAY_ADMIN_TOKEN": self.admin_token}
        self.ports = [pick_port() for _ in range(COUNT)]
        self.disk = self.folder.path / "disk"
        self.disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", self.disk], capture_output=True)
        self.own_disk = mounted.returncode == 0
        self.parts: dict[str, Process] = {}
        self.down: set[str] = set()
        """Parts that a fault keeps from running."""
        self.links: Process | None = None

    def start(self) -> "Deployment":
        self.postgres.start()
        self.redis.start()
        self.rgw.start()
        self.start_embedded()
        self.start_links()
        self.make_master_key()
        configs = [self.write_config(n) for n in range(COUNT)]
        run([BINARY, "migrate", "--config", configs[0]], env=self.env)
        for n, config in enumerate(configs):
            for role in ("proxy", "worker"):
                self.parts[f"{role}-{n}"] = Process(f"{role}-{n}", [BINARY, role, "--config", config], self.folder.path, self.env)
        self.parts |= {"redis": self.redis.process, "postgres": self.postgres.process, HOME: self.rgw.gateways[HOME], REPLICA: self.embedded}
        for n in range(COUNT):
            self.parts[f"proxy-{n}"].start()
        for n, endpoint in enumerate(self.proxy_endpoints()):
            until(lambda p=self.parts[f"proxy-{n}"], e=endpoint: p.must_live() and listens(e), f"proxy-{n} listens", 60)
        until(lambda: self.api("GET", "/readyz")[0] == 200, "the proxy is ready", 30)
        self.add_backends()
        self.add_tenant("acme", "--placement", f"{HOME},{REPLICA}", "--replica-count", "2", "--allow-jurisdictions", "EU")
        for n in range(COUNT):
            self.parts[f"worker-{n}"].start()
        return self

    def start_embedded(self):
        self.embedded_port = pick_port()
        self.embedded_keys = ("embedded-access", secrets.token_hex(16))
        env = {"AWS_ACCESS_KEY_ID": self.embedded_keys[0], "AWS_SECRET_ACCESS_KEY": self.embedded_keys[1]}
        server = TARGET / "debug/examples/serve"
        assert server.exists(), f"{server}: cargo build -p s3gateway-embedded --example serve"
        self.embedded = Process("embedded", [server, self.disk / "objects", f"127.0.0.1:{self.embedded_port}"], self.folder.path, env)
        self.embedded.start()
        until(lambda: self.embedded.must_live() and listens(f"http://127.0.0.1:{self.embedded_port}"), "the embedded server listens")

    def start_links(self):
        folder = self.folder.path / "links"
        folder.mkdir()
        ends = {f"proxy-{n}": port for n, port in enumerate(self.ports)}
        ends |= {"redis": self.redis.port, "postgres": self.postgres.port, HOME: self.rgw.ports[HOME], REPLICA: self.embedded_port, DENIED: self.rgw.ports[DENIED]}
        argv = [sys.executable, Path(__file__).with_name("links.py"), folder, *[f"{name}=127.0.0.1:{port}" for name, port in ends.items()]]
        self.links = Process("links", argv, self.folder.path).start()
        until(lambda: self.links.must_live() and all((folder / f"{name}.port").exists() for name in ends), "the links listen")
        self.linked = {name: int((folder / f"{name}.port").read_text()) for name in ends}

    def set_link(self, name: str, state: str):
        file = self.folder.path / "links" / f"{name}.state"
        temporary = file.with_suffix(".next")
        temporary.write_text(state)
        temporary.rename(file)

    def write_config(self, n: int) -> Path:
        admin_port = pick_port()
        if n == 0:
            self.admin_endpoint = f"http://127.0.0.1:{admin_port}"
        path = self.folder.path / f"s3gateway-{n}.toml"
        metadata = f"postgresql://postgres@127.0.0.1:{self.linked['postgres']}/postgres"
        redis = f"redis://127.0.0.1:{self.linked['redis']}"
        text = CONFIG.format(metadata=metadata, redis=json.dumps([redis]), folder=self.folder.path, port=self.ports[n], admin_port=admin_port, worker_port=pick_port())
        # Redis is restarted every half minute here: with longer timeouts hardly a moment would be left in which it has settled.
        path.write_text(text.replace('read_timeout = "15s"', 'read_timeout = "3s"').replace('write_timeout = "10s"', 'write_timeout = "3s"'))
        return path

    def add_backends(self):
        for place in (HOME, REPLICA, DENIED):
            keys, more = self.embedded_keys, {"trailing_checksums": True}
            if place != REPLICA:
                user = self.rgw.users[place]
                # radosgw compares If-Match on a write with the bare entity tag.
                keys, more = (user.access_key, user.secret_key), {"quoted_if_match": False}
            self.add_backend(Backend(place, f"http://127.0.0.1:{self.linked[place]}", *keys), place, **more)
        direct = {HOME: self.rgw.endpoint(HOME), DENIED: self.rgw.endpoint(DENIED), REPLICA: f"http://127.0.0.1:{self.embedded_port}"}
        listed = [asdict(backend) | {"endpoint": direct[backend.id]} for backend in self.backends.values()]
        self.backends_file = self.folder.path / "backends.json"
        self.backends_file.write_text(json.dumps({"backends": listed}))
        self.backends_file.chmod(0o600)

    def proxy_endpoints(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def soak(self, bucket: str, folder: Path, *more: object) -> Process:
        """One run of the tool, started; its answers are in `folder`."""
        tenant = self.tenants["acme"]
        env = {"AWS_ACCESS_KEY_ID": tenant.access_key, "AWS_SECRET_ACCESS_KEY": tenant.secret_key}
        env |= {"S3GATEWAY_ADMIN_ENDPOINT": self.admin_endpoint, "S3GATEWAY_ADMIN_TOKEN": self.admin_token}
        endpoints = ",".join(f"http://127.0.0.1:{self.linked[f'proxy-{n}']}" for n in range(COUNT))
        argv = [BINARY, "soak", "--endpoint", endpoints, "--backends", self.backends_file, "--bucket", bucket, "--ledger", folder / f"{bucket}.ledger"]
        argv += ["--report", folder / f"{bucket}.json", *more]
        return Process(f"soak-{bucket}", argv, folder, env)

    # Faults --------------------------------------------------------------------------------------------------------

    def kinds(self, freeze: bool) -> dict[str, list[str]]:
        """What can be done here, and to which parts."""
        ours = [f"{role}-{n}" for role in ("proxy", "worker") for n in range(COUNT)]
        links = [f"link-{name}" for name in self.linked if name != DENIED]
        kinds = {
            "kill": [*ours, "redis", "postgres", HOME, REPLICA],
            "stop": [*ours, "redis", HOME, REPLICA],
            "cut": links, "slow": links, "stall": links,
            "forget": ["redis"],
        }
        if self.own_disk:
            kinds["disk full"] = [REPLICA]
        if LIBFAKETIME.exists():
            kinds["skew"] = ours
        if freeze:
            kinds["freeze"] = ours
        return kinds

    def begin(self, fault: Fault):
        name = part_of(fault.target)
        match fault.kind:
            case "kill":
                self.down.add(name)
                self.parts[name].stop(signal.SIGKILL)
            case "stop" | "freeze":
                os.kill(self.parts[name].pid, signal.SIGSTOP)
            case "cut":
                self.set_link(name, f"cut {fault.at}")
            case "slow":
                self.set_link(name, "slow")
            case "stall":
                self.set_link(name, "stalled")
            case "disk full":
                self.fill_disk()
            case "skew":
                skewed = {"LD_PRELOAD": str(LIBFAKETIME), "FAKETIME": f"{fault.skew:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
                self.restart(name, self.env | skewed)
            case "forget":
                self.down.add(name)
                self.forget_last_second()

    def end(self, fault: Fault):
        name = part_of(fault.target)
        match fault.kind:
            case "kill" | "forget":
                self.parts[name].start()
                self.down.discard(name)
            case "stop" | "freeze":
                os.kill(self.parts[name].pid, signal.SIGCONT)
            case "cut" | "slow" | "stall":
                self.set_link(name, "open")
            case "disk full":
                self.filler.unlink(missing_ok=True)
            case "skew":
                self.restart(name, self.env)

    def supervise(self):
        """Starts again what has ended by itself, as a supervisor does: a process that cannot reach its metadata at its start says so and ends."""
        for name, process in self.parts.items():
            if name in self.down:
                continue
            if not name.startswith(("proxy", "worker")):
                process.must_live()
            elif not process.alive():
                status = process.stop()
                assert status == 1 and ("metadata.url" in process.tail(400) or "the store is unavailable" in process.tail(400)), f"{name} ended with {status}:\n{process.tail()}"
                process.start()

    def restart(self, name: str, env: dict[str, str]):
        self.parts[name].stop(signal.SIGKILL)
        self.parts[name].env = env
        self.parts[name].start()

    @property
    def filler(self) -> Path:
        return self.disk / "filler"

    def fill_disk(self):
        """Leaves no block; what the server writes from then on is refused by its file system."""
        size = 0
        with open(self.filler, "wb") as file:
            for step in (16 << 20, 1 << 20, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), size, step)
                        size += step

    def free_mib(self) -> int:
        """What the embedded server's disk has left: objects whose disk is really full prove nothing."""
        disk = os.statvfs(self.disk)
        return disk.f_bavail * disk.f_frsize >> 20

    def forget_last_second(self):
        """What a power cut takes of an append-only file that is synced once a second."""
        file, size = self.appended()
        time.sleep(1)
        self.redis.kill()
        last, _ = self.appended()
        # One that was begun in that second, by a rewrite, is lost as a whole.
        os.truncate(last, size if last == file else 0)

    def appended(self) -> tuple[Path, int]:
        """The file that Redis appends to, which the last line of its manifest names, and its size."""
        folder = self.redis.folder.path / "appendonlydir"
        words = (folder / "appendonly.aof.manifest").read_text().splitlines()[-1].split()
        assert words[words.index("type") + 1] == "i", words
        file = folder / words[words.index("file") + 1]
        return file, file.stat().st_size

    def close(self):
        for process in (*self.parts.values(), self.embedded):
            if process.alive():
                os.kill(process.pid, signal.SIGCONT)
            process.stop(signal.SIGKILL)
        if self.links:
            self.links.stop()
        for server in (self.rgw, self.redis, self.postgres):
            server.close()
        if self.own_disk:
            subprocess.run(["umount", "-l", self.disk], capture_output=True)
        super().close()


def carry_out(deployment: Deployment, faults: list[Fault], log: Path, seconds: float, must_run):
    """Begins and ends each fault in its time and notes it where the soak counts them."""
    events = sorted([(f.at, "begin", f) for f in faults] + [(f.at + f.seconds, "end", f) for f in faults], key=lambda event: event[:2])
    began = time.monotonic()
    for at, what, fault in [*events, (seconds, "over", None)]:
        while (left := began + at - time.monotonic()) > 0:
            must_run()
            deployment.supervise()
            time.sleep(min(left, 0.5))
        if what == "begin":
            with open(log, "a") as out:
                out.write(json.dumps(asdict(fault) | {"time": round(time.time(), 3), "free_mib": deployment.free_mib()}) + "\n")
            deployment.begin(fault)
        elif what == "end":
            deployment.end(fault)


def soak(folder: Path, seconds: float, seed: int, clients: int = 4) -> dict[str, dict]:
    """The whole of it; each bucket's report, with `status` and `output` of its run."""
    deployment = Deployment()
    try:
        deployment.start()
        log = folder / "faults"
        log.touch()
        options = ["--duration", f"{seconds:.0f}s", "--converge-within", "4m", "--clients", clients, "--keys", 12, "--max-size", 400_000, "--faults", log]
        runs = {}
        for n, (bucket, places) in enumerate(BUCKETS.items()):
            runs[bucket] = deployment.soak(bucket, folder, *options, "--location", ",".join(places), "--seed", seed + n).start()
        quorum = "/v1/tenants/acme/buckets/quorum/write-quorum"

        def has_quorum() -> bool:
            runs["quorum"].must_live()
            return deployment.call("PUT", quorum, {"write_quorum": 2})["write_quorum"] == 2

        # Its run makes the bucket first.
        until(has_quorum, "the bucket has its quorum", 120)
        faults = make_schedule(seed, seconds, deployment.kinds(freeze=seconds >= 300))
        carry_out(deployment, faults, log, seconds, lambda: [process.must_live() for process in runs.values()])
        # What ran out of attempts while a backend was away is driven again by the operator.
        until(lambda: deployment.supervise() or deployment.call("POST", "/v1/jobs/redrive", {"all": True}) is not None, "the dead letters are driven again", 60)
        until(lambda: not any(process.alive() for process in runs.values()), "the soak has judged", 600, every=0.5)
        for name, process in deployment.parts.items():
            assert process.alive(), f"{name} ended by itself:\n{process.tail()}"
        return {bucket: result_of(process, folder / f"{bucket}.json") for bucket, process in runs.items()}
    finally:
        if keep := os.environ.get("S3GATEWAY_E2E_KEEP"):
            print(f"kept ({keep}): {deployment.folder.path}")
        deployment.close()


def result_of(process: Process, report: Path) -> dict:
    status = process.stop()
    return {"status": status, "output": process.tail(20_000)} | (json.loads(report.read_text()) if report.exists() else {})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    parser.add_argument("--folder", type=Path, required=True, help="for ledgers, logs and reports; a new one")
    given = parser.parse_args()
    given.folder.mkdir(parents=True)
    print(f"seed {given.seed}, {given.seconds:.0f} s, in {given.folder}", flush=True)
    results = soak(given.folder, given.seconds, given.seed)
    for bucket, result in results.items():
        print(f"\n{bucket}\n{result['output']}")
    return max(result["status"] != 0 for result in results.values())


if __name__ == "__main__":
    sys.exit(main())
