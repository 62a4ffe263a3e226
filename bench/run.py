"""Runs the same load against the bare origin, nginx, a bare Pingora proxy and the gateway, side by side in one run, and prints the table.
The peers take turns for several rounds, and medians are what is printed: a shared machine is never as fast as a minute ago.

Usage: bench/run (after `cargo build --profile dist -p s3gateway-cli -p s3gateway-bench`). Everything listens on loopback; wrk makes the load.
Each peer gets one worker thread or process, wrk one thread, so that on two cores the proxy is what is measured.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "e2e"))

from processes import TARGET, Folder, Process, pick_port, run, until  # noqa: E402
from servers import Redis  # noqa: E402
from sigv4 import Request, Signer, authorise, sha256_hex  # noqa: E402

GATEWAY, BENCH = TARGET / "dist/s3gateway", TARGET / "dist/s3gateway-bench"
SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
METHODS = os.environ.get("BENCH_METHODS", "GET PUT").split()
BASE = "bare Pingora"
CONNECTIONS = 64
SIZES = {"1 KiB": 1 << 10, "64 KiB": 64 << 10, "8 MiB": 8 << 20}
TICKS = os.sysconf("SC_CLK_TCK")

CONFIG = """
[metadata]
url = "sqlite://{folder}/metadata.db"
[queue]
redis = ["{redis}"]
shards = 8
[secrets]
master_key_file = "{folder}/master.key"
[backends]
allow_networks = ["127.0.0.0/8"]
[proxy]
listen = ["127.0.0.1:{port}"]
[proxy.limits]
threads = 1
[admin]
listen = "127.0.0.1:{admin}"
[log]
level = "warn"
"""

NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 64m; keepalive_requests 100000000;
  client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi; uwsgi_temp_path {folder}/nginx-uwsgi; scgi_temp_path {folder}/nginx-scgi;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off; proxy_buffering off; }}
  }}
}}
"""


class Peer:
    """One server under test: where it listens, whose CPU and memory count, and how its bucket is reached."""

    def __init__(self, name: str, port: int, process: Process, signer: Signer):
        self.name, self.port, self.process, self.signer = name, port, process, signer

    def pids(self) -> list[int]:
        """The process and its children: nginx works in one."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def cpu_seconds(self) -> float:
        total = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def resident_mib(self) -> float:
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids())
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def headers(peer: Peer, method: str, path: str, body: bytes) -> list[tuple[str, str]]:
    """A request's headers, signed for every peer: those that do not verify pass them on. One signature serves a whole run, it is
    valid for 15 minutes."""
    request = Request(method, path, [("Host", f"127.0.0.1:{peer.port}")], body)
    authorise(request, peer.signer, f"127.0.0.1:{peer.port}", payload=sha256_hex(body))
    return [(n, v) for n, v in request.headers if n.lower() not in ("host", "content-length")]


def load(peer: Peer, method: str, size: int, folder: Path) -> dict:
    body = b"x" * size if method == "PUT" else b""
    # Writes go round many keys, as far as the bodies fit into wrk's memory: who writes one key only waits for itself.
    paths = [f"/bench/{size}"] if method == "GET" else [f"/bench/{size}-{n}" for n in range(min(64, max(1, (8 << 20) // size)))]
    script = folder / "load.lua"
    lines = ["local requests, last = {}, 0", "function init()"]
    for path in paths:
        table = ", ".join(f"[{json.dumps(n)}] = {json.dumps(v)}" for n, v in headers(peer, method, path, body))
        text = f'string.rep("x", {size})' if body else "nil"
        lines.append(f'  requests[#requests + 1] = wrk.format("{method}", "{path}", {{ {table} }}, {text})')
    lines += ["end", "function request()", "  last = last % #requests + 1", "  return requests[last]", "end"]
    script.write_text("\n".join(lines) + "\n")
    url = f"http://127.0.0.1:{peer.port}/"
    wrk = ["wrk", "-t1", f"-c{CONNECTIONS}", "--latency", "--timeout", "30s", "-s", str(script), url]
    subprocess.run([*wrk[:3], "-d1s", *wrk[3:]], capture_output=True, check=True)
    before = peer.cpu_seconds()
    done = subprocess.run([*wrk[:3], f"-d{SECONDS}s", *wrk[3:]], capture_output=True, text=True, check=True).stdout
    used = peer.cpu_seconds() - before
    requests = int(re.search(r"(\d+) requests in", done).group(1))
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", done)
    if wrong:
        raise SystemExit(f"{peer.name}: {wrong.group(0)} of {requests} for {method} {path}: no benchmark")
    return {
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", done).group(1)),
        "p50": milliseconds(done, 50),
        "p99": milliseconds(done, 99),
        "cpu": used / max(requests, 1) * 1e6,
        "memory": peer.resident_mib(),
    }


def start_gateway(folder: Path, redis: Redis, origin: int) -> Peer:
    port, admin = pick_port(), pick_port()
    (folder / "master.key").write_text(secrets.token_hex(32))
    (folder / "master.key").chmod(0o600)
    config = folder / "gateway.toml"
    config.write_text(CONFIG.format(folder=folder, redis=redis.url, port=port, admin=admin))
    token = secrets.token_hex(32)
    env = {"S3GATEWAY_ADMIN_TOKEN": token}
    run([GATEWAY, "migrate", "--config", config], env=env)
    process = Process("gateway", [GATEWAY, "proxy", "--config", config], folder, env).start()
    where = env | {"S3GATEWAY_ADMIN_ENDPOINT": f"http://127.0.0.1:{admin}", "S3GATEWAY_BACKEND_SECRET_KEY": "origin-secret"}
    ready = [GATEWAY, "admin", "tenant", "list"]
    until(lambda: run(ready, env=where, check=False).returncode == 0, "the gateway is ready", 30)
    place = ["--zone=a-1", "--region=a", "--country=FI", "--jurisdiction=EU", "--provider=p"]
    (folder / "capabilities.json").write_text("{}")  # there is nothing to measure: the origin says yes to everything
    run([GATEWAY, "admin", "backend", "add", "a", "--capabilities-file", folder / "capabilities.json", "--url", f"http://127.0.0.1:{origin}", "--access-key", "origin", *place], env=where)
    run([GATEWAY, "admin", "tenant", "create", "bench", "--placement", "a", "--replica-count", "1"], env=where)
    key = json.loads(run([GATEWAY, "admin", "--json", "key", "create", "bench"], env=where).stdout)
    signer = Signer(key["access_key"], key["secret_key"])
    peer = Peer("gateway", port, process, signer)
    make_bucket(peer)
    return peer


def make_bucket(peer: Peer):
    import http.client

    for _ in range(50):  # the proxy learns of the new backend within a second
        connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=10)
        connection.request("PUT", "/bench", headers=dict(headers(peer, "PUT", "/bench", b"")))
        if connection.getresponse().status == 200:
            return
        time.sleep(0.1)
    raise SystemExit("the bucket could not be made")


def compare(peers: list[Peer], method: str, size: int, folder: Path) -> list[str]:
    """A row of the table for each peer. The ratio is the median of the rounds' own ratios, with the least and the greatest."""
    rounds = []
    for number in range(ROUNDS):
        # Whoever goes first in one round goes last in the next.
        turn = peers if number % 2 == 0 else peers[::-1]
        rounds.append({peer.name: load(peer, method, size, folder) for peer in turn})
    rows = []
    for peer in peers:
        r = {figure: statistics.median(done[peer.name][figure] for done in rounds) for figure in ("rate", "p50", "p99", "cpu", "memory")}
        ratios = sorted(done[peer.name]["rate"] / done[BASE]["rate"] for done in rounds)
        ratio = "1.00" if peer.name == BASE else f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        rows.append(f"| {peer.name} | {r['rate']:,.0f} | {r['p50']:,.2f} | {r['p99']:,.2f} | {r['cpu']:,.0f} | {r['memory']:.0f} | {ratio} |")
    return rows


UNITS = {"us": 1e-3, "ms": 1, "s": 1e3, "m": 60e3}


def milliseconds(done: str, percentile: int) -> float:
    """A percentile of the latency in wrk's report."""
    value, unit = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m)\s*$", done, re.M).groups()
    return float(value) * UNITS[unit]


def main():
    for binary in (GATEWAY, BENCH):
        if not binary.exists():
            raise SystemExit(f"{binary.name} is missing: cargo build --profile dist -p s3gateway-cli -p s3gateway-bench")
    folder = Folder("bench")
    redis = Redis()
    try:
        redis.start()
        origin_port = pick_port()
        origin = Process("origin", [BENCH, "origin", str(origin_port)], folder.path).start()
        nginx_port, pingora_port = pick_port(), pick_port()
        conf = folder.path / "nginx.conf"
        conf.write_text(NGINX.format(folder=folder.path, origin=origin_port, port=nginx_port))
        nginx = Process("nginx", ["nginx", "-c", str(conf), "-e", str(folder.path / "nginx.err")], folder.path).start()
        pingora = Process("pingora", [BENCH, "pingora", str(pingora_port), str(origin_port)], folder.path).start()
        time.sleep(0.5)
        gateway = start_gateway(folder.path, redis, origin_port)
        peers = [
            Peer("origin, direct", origin_port, origin, gateway.signer),
            Peer("nginx proxy_pass", nginx_port, nginx, gateway.signer),
            Peer(BASE, pingora_port, pingora, gateway.signer),
            gateway,
        ]
        print(f"{CONNECTIONS} connections, medians of {ROUNDS} rounds of {SECONDS} s, one thread a peer; CPU is the peer's own, user and system")
        for method in METHODS:
            for label, size in SIZES.items():
                print(f"\n### {method} {label}\n")
                print("| peer | requests/s | p50 ms | p99 ms | CPU µs/request | resident MiB | of bare Pingora |")
                print("|---|---:|---:|---:|---:|---:|---:|")
                for row in compare(peers, method, size, folder.path):
                    print(row, flush=True)
        print("\n### Filters, one thread\n\n```")
        sys.stdout.flush()
        subprocess.run([BENCH, "micro"], check=True)
        print("```")
        for peer in peers:
            peer.process.stop()
    finally:
        redis.close()
        folder.remove()


main()
