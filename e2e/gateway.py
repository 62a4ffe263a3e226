"""The real binary in its shapes: `embedded` (one `dev` process), `production` (proxies and workers on PostgreSQL and Redis before RGW), and
`plain` (a proxy and a worker on SQLite before s3s-fs) for what the gateway lends to a weak backend.

All give the tests the same things to hold: endpoints, tenants, backends to read directly, and switches that kill and revive each part.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from clients import Target
from processes import TARGET, Folder, Process, pick_port, run, until
from raw import Connection, host_of
from servers import Postgres, Redis, RedisCluster, Rgw

BINARY = Path(os.environ.get("S3GATEWAY_BIN") or TARGET / "debug/s3gateway").resolve()
PLACES = {
    "fi-hel": {"zone": "fi-hel-1", "region": "fi-hel", "country": "FI", "jurisdiction": "EU", "provider": "upcloud"},
    "de-fra": {"zone": "de-fra-1", "region": "de-fra", "country": "DE", "jurisdiction": "EU", "provider": "upcloud"},
    "us-iad": {"zone": "us-iad-1", "region": "us-iad", "country": "US", "jurisdiction": "US", "provider": "aws"},
}
HOME, REPLICA, DENIED = "fi-hel", "de-fra", "us-iad"
SPARE = "se-sto"
"""Where a test may have one more backend."""
EVERYWHERE = PLACES | {SPARE: {"zone": "se-sto-1", "region": "se-sto", "country": "SE", "jurisdiction": "EU", "provider": "elsewhere"}}


@dataclass
class Tenant:
    name: str
    access_key: str
    secret_key: str


@dataclass
class Backend:
    """A backend as the tests read it, past the gateway."""

    id: str
    endpoint: str
    access_key: str
    secret_key: str

    def s3(self):
        config = Config(s3={"addressing_style": "path"}, signature_version="s3v4", retries={"total_max_attempts": 3}, read_timeout=60)
        return boto3.client("s3", endpoint_url=self.endpoint, aws_access_key_id=self.access_key, aws_secret_access_key=self.secret_key, region_name="us-east-1", config=config)

    def buckets(self) -> list[str]:
        """Buckets that are really there: two deletes at once can leave radosgw a name in its list that nothing stands behind."""
        s3 = self.s3()
        return [b["Name"] for b in s3.list_buckets()["Buckets"] if exists(s3, b["Name"])]

    def holding(self, look: Callable) -> dict:
        """What `look(s3, bucket)` finds, by bucket, where it is not empty; a bucket that is deleted between the list and the look holds nothing."""
        s3, found = self.s3(), {}
        for bucket in (b["Name"] for b in s3.list_buckets()["Buckets"]):
            try:
                if what := look(s3, bucket):
                    found[bucket] = what
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchBucket":
                    raise
        return found


def exists(s3, bucket: str) -> bool:
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True


class Gateway:
    """What both shapes have in common."""

    name: str
    any_key: bool

    def __init__(self):
        assert BINARY.exists(), f"{BINARY} does not exist: build it, or set S3GATEWAY_BIN"
        self.folder = Folder(self.name)
        self.tenants: dict[str, Tenant] = {}
        self.backends: dict[str, Backend] = {}
        self.admin_endpoint = self.admin_token = ""
        self.tap: Process | None = None
        self.endpoint = ""
        self.stopped: set[str] = set()
        """Backends that a test has taken off the air."""
        self.leaks = self.folder.path / "leaks"
        self.leaks.touch()
        self.patterns = self.folder.path / "patterns"

    def start_tap(self, proxies: list[str], forbidden: list[str]):
        """All clients speak to the tap, so that no answer leaves unseen."""
        self.patterns.write_text("\n".join(forbidden) + "\n")
        port_file = self.folder.path / "tap-port"
        tap = Path(__file__).with_name("tap.py")
        self.tap = Process("tap", [sys.executable, tap, port_file, self.patterns, self.leaks, *[host_of(p) for p in proxies]], self.folder.path).start()
        until(port_file.exists, "the tap listens")
        self.endpoint = f"http://127.0.0.1:{port_file.read_text()}"

    def leaked(self) -> str:
        return self.leaks.read_text(errors="replace")

    def target(self, tenant: str = "acme") -> Target:
        t = self.tenants[tenant]
        return Target(self.name, self.endpoint, t.access_key, t.secret_key, location=HOME, other_location=REPLICA, any_key=self.any_key)

    def through_each_proxy(self, tenant: str = "acme") -> list:
        """A boto3 client for every proxy: through the tap, one client's kept connection would always meet the same."""
        targets = [self.target(tenant) for _ in self.proxy_endpoints()]
        for target, endpoint in zip(targets, self.proxy_endpoints()):
            target.endpoint = endpoint
        return [target.s3() for target in targets]

    def direct(self, tenant: str = "acme") -> Target:
        """Past the tap, for what measures the proxy itself."""
        target = self.target(tenant)
        target.endpoint = self.proxy_endpoints()[0]
        return target

    def admin(self, *argv: str, check: bool = True, env: dict[str, str] | None = None) -> str:
        """The admin CLI, as an operator uses it."""
        where = {"S3GATEWAY_ADMIN_ENDPOINT": self.admin_endpoint, "S3GATEWAY_ADMIN_TOKEN": self.admin_token}
        done = run([BINARY, "admin", *argv], env=where | (env or {}), check=check)
        return done.stdout.decode() + ("" if check else done.stderr.decode())

    def api(self, method: str, path: str, body: object = None, token: str | None = None) -> tuple[int, object]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.admin_endpoint + path, data, method=method)
        if token != "":
            request.add_header("Authorization", f"Bearer {token or self.admin_token}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        try:
            return status, json.loads(text) if text else None
        except ValueError:
            return status, text.decode(errors="replace")

    def call(self, method: str, path: str, body: object = None):
        status, answer = self.api(method, path, body)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer

    def new_key(self, tenant: str) -> tuple[str, str]:
        key = self.call("POST", f"/v1/tenants/{tenant}/keys")
        return key["access_key"], key["secret_key"]

    def disable_key(self, access_key: str):
        self.call("POST", f"/v1/keys/{access_key}/disable")

    def depth(self) -> dict:
        """As the queue has it; one that was restarted just now, or is slow at writing, may not answer at once."""
        return until(lambda: self.call("GET", "/v1/jobs/depth"), "the queue answers", 20)

    def dead_letters(self, bucket: str | None = None) -> list[dict]:
        letters = self.call("GET", "/v1/jobs/dead?limit=100")["dead_letters"]
        return [d for d in letters if bucket in (None, d["bucket"])]

    def idle(self, bucket: str | None = None) -> bool:
        """Whether no key is dirty but those that were given up, none of these in `bucket`, and no walk over `bucket` will mark more."""
        if bucket:
            assert not self.dead_letters(bucket), self.dead_letters(bucket)[:3]
            if any(w["bucket"] == bucket and w["state"] in ("waiting", "running") for w in self.call("GET", "/v1/walks?limit=1000")["walks"]):
                return False
        return self.is_clean()

    def is_clean(self) -> bool:
        """Whether no key is dirty but those that were given up."""
        depth = self.depth()
        return depth["dirty"] <= depth["dead"]

    def copies(self, tenant: str, bucket: str, key: str) -> dict:
        return self.call("GET", f"/v1/tenants/{tenant}/buckets/{bucket}/copies?key={quote(key, safe='')}")

    def physical(self, backend: str, key: str) -> str:
        """The name of the one hashed bucket on a backend that holds `key`, found by looking, not by asking the gateway."""
        found = list(self.backends[backend].holding(lambda s3, b: any(o["Key"] == key for o in s3.list_objects_v2(Bucket=b, Prefix=key).get("Contents", []))))
        assert len(found) == 1, f"{key} is in {found} on {backend}"
        assert re.fullmatch(r"s3gw-[0-9a-f]{16}-[a-z0-9-]{1,8}", found[0]), found[0]
        return found[0]

    def can_write(self, location: str = HOME) -> bool:
        """Whether every proxy takes a write for the place."""
        for endpoint in self.proxy_endpoints():
            target = self.target("globex")
            target.endpoint = endpoint
            s3 = target.s3()
            bucket = target.make_bucket("can-write", location, s3=s3)
            s3.put_object(Bucket=bucket, Key="k", Body=b"1")
            s3.delete_object(Bucket=bucket, Key="k")
            s3.delete_bucket(Bucket=bucket)
        return True

    def open_slow_head(self):
        """Begins a request whose head never ends; a test much later looks whether the proxy has given it up."""
        self.slow_head = Connection(self.proxy_endpoints()[0], timeout=90)
        self.slow_head.send(b"GET /slow HTTP/1.1\r\nHost: slow\r\nx-slow: ")

    def add_backend(self, backend: Backend, place: str, **capabilities: object):
        parts = [f"--{name}={value}" for name, value in EVERYWHERE[place].items()]
        env = {"S3GATEWAY_BACKEND_SECRET_KEY": backend.secret_key}
        file = self.folder.path / "capabilities.json"
        file.write_text(json.dumps(capabilities))
        self.admin("backend", "add", backend.id, "--url", backend.endpoint, "--access-key", backend.access_key, "--capabilities-file", file, *parts, env=env)
        self.backends[backend.id] = backend

    def add_tenant(self, name: str, *policy: str):
        self.admin("tenant", "create", name, *policy)
        key = json.loads(self.admin("--json", "key", "create", name))
        self.tenants[name] = Tenant(name, key["access_key"], key["secret_key"])

    def make_master_key(self):
        key = self.folder.path / "master.key"
        key.write_text(secrets.token_hex(32))
        key.chmod(0o600)

    # Switches, each shape has its own.
    def proxy_endpoints(self) -> list[str]:
        raise NotImplementedError

    def proxy_processes(self) -> list[Process]:
        raise NotImplementedError

    def kill_proxies(self):
        raise NotImplementedError

    def start_proxies(self):
        raise NotImplementedError

    def kill_workers(self):
        raise NotImplementedError

    def start_workers(self):
        raise NotImplementedError

    def stop_backend(self, backend: str):
        self.stopped.add(backend)
        self.switch_backend(backend, False)

    def start_backend(self, backend: str):
        self.switch_backend(backend, True)
        self.stopped.discard(backend)
        until(lambda: self.can_write(backend), f"every proxy has seen that {backend} is back", 40)

    def switch_backend(self, backend: str, on: bool):
        raise NotImplementedError

    def heal(self):
        """Puts back what a failed test left broken, so that it fails alone."""
        for backend in list(self.stopped):
            self.start_backend(backend)

    def close(self):
        if self.tap:
            self.tap.stop()
        if not os.environ.get("S3GATEWAY_E2E_KEEP"):
            self.folder.remove()


class Embedded(Gateway):
    """`s3gateway dev`: everything in one process, on one state folder."""

    name = "embedded"
    any_key = True

    def __init__(self):
        super().__init__()
        self.ready_file = self.folder.path / "ready.json"
        backend_ports = ",".join(str(pick_port()) for _ in PLACES)
        argv = [
            BINARY, "dev", "--state", self.folder.path / "state", "--port", pick_port(), "--admin-port", pick_port(), "--backend-ports", backend_ports,
            "--ready-file", self.ready_file, "--log-level", "warn",
        ]
        self.process = Process("dev", argv, self.folder.path)

    def start(self) -> "Embedded":
        self.start_proxies()
        self.open_slow_head()
        self.start_tap([self.gateway_endpoint], [w for b in self.backends.values() for w in (host_of(b.endpoint), b.access_key)])
        return self

    def start_proxies(self):
        self.ready_file.unlink(missing_ok=True)
        self.process.start()
        until(lambda: self.process.must_live() and self.ready_file.exists(), "dev is ready", 60)
        ready = json.loads(self.ready_file.read_text())
        self.tenants = {t["name"]: Tenant(t["name"], t["access_key"], t["secret_key"]) for t in ready["tenants"]}
        self.backends = {b["id"]: Backend(b["id"], b["endpoint"], b["access_key"], b["secret_key"]) for b in ready["backends"]}
        self.gateway_endpoint, self.admin_endpoint, self.admin_token = ready["endpoint"], ready["admin_endpoint"], ready["admin_token"]

    def kill_proxies(self):
        self.process.stop(signal.SIGKILL)

    kill_workers = kill_proxies
    start_workers = start_proxies

    def proxy_endpoints(self) -> list[str]:
        return [self.gateway_endpoint]

    def proxy_processes(self) -> list[Process]:
        return [self.process]

    def switch_backend(self, backend: str, on: bool):
        self.admin("backend", "start" if on else "stop", backend)

    def heal(self):
        if not self.process.alive():
            self.process.stop()
            self.start_proxies()
        super().heal()

    def close(self):
        self.process.stop(signal.SIGTERM)
        super().close()


CONFIG = """
[metadata]
url = "{metadata}"
max_connections = 8

[queue]
redis = {redis}
shards = 8

[secrets]
master_key_file = "{folder}/master.key"

[backends]
allow_networks = ["127.0.0.0/8"]

[proxy]
listen = ["127.0.0.1:{port}"]
domains = ["s3.example.test"]

# The lease bounds how long promotions wait for a killed proxy, the timeouts how long its marks live on, and so how long the fault tests wait for them.
[proxy.view]
poll_interval = "200ms"
lease = "20s"

[proxy.upstream]
probe_interval = "500ms"
connect_timeout = "1s"
read_timeout = "15s"
write_timeout = "10s"

[proxy.limits]
idle = "8s"
drain_delay = "0s"
grace = "5s"

[admin]
listen = "127.0.0.1:{admin_port}"

[worker]
listen = "127.0.0.1:{worker_port}"
concurrency = 4
lease = "5s"
poll_interval = "100ms"
retry_after = "200ms"
retry_at_most = "2s"

[log]
format = "json"
level = "info"
"""


class Production(Gateway):
    """Two proxies and two workers on PostgreSQL and Redis; three radosgw with a user each play three backends."""

    name = "production"
    any_key = True

    def __init__(self):
        super().__init__()
        redis = RedisCluster if os.environ.get("S3GATEWAY_E2E_REDIS") == "cluster" else Redis
        self.postgres, self.redis, self.rgw = Postgres(), redis(), Rgw(list(PLACES))
        self.admin_token = secrets.token_hex(32)
        self.proxies: list[Process] = []
        self.workers: list[Process] = []
        self.ports: list[int] = []

    def start(self) -> "Production":
        self.postgres.start()
        self.redis.start()
        self.rgw.start()
        self.make_master_key()
        env = {"S3GATEWAY_ADMIN_TOKEN": self.admin_token}
        configs = [self.write_config(n) for n in range(2)]
        run([BINARY, "check-config", "--config", configs[0]], env=env)
        run([BINARY, "migrate", "--config", configs[0]], env=env)
        run([BINARY, "migrate", "--config", configs[0]], env=env)  # a second run finds nothing to do
        self.proxies = [Process(f"proxy-{n}", [BINARY, "proxy", "--config", c], self.folder.path, env) for n, c in enumerate(configs)]
        self.workers = [Process(f"worker-{n}", [BINARY, "worker", "--config", c], self.folder.path, env) for n, c in enumerate(configs)]
        self.start_proxies()
        for place in PLACES:
            user = self.rgw.users[place]
            # radosgw compares If-Match on a write with the bare entity tag, and lists nothing behind a version that is deleted.
            self.add_backend(Backend(place, self.rgw.endpoint(place), user.access_key, user.secret_key), place, quoted_if_match=False, gone_markers=False)
        placement = ("--placement", f"{HOME},{REPLICA}", "--replica-count", "2")
        self.add_tenant("acme", *placement, "--allow-jurisdictions", "EU")
        self.add_tenant("globex", *placement)
        self.start_workers()
        words = [host_of(b.endpoint) for b in self.backends.values()]
        words += [b.access_key for b in self.backends.values()] + ["rgw-user-", "x-rgw-", "radosgw", "tx00000"]
        self.start_tap(self.proxy_endpoints(), words)
        until(self.can_write, "a first write goes through every proxy", 30)
        self.open_slow_head()
        return self

    def write_config(self, n: int) -> Path:
        port, admin_port, worker_port = pick_port(), pick_port(), pick_port()
        self.ports.append(port)
        if n == 0:
            self.admin_endpoint = f"http://127.0.0.1:{admin_port}"
        path = self.folder.path / f"s3gateway-{n}.toml"
        path.write_text(CONFIG.format(metadata=self.postgres.url, redis=json.dumps(self.redis.urls), folder=self.folder.path, port=port, admin_port=admin_port, worker_port=worker_port))
        return path

    def proxy_endpoints(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def proxy_processes(self) -> list[Process]:
        return self.proxies

    def start_proxies(self):
        for process in self.proxies:
            process.start()
        for process, endpoint in zip(self.proxies, self.proxy_endpoints()):
            until(lambda p=process, e=endpoint: p.must_live() and listens(e), f"{process.name} listens", 60)
        until(lambda: self.api("GET", "/readyz")[0] == 200, "the proxy is ready", 30)

    def kill_proxies(self):
        for process in self.proxies:
            process.stop(signal.SIGKILL)

    def start_workers(self):
        for process in self.workers:
            process.start()

    def kill_workers(self):
        for process in self.workers:
            process.stop(signal.SIGKILL)

    def switch_backend(self, backend: str, on: bool):
        (self.rgw.start_gateway if on else self.rgw.kill_gateway)(backend)

    def heal(self):
        for server in (self.postgres, *self.redis.nodes):
            if not server.process.alive():
                server.process.stop()
                server.start()
        for process in (*self.proxies, *self.workers):
            if not process.alive():
                process.stop()
                process.start()
        super().heal()

    def close(self):
        for process in (*self.proxies, *self.workers):
            process.stop(signal.SIGKILL)
        for server in (self.rgw, self.redis, self.postgres):
            server.close()
        super().close()


def listens(endpoint: str) -> bool:
    Connection(endpoint, 1).socket.close()
    return True


SOLO = """
[metadata]
url = "sqlite://{folder}/metadata.db"

[secrets]
master_key_file = "{folder}/master.key"

[backends]
allow_networks = ["127.0.0.0/8"]

[proxy]
listen = ["127.0.0.1:{port}"]

[proxy.view]
poll_interval = "100ms"

[admin]
listen = "127.0.0.1:{admin_port}"

[log]
format = "json"
level = "info"

[worker]
listen = "127.0.0.1:0"
"""


class Solo(Gateway):
    """One proxy on SQLite with settings of its own (`more`: TOML, the worker's first), for what the shapes are not configured for. No tap; a worker on demand."""

    name = "solo"
    any_key = False

    def __init__(self, more: str = ""):
        super().__init__()
        self.port, self.admin_port = pick_port(), pick_port()
        self.admin_endpoint, self.admin_token = f"http://127.0.0.1:{self.admin_port}", secrets.token_hex(32)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.config = self.folder.path / "s3gateway.toml"
        self.config.write_text(SOLO.format(folder=self.folder.path, port=self.port, admin_port=self.admin_port) + more)
        self.env = {"S3GATEWAY_ADMIN_TOKEN": self.admin_token}
        self.process = Process("proxy-solo", [BINARY, "proxy", "--config", self.config], self.folder.path, self.env)

    def migrate(self):
        self.make_master_key()
        run([BINARY, "migrate", "--config", self.config], env=self.env)

    def start(self) -> "Solo":
        self.migrate()
        self.process.start()
        until(lambda: self.process.must_live() and listens(self.endpoint), "the proxy listens", 60)
        until(lambda: self.api("GET", "/readyz")[0] == 200, "the proxy is ready", 30)
        return self

    def worker(self) -> Process:
        """One more process, for the caller to start and stop."""
        return Process("worker-solo", [BINARY, "worker", "--config", self.config], self.folder.path, self.env)

    def proxy_endpoints(self) -> list[str]:
        return [self.endpoint]

    def proxy_processes(self) -> list[Process]:
        return [self.process]

    def close(self):
        self.process.stop(signal.SIGKILL)
        super().close()


PLAIN = {
    "tagging": False, "versioning": False, "list_uploads": False, "conditional_writes": False, "server_side_copy": False,
    "refuses_nonempty_delete": False, "exact_listing": False, "keys": "file-path",
}
"""What s3s-fs cannot do, as seen in its source and in tests."""


class Plain(Solo):
    """One proxy and one worker on SQLite before three s3s-fs servers as they are: the weak backend, for what the gateway lends."""

    name = "plain"

    def __init__(self, more: str = ""):
        super().__init__(more)
        self.work: Process | None = None
        self.sites: dict[str, Process] = {}

    def start(self) -> "Plain":
        super().start()
        for place in PLACES:
            backend = Backend(place, f"http://127.0.0.1:{pick_port()}", f"{place}-access", f"{place}-{secrets.token_hex(16)}")
            env = {"AWS_ACCESS_KEY_ID": backend.access_key, "AWS_SECRET_ACCESS_KEY": backend.secret_key}
            argv = [TARGET / "debug/plain_backend", self.folder.path / f"site-{place}", host_of(backend.endpoint)]
            self.sites[place] = Process(f"plain-{place}", argv, self.folder.path, env)
            self.add_backend(backend, place, **PLAIN)
            self.switch_backend(place, True)
        placement = ("--placement", f"{HOME},{REPLICA}", "--replica-count", "2")
        self.add_tenant("acme", *placement, "--allow-jurisdictions", "EU")
        self.add_tenant("globex", *placement)
        self.work = self.worker().start()
        self.start_tap(self.proxy_endpoints(), [w for b in self.backends.values() for w in (host_of(b.endpoint), b.access_key)])
        until(self.can_write, "a first write goes through the proxy", 30)
        return self

    def switch_backend(self, backend: str, on: bool):
        site = self.sites[backend]
        if not on:
            site.stop(signal.SIGKILL)
            return
        site.start()
        until(lambda: site.must_live() and listens(self.backends[backend].endpoint), f"{site.name} listens", 30)

    def close(self):
        for process in (*self.sites.values(), *([self.work] if self.work else [])):
            process.stop(signal.SIGKILL)
        super().close()


SHAPES = {"embedded": Embedded, "production": Production, "plain": Plain}
