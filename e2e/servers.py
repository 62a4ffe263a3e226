"""The servers that stand beside the gateway in production: PostgreSQL, Redis and a Ceph RADOS Gateway, each private to one test run."""

from __future__ import annotations

import glob
import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path

from processes import Folder, Process, clean_environment, pick_port, until


class Postgres:
    """One PostgreSQL on a TCP port, durable (fsync on), so that SIGKILL and a restart are a fair test."""

    def __init__(self):
        self.folder = Folder("postgres")
        self.bin = Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])
        self.user = "postgres" if os.geteuid() == 0 else None
        data = self.folder.path / "data"
        if self.user:
            shutil.chown(self.folder.path, self.user)
        self.folder.path.chmod(0o711)
        as_user = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups"] if self.user else []
        subprocess.run(
            [*as_user, self.bin / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True, capture_output=True, env=clean_environment(),
        )
        # Not before: making the database takes seconds, and a port that is free may be somebody's by then.
        self.port = pick_port()
        # In the file, not on the command line: a restart must find them again.
        with open(data / "postgresql.conf", "a") as conf:
            conf.write(f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{self.folder.path}'\nshared_buffers = 64MB\nmax_wal_size = 256MB\n")
        self.process = Process("postgres", [self.bin / "postgres", "-D", data], self.folder.path, user=self.user)
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> "Postgres":
        self.process.start()
        ready = [self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        until(lambda: self.process.must_live() and subprocess.run(ready).returncode == 0, "PostgreSQL answers")
        return self

    def kill(self):
        self.process.stop(signal.SIGKILL)

    def close(self):
        self.process.stop(signal.SIGINT)
        self.folder.remove()


class Redis:
    """One Redis with an append-only file that is written before each answer, so that nothing acknowledged is lost when it is killed;
    with `everysec` a write may wait behind a slow disk's."""

    def __init__(self, fsync: str = "no", options: tuple = ()):
        self.folder = Folder("redis")
        self.port = pick_port()
        argv = ["redis-server", "--bind", "127.0.0.1", "--port", self.port, "--dir", self.folder.path, "--save", "", "--appendonly", "yes", "--appendfsync", fsync, *options]
        self.process = Process("redis", argv, self.folder.path)
        self.urls = [f"redis://127.0.0.1:{self.port}"]
        self.nodes = [self]

    def start(self) -> "Redis":
        self.process.start()
        until(lambda: self.process.must_live() and b"PONG" in self.command("ping"), "Redis answers")
        return self

    def command(self, *words: str) -> bytes:
        return subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True).stdout

    def kill(self):
        self.process.stop(signal.SIGKILL)

    def close(self):
        self.kill()
        self.folder.remove()


class RedisCluster:
    """A Redis Cluster of three masters, which are killed and started together."""

    def __init__(self):
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", 2000, "--cluster-port")
        self.nodes = [Redis(options=(*options, pick_port())) for _ in range(3)]
        self.urls = [url for node in self.nodes for url in node.urls]
        self.is_made = False

    def start(self) -> "RedisCluster":
        for node in self.nodes:
            node.start()
        if not self.is_made:
            addresses = [f"127.0.0.1:{node.port}" for node in self.nodes]
            subprocess.run(["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"], capture_output=True, check=True)
            self.is_made = True
        until(lambda: all(b"cluster_state:ok" in node.command("cluster", "info") for node in self.nodes), "the cluster forms", 60)
        return self

    def kill(self):
        for node in self.nodes:
            node.kill()

    def close(self):
        for node in self.nodes:
            node.close()


@dataclass
class RgwUser:
    """An RGW user; buckets of one are closed to the others."""

    name: str
    access_key: str
    secret_key: str


def user_named(name: str) -> RgwUser:
    return RgwUser(name, f"{name}-access", f"{name}-secret-{uuid.uuid4().hex}")


CEPH_CONF = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
run dir = {folder}/run
log file = {folder}/$name.log
admin socket = {folder}/run/$name.$pid.asok
crash dir = {folder}
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data = {folder}/mon
mon data avail crit = 1
mon data avail warn = 1
[osd]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 6442450944
# A killed radosgw leaves a watch behind, and changes of buckets wait for it to time out (30 s by default).
osd client watch timeout = 2
osd class load list = *
osd class default list = *
[client]
# Without cephx the default, "secure", is refused and each start waits five minutes.
ms mon client mode = crc
rgw crypt require ssl = false
rgw gc obj min wait = 1
"""


class Rgw:
    """One in-memory Ceph cluster with several radosgw in front, each with its own user.

    Each radosgw plays one backend: it can be killed alone, while the objects live on in the OSD.
    """

    def __init__(self, gateways: list[str]):
        self.folder = Folder("rgw")
        d = self.folder.path
        for part in ("run", "mon", "osd"):
            (d / part).mkdir()
        self.conf = d / "ceph.conf"
        self.monitor_port = pick_port()
        self.fsid = str(uuid.uuid4())
        self.conf.write_text(CEPH_CONF.format(fsid=self.fsid, mon=self.monitor_port, folder=d))
        self.mon = Process("ceph-mon", ["ceph-mon", "-c", self.conf, "-f", "-i", "a"], d)
        self.osd = Process("ceph-osd", ["ceph-osd", "-c", self.conf, "-f", "-i", "0"], d)
        self.ports = {name: pick_port() for name in gateways}
        self.users = {name: user_named(name) for name in gateways}
        self.gateways = {name: self._radosgw(name, port) for name, port in self.ports.items()}

    def _radosgw(self, name: str, port: int) -> Process:
        # tcp_nodelay: without it every keep-alive answer waits some 40 ms.
        frontend = f"beast endpoint=127.0.0.1:{port} tcp_nodelay=1"
        data = self.folder.path / f"rgw-{name}"
        data.mkdir()
        argv = ["radosgw", "-c", self.conf, "-n", f"client.{name}", "-f", "--rgw-frontends", frontend, "--rgw-data", data]
        return Process(f"radosgw-{name}", argv, self.folder.path)

    def endpoint(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def _ceph(self, *argv: str):
        done = subprocess.run([argv[0], "-c", str(self.conf), *argv[1:]], capture_output=True, text=True, timeout=60, env=clean_environment())
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}: {done.stderr[-2000:]}")
        return done.stdout

    def start(self) -> "Rgw":
        d = self.folder.path
        subprocess.run(["monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", f"[v2:127.0.0.1:{self.monitor_port}]", d / "monmap"], check=True, capture_output=True)
        self._ceph("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(d / "monmap"))
        self.mon.start()
        osd = str(uuid.uuid4())
        self._ceph("ceph", "osd", "new", osd)
        self._ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.osd.start()
        until(lambda: self.osd.must_live() and json.loads(self._ceph("ceph", "osd", "stat", "-f", "json"))["num_up_osds"] == 1, "the OSD is up", 40)
        for name in self.gateways:
            self.start_gateway(name)
        for user in self.users.values():
            self._create(user)
        return self

    def _create(self, user: RgwUser):
        keys = (f"--access-key={user.access_key}", f"--secret-key={user.secret_key}")
        self._ceph("radosgw-admin", "user", "create", f"--uid={user.name}", f"--display-name=rgw-user-{user.name}", *keys, "--max-buckets=0")

    def add_user(self, name: str) -> RgwUser:
        """One more user, whom every radosgw serves."""
        user = user_named(name)
        self._create(user)
        return user

    def start_gateway(self, name: str):
        process = self.gateways[name].start()
        until(lambda: process.must_live() and answers(self.endpoint(name)), f"radosgw {name} answers", 60)

    def kill_gateway(self, name: str):
        self.gateways[name].stop(signal.SIGKILL)

    def close(self):
        for process in (*self.gateways.values(), self.osd, self.mon):
            process.stop(signal.SIGKILL)
        self.folder.remove()


def answers(url: str) -> bool:
    """Whether anything speaks HTTP there; the status does not matter."""
    try:
        urllib.request.urlopen(url, timeout=2)  # noqa: S310 - loopback
    except urllib.error.HTTPError:
        return True
    return True
