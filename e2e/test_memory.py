"""Memory: many large bodies at once, in both directions, and what the proxy needs for them; many copies, and what workers need."""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import signal

import pytest
from boto3.s3.transfer import TransferConfig

from clients import MIB, payload, sha256
from gateway import DENIED, HOME, REPLICA
from processes import until
from raw import Connection, host_of
from sigv4 import UNSIGNED, Request, authorise

CLIENTS, SIZE, LIMIT = 32, 64 * MIB, 200 * MIB
WORKER_LIMIT = 360 * MIB
"""For 128 jobs at once, of which eight are of large objects, in four parts each: less than these eight objects."""


@pytest.mark.timeout(400)
@pytest.mark.shape("production")
def test_32_concurrent_uploads_and_downloads_of_64_mib(gateway, capsys):
    """Uploads and downloads go past the tap to one proxy; the peak includes everything that it did before."""
    target = gateway.direct()
    s3 = target.s3()
    bucket = target.make_bucket("memory", s3=s3)
    data = payload(SIZE, "memory")
    want = sha256(data)
    proxy = gateway.proxy_processes()[0]

    def upload(n: int) -> int:
        # Each its own key: radosgw may refuse one of several writers of the same.
        request = Request("PUT", f"/{bucket}/{n}")
        request.length = str(SIZE)
        authorise(request, target.signer(), host_of(target.endpoint), UNSIGNED if n % 2 else want)
        # A radosgw that 64 streams keep from answering in time is 503, and asked again, as clients do.
        for _ in range(5):
            with Connection(target.endpoint, timeout=300) as connection:
                connection.send(request.head_bytes())
                connection.send(data)
                if (status := connection.answer("PUT").status) != 503:
                    break
        return status

    def download(n: int) -> bool:
        request = Request("GET", f"/{bucket}/{n}")
        authorise(request, target.signer(), host_of(target.endpoint))
        with Connection(target.endpoint, timeout=300) as connection:
            connection.send(request.to_bytes())
            digest, body = hashlib.sha256(), 0
            connection.socket.settimeout(300)
            while b"\r\n\r\n" not in connection.buffer:
                assert connection._more()
            head, _, rest = connection.buffer.partition(b"\r\n\r\n")
            assert b" 200 " in head.split(b"\r\n")[0], head
            digest.update(rest)
            body = len(rest)
            while body < SIZE:
                chunk = connection.socket.recv(MIB)
                assert chunk, "the body ended early"
                digest.update(chunk)
                body += len(chunk)
            return digest.hexdigest() == want

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        statuses = list(pool.map(upload, range(CLIENTS)))
        assert statuses == [200] * CLIENTS
        after_uploads = proxy.resident_bytes()
        assert all(pool.map(download, range(CLIENTS)))
        mixed = [pool.submit(upload if n % 2 else download, n) for n in range(CLIENTS)]
        results = [f.result() for f in mixed]
        assert results == [200 if n % 2 else True for n in range(CLIENTS)]
    peak, now = proxy.peak_resident_bytes(), proxy.resident_bytes()
    with capsys.disabled():
        print(f"\nmemory of the proxy: peak {peak / MIB:.0f} MiB, after the uploads {after_uploads / MIB:.0f} MiB, at the end {now / MIB:.0f} MiB ({CLIENTS} x {SIZE // MIB} MiB up and down; limit {LIMIT // MIB} MiB)")
    for n in range(CLIENTS):
        s3.delete_object(Bucket=bucket, Key=str(n))
    assert peak < LIMIT


@pytest.mark.shape("production")
def test_a_slow_reader_holds_back_the_backend(gateway):
    """Back-pressure: 16 clients ask for 64 MiB each and read nothing; the proxy must not take it all in."""
    target = gateway.direct()
    s3 = target.s3()
    bucket = target.make_bucket("slow", s3=s3)
    s3.put_object(Bucket=bucket, Key="k", Body=payload(SIZE, "slow"))
    proxy = gateway.proxy_processes()[0]
    before = proxy.resident_bytes()
    connections = []
    try:
        for _ in range(16):
            request = Request("GET", f"/{bucket}/k")
            authorise(request, target.signer(), host_of(target.endpoint))
            connection = Connection(target.endpoint, timeout=20)
            connection.send(request.to_bytes())
            assert connection.socket.recv(1000).startswith(b"HTTP/1.1 200")
            connections.append(connection)
        assert proxy.resident_bytes() - before < 100 * MIB
    finally:
        for connection in connections:
            connection.socket.close()
    s3.delete_object(Bucket=bucket, Key="k")


@pytest.mark.shape("plain")
def test_a_worker_copies_more_at_once_than_it_may_hold(gateway, capsys):
    """16 objects of 64 MiB to two replicas, some of them in parts, and 600 of 256 KiB between them, all there before the worker looks."""
    target, backends = gateway.direct("globex"), gateway.backends
    s3 = target.s3()
    bucket = target.make_bucket("memory", location=f"{HOME},{REPLICA},{DENIED}", s3=s3)
    gateway.admin("bucket", "replica-count", "globex", bucket, "3")
    large, small = payload(SIZE, "large"), payload(256 << 10, "small")
    gateway.work.stop(signal.SIGKILL)

    def put(n: int):
        if n >= 16:
            s3.put_object(Bucket=bucket, Key=f"small/{n}", Body=small)
        elif n % 3:
            s3.put_object(Bucket=bucket, Key=f"large/{n}", Body=large)
        else:
            s3.upload_fileobj(io.BytesIO(large), bucket, f"large/{n}", Config=TransferConfig(multipart_chunksize=16 * MIB))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(616)))
    gateway.work.start()
    until(lambda: gateway.idle(bucket), "everything is copied", 180)
    peak = gateway.work.peak_resident_bytes()
    with capsys.disabled():
        print(f"\nmemory of the worker: peak {peak / MIB:.0f} MiB (limit {WORKER_LIMIT // MIB} MiB)")
    assert peak < WORKER_LIMIT
    for place in (REPLICA, DENIED):
        listed = [backends[place].s3().list_objects_v2(Bucket=b, Prefix="large/").get("Contents", []) for b in backends[place].buckets()]
        assert [o["Size"] for objects in listed for o in objects] == [SIZE] * 16
    for n in range(616):
        s3.delete_object(Bucket=bucket, Key=f"{'large' if n < 16 else 'small'}/{n}")
