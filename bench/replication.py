"""Copies the same objects between the same two servers with one worker process and with `rclone sync`, in turns, and prints the table;
then the worker's memory over jobs of several sizes, the lag at a steady load, its memory over a million dirty keys, and what marks one Redis takes.

Usage: bench/run replication. Settings: BENCH_SMALL and BENCH_LARGE (how many objects), BENCH_ROUNDS, BENCH_JOBS (objects of each job for the
worker's memory), BENCH_RATE (writes a second at the steady load), BENCH_STEADY (its seconds), BENCH_KEYS (dirty keys for the worker's memory),
BENCH_MARKS (keys that are marked), BENCH_SERVERS (embedded or plain). What is 0, or an empty list, is left out, but for the steady load.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "e2e"))

from processes import TARGET, Folder, Process, clean_environment, pick_port, run, until  # noqa: E402
from servers import Postgres, Redis, answers  # noqa: E402
from sigv4 import Request, Signer, authorise  # noqa: E402

GATEWAY = TARGET / "dist/s3gateway"
SERVERS = {"embedded": TARGET / "dist/examples/serve", "plain": TARGET / "dist/plain_backend"}
SERVER = os.environ.get("BENCH_SERVERS", "plain")
SMALL, LARGE = int(os.environ.get("BENCH_SMALL", "10000")), int(os.environ.get("BENCH_LARGE", "50"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
RATE, STEADY = int(os.environ.get("BENCH_RATE", "200")), int(os.environ.get("BENCH_STEADY", "20"))
KEYS, MARKS = int(os.environ.get("BENCH_KEYS", "1000000")), int(os.environ.get("BENCH_MARKS", "1000000"))
JOBS = [int(count) for count in os.environ.get("BENCH_JOBS", "1000,10000").split(",") if count]
SHARDS = 16
SIZES = {"small": (SMALL, lambda: random.randint(1 << 10, 16 << 10)), "large": (LARGE, lambda: 64 << 20)}
# Keys of the benchmark are plain file names, so that s3s-fs holds them all.
CAPABILITIES = {"embedded": {"trailing_checksums": False, "tag_count": True}, "plain": {"tagging": False, "versioning": False, "list_uploads": False, "keys": "any"}}
TRANSFERS = {"small": 64, "large": 8}

CONFIG = """
[metadata]
url = "{postgres}"
[queue]
redis = ["{redis}"]
shards = {shards}
[secrets]
master_key_file = "{folder}/master.key"
[backends]
allow_networks = ["127.0.0.0/8"]
[proxy]
listen = ["127.0.0.1:{port}"]
[admin]
listen = "127.0.0.1:{admin}"
[worker]
listen = "127.0.0.1:{worker}"
[log]
level = "{level}"
"""


class Client:
    """Signed requests with an unsigned payload, a connection for each thread."""

    def __init__(self, port: int, signer: Signer):
        self.port, self.signer, self.local = port, signer, threading.local()

    def send(self, method: str, path: str, body: bytes = b"") -> bytes:
        request = Request(method, path, [("Host", f"127.0.0.1:{self.port}")], body)
        authorise(request, self.signer, f"127.0.0.1:{self.port}", payload="UNSIGNED-PAYLOAD")
        connection = getattr(self.local, "connection", None) or http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        self.local.connection = connection
        connection.request(method, path, body=body, headers={n: v for n, v in request.headers if n.lower() != "host"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return text or b"done"


class Bench:
    """Two servers, PostgreSQL, Redis and a proxy; the worker runs while it is measured."""

    def __init__(self):
        self.folder = Folder("replication")
        self.postgres, self.redis = Postgres().start(), Redis(fsync="everysec").start()
        # One connection for the questions asked all the time: a process for each would take the copiers' processor.
        self.asking = socket.create_connection(("127.0.0.1", self.redis.port)).makefile("rwb", buffering=0)
        self.keys = {"AWS_ACCESS_KEY_ID": "bench-access", "AWS_SECRET_ACCESS_KEY": "bench-secret"}
        # In memory where there is such a place: what a disk takes is the same for both copiers, and varies more than they do.
        memory = Path("/dev/shm")
        self.data = Path(tempfile.mkdtemp(prefix="s3gateway-bench-", dir=memory if os.access(memory, os.W_OK) else None))
        self.servers = {name: self.start_server(name) for name in ("a", "b")}
        path = self.folder.path
        (path / "master.key").write_text(secrets.token_hex(32))
        (path / "master.key").chmod(0o600)
        ports = {name: pick_port() for name in ("port", "admin", "worker")}
        self.worker_port = ports["worker"]
        for level in ("warn", "info"):
            text = CONFIG.format(folder=path, postgres=self.postgres.url, redis=self.redis.url, shards=SHARDS, level=level, **ports)
            (path / f"{level}.toml").write_text(text)
        token = secrets.token_hex(32)
        env = self.env = {"S3GATEWAY_ADMIN_TOKEN": token}
        run([GATEWAY, "migrate", "--config", path / "warn.toml"], env=env)
        self.proxy = Process("proxy", [GATEWAY, "proxy", "--config", path / "warn.toml"], path, env).start()
        where = env | {"S3GATEWAY_ADMIN_ENDPOINT": f"http://127.0.0.1:{ports['admin']}", "S3GATEWAY_BACKEND_SECRET_KEY": "bench-secret"}
        self.admin = lambda *words: run([GATEWAY, "admin", *words], env=where)
        until(lambda: self.admin("tenant", "list"), "the gateway is ready", 30)
        (path / "capabilities.json").write_text(json.dumps(CAPABILITIES[SERVER]))
        for name, port in self.servers.items():
            place = [f"--zone={name}-1", f"--region={name}", "--country=FI", "--jurisdiction=EU", "--provider=p"]
            self.admin("backend", "add", name, "--capabilities-file", path / "capabilities.json", "--url", f"http://127.0.0.1:{port}", "--access-key", "bench-access", *place)
        self.admin("tenant", "create", "bench", "--placement", "a,b", "--replica-count", "2")
        key = json.loads(self.admin("--json", "key", "create", "bench").stdout)
        self.client = Client(ports["port"], Signer(key["access_key"], key["secret_key"]))
        until(lambda: self.client.send("PUT", "/first"), "the proxy knows the key and the backends", 20)

    def start_server(self, name: str) -> int:
        port = pick_port()
        Process(f"server-{name}", [SERVERS[SERVER], self.data / name, f"127.0.0.1:{port}"], self.folder.path, self.keys).start()
        until(lambda: answers(f"http://127.0.0.1:{port}/"), f"server {name} answers")
        return port

    def worker(self, level: str = "warn") -> Process:
        return Process(f"worker-{level}", [GATEWAY, "worker", "--config", self.folder.path / f"{level}.toml"], self.folder.path, self.env).start()

    def dirty(self) -> int:
        script = f"local n = 0 for s = 0, {SHARDS - 1} do n = n + redis.call('HLEN', '{{s3gateway:' .. s .. '}}:dirty') end return n"
        words = [b"EVAL", script.encode(), b"0"]
        self.asking.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        answer = self.asking.readline()
        assert answer.startswith(b":"), answer
        return int(answer[1:])

    def load(self, bucket: str, kind: str, given: int = 0) -> int:
        """Puts the objects of one round, or as many as are given, through the proxy, which marks them; how many bytes."""
        self.client.send("PUT", f"/{bucket}")
        count, size = given or SIZES[kind][0], SIZES[kind][1]
        sizes, block = [size() for _ in range(count)], os.urandom(64 << 20)

        def put(at: int):
            start = random.randrange(0, len(block) - sizes[at] + 1)
            self.client.send("PUT", f"/{bucket}/object-{at:06}", block[start:start + sizes[at]])

        with ThreadPoolExecutor(16 if kind == "small" else 2) as pool:
            list(pool.map(put, range(count)))
        assert self.dirty() == count, f"{self.dirty()} of {count} keys are dirty"
        return sum(sizes)

    def physical(self, bucket: str) -> str:
        """The name of a bucket on its home."""
        shown = json.loads(self.admin("--json", "bucket", "show", "bench", bucket).stdout)
        return next(m["physical_bucket"] for m in shown["mapping"] if m["home"])

    def rclone_env(self) -> dict[str, str]:
        env = clean_environment()
        for name, port in self.servers.items():
            given = {"TYPE": "s3", "PROVIDER": "Other", "LIST_VERSION": "2", "FORCE_PATH_STYLE": "true", "ENDPOINT": f"http://127.0.0.1:{port}", "ACCESS_KEY_ID": "bench-access", "SECRET_ACCESS_KEY": "bench-secret"}
            env |= {f"RCLONE_CONFIG_{name.upper()}_{k}": v for k, v in given.items()}
        return env

    def by_worker(self, before: int) -> dict:
        began = time.monotonic()
        worker = self.worker()
        until(lambda: worker.must_live() and self.dirty() <= before, "all keys are clean", 900, every=0.02)
        took = time.monotonic() - began
        figures = {"seconds": took, "cpu": cpu_seconds(worker.pid), "peak": worker.peak_resident_bytes() >> 20}
        worker.stop(signal.SIGTERM)
        return figures

    def by_rclone(self, source: str, target: str, kind: str, looks: bool) -> dict:
        """`looks`: whether it asks the target for what it wrote, as the worker always does; without is its best setting."""
        many = str(TRANSFERS[kind])
        argv = ["rclone", "sync", f"a:{source}", f"b:{target}", "--transfers", many, "--checkers", many, *([] if looks else ["--s3-no-head"]), "--s3-no-check-bucket",
                "--s3-chunk-size", "64M", "--s3-upload-concurrency", "4", "--s3-upload-cutoff", "5G", "--stats", "0", "--config", "/dev/null"]
        subprocess.run(["rclone", "mkdir", f"b:{target}"], env=self.rclone_env(), check=True, capture_output=True)
        began = time.monotonic()
        child = subprocess.Popen(argv, env=self.rclone_env(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        _, status, used = os.wait4(child.pid, 0)
        if status:
            raise SystemExit(f"rclone: {child.stderr.read()[-500:]!r}")
        took = time.monotonic() - began
        copied = subprocess.run(["rclone", "lsf", f"b:{target}"], env=self.rclone_env(), check=True, capture_output=True).stdout.split()
        assert len(copied) == SIZES[kind][0], f"rclone copied {len(copied)} objects"
        return {"seconds": took, "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss >> 10}

    def make_room(self, server: str):
        """Removes what a server holds; nobody looks at these objects again."""
        for bucket in (self.data / server).iterdir():
            if not bucket.name.startswith("."):
                shutil.rmtree(bucket, ignore_errors=True)

    def close(self):
        self.postgres.close()
        self.redis.close()
        self.folder.remove()
        shutil.rmtree(self.data, ignore_errors=True)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compare(bench: Bench, kind: str):
    rounds = []
    for number in range(ROUNDS):
        bucket = f"{kind}-{number}"
        volume = bench.load(bucket, kind)
        source = bench.physical(bucket)
        turns = {
            "worker": lambda: bench.by_worker(0),
            "rclone": lambda: bench.by_rclone(source, f"rclone-{bucket}", kind, False),
            "rclone, looking": lambda: bench.by_rclone(source, f"looking-{bucket}", kind, True),
        }
        order = list(turns)[::1 if number % 2 == 0 else -1]
        figures = {}
        for name in order:
            figures[name] = turns[name]() | {"volume": volume}
            bench.make_room("b")
        bench.make_room("a")
        rounds.append(figures)
    count = SIZES[kind][0]
    print(f"\n### {count:,} {kind} objects\n\n| copier | seconds | objects/s | MiB/s | CPU ms/object | peak MiB | of rclone |\n|---|---:|---:|---:|---:|---:|---:|")
    for name in ("rclone", "rclone, looking", "worker"):
        figure = lambda key: statistics.median(r[name][key] for r in rounds)  # noqa: E731
        ratios = sorted(r["rclone"]["seconds"] / r[name]["seconds"] for r in rounds)
        ratio = "1.00" if name == "rclone" else f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        seconds, volume = figure("seconds"), figure("volume") / (1 << 20)
        print(f"| {name} | {seconds:.2f} | {count / seconds:,.0f} | {volume / seconds:,.0f} | {1000 * figure('cpu') / count:.2f} | {figure('peak'):.0f} | {ratio} |", flush=True)


def grow(bench: Bench):
    """Jobs of the same objects but for their number, a fresh worker for each: memory that is bounded does not follow it."""
    print("\n| small objects in the job | worker's seconds | worker's peak MiB |\n|---:|---:|---:|")
    for count in JOBS:
        bench.load(f"job-of-{count}", "small", count)
        figures = bench.by_worker(0)
        for server in bench.servers:
            bench.make_room(server)
        print(f"| {count:,} | {figures['seconds']:.2f} | {figures['peak']} |", flush=True)


def steady(bench: Bench):
    """Writes at a constant rate while a worker runs; from a key becoming dirty to its being clean."""
    bench.client.send("PUT", "/steady")
    worker = bench.worker("info")
    with ThreadPoolExecutor(32) as pool:
        began = time.monotonic()
        for at in range(RATE * STEADY):
            time.sleep(max(0.0, began + at / RATE - time.monotonic()))
            pool.submit(bench.client.send, "PUT", f"/steady/object-{at:06}", os.urandom(4096))
    until(lambda: bench.dirty() == 0, "all keys are clean", 120)
    delays = sorted(int(ms) for ms in re.findall(r'"dirty_ms":(\d+)', worker.log.read_text()))
    worker.stop(signal.SIGTERM)
    at = lambda share: delays[min(len(delays) - 1, int(len(delays) * share))]  # noqa: E731
    print(f"\n{RATE} writes of 4 KiB a second for {STEADY} s: clean after {at(0.5)} ms (p50), {at(0.99)} ms (p99), {delays[-1]} ms at most", flush=True)


def memory(bench: Bench):
    """A million keys that the home has never had: what the worker's memory comes to while it works on them."""
    bench.client.send("PUT", "/million")
    buckets = run([bench.postgres.bin / "psql", bench.postgres.url, "-Atc", "select id from buckets where name = 'million'"]).stdout.decode().split()
    lua = ROOT / "store/src/lua"
    script = (lua / "record.lua").read_text() + (lua / "mark.lua").read_text()
    (bench.folder.path / "mark.lua").write_text(script)
    # The keys of a shard, in the order that record.lua names them.
    names = ["dirty", "buckets", "inflight", "waiting", "delayed", "dead", "reasons", "ages", "seconds", "sequence", "turn", "large", "again"]
    names += [f"flow{flow}" for flow in range(8)]
    by_shard: dict[int, list[str]] = {}
    for at in range(KEYS):
        member = f"{buckets[0]}/object-{at:07}"
        by_shard.setdefault(int.from_bytes(hashlib.sha256(member.encode()).digest()[:4], "big") % SHARDS, []).append(member)
    before = memory_used(bench.redis)
    began = time.monotonic()
    for shard, members in by_shard.items():
        keys = [f"{{s3gateway:{shard}}}:{name}" for name in names]
        for start in range(0, len(members), 2000):
            bench.redis.command("EVAL", script, str(len(keys)), *keys, "bench", *members[start:start + 2000])
    took = time.monotonic() - began
    each = (memory_used(bench.redis) - before) / KEYS
    worker = bench.worker()
    time.sleep(20)
    done = KEYS - bench.dirty()
    print(f"\n{KEYS:,} dirty keys: {each:.0f} bytes each in Redis; the worker has {worker.peak_resident_bytes() >> 20} MiB at most and has looked at {done / 20:,.0f} keys a second that the home does not have (marked in {took:.0f} s)", flush=True)
    worker.stop(signal.SIGTERM)


def marks():
    """The marks a second that one Redis takes from the queue as it ships: by a test of the store, which says so. It has a Redis of its own."""
    argv = ["cargo", "test", "--profile", "dist", "-p", "s3gateway-store", "--lib", "--", "a_burst_is_taken", "--nocapture"]
    done = subprocess.run(argv, cwd=ROOT, env=clean_environment() | {"MARKS": str(MARKS)}, capture_output=True, text=True)
    figures = re.search(r"\d+ keys: .* marks/s .*", done.stdout)
    if done.returncode or not figures:
        raise SystemExit(f"{' '.join(argv)}: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    print(f"\nOne Redis: {figures.group()}", flush=True)


def memory_used(redis: Redis) -> int:
    return int(re.search(rb"used_memory:(\d+)", redis.command("INFO", "memory")).group(1))


def main():
    for binary in (GATEWAY, SERVERS[SERVER]):
        if not binary.exists():
            raise SystemExit(f"{binary.name} is missing: bench/run replication builds it")
    bench = Bench()
    try:
        rclone = run(["rclone", "version"]).stdout.decode().split()[1]
        print(f"One worker process and rclone {rclone}, two {SERVER} servers, PostgreSQL and Redis, everything on {os.cpu_count()} cores; medians of {ROUNDS} rounds, in turns")
        for kind in SIZES:
            if SIZES[kind][0]:
                compare(bench, kind)
        if JOBS:
            grow(bench)
        steady(bench)
        if KEYS:
            memory(bench)
    finally:
        bench.close()
    # When all others are gone: it has the machine to itself.
    if MARKS:
        marks()


main()
