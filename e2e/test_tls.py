"""The proxy's TLS listener: stock clients over https, and what comes to the port that is no TLS or configured that is no certificate."""

from __future__ import annotations

import socket
import subprocess
import uuid
from pathlib import Path

import pytest

from certificates import Authority
from clients import MIB, Target, aws, md5, payload, rclone, read, sdk_tour, sha256
from gateway import BINARY, HOME, Gateway, Solo, listens
from processes import clean_environment, pick_port, run, until
from raw import Connection, host_of
from test_tour_clients import v4_config


class Secure:
    """A proxy with a plain and a TLS listener, before the home of the shape that runs."""

    def __init__(self, shape: Gateway, folder: Path):
        self.authority = Authority(folder)
        certificate, key = self.authority.leaf("gateway")
        self.endpoint = f"https://127.0.0.1:{pick_port()}"
        self.gateway = Solo(f'[[proxy.tls]]\nlisten = "{host_of(self.endpoint)}"\ncertificate = "{certificate}"\nkey = "{key}"\n').start()
        until(lambda: listens(self.endpoint), "the proxy listens with TLS")
        known = shape.call("GET", f"/v1/backends/{HOME}")["capabilities"]
        self.gateway.add_backend(shape.backends[HOME], HOME, **known)
        self.gateway.add_tenant("tls", "--placement", HOME)

    def target(self) -> Target:
        target = self.gateway.target("tls")
        target.endpoint, target.ca = self.endpoint, self.authority.certificate
        return target


@pytest.fixture(scope="module")
def secure(shape, tmp_path_factory):
    if shape.name == "direct":
        pytest.skip("needs the gateway")
    made = Secure(shape, tmp_path_factory.mktemp("tls"))
    until(made.target().make_bucket, "a first bucket is made", 20)
    yield made
    made.gateway.close()


def test_boto3(secure, large, tmp_path):
    """Over TLS it no longer hashes bodies: it sends them chunked with a trailing checksum."""
    target, sent = secure.target(), []
    s3 = target.s3()
    s3.meta.events.register("before-send.s3.PutObject", lambda request, **_: sent.append(dict(request.headers)))
    s3.meta.events.register("before-send.s3.UploadPart", lambda request, **_: sent.append(dict(request.headers)))
    bucket = target.make_bucket("tls", s3=s3)
    for size in (0, 1, 65_537, 3 * MIB + 1):
        data = payload(size, "tls")
        assert s3.put_object(Bucket=bucket, Key=f"{size}", Body=data)["ETag"] == f'"{md5(data)}"'
        assert sha256(read(s3, bucket, f"{size}")) == sha256(data)
    s3.upload_file(str(large.path), bucket, "large")
    s3.download_file(bucket, "large", str(tmp_path / "large"))
    assert large.is_in(tmp_path / "large")
    for headers in sent:
        assert headers["X-Amz-Content-SHA256"] == b"STREAMING-UNSIGNED-PAYLOAD-TRAILER" and headers["Transfer-Encoding"] == b"chunked", headers
    assert len(sent) == 4 + 25
    for key in ("0", "1", "65537", f"{3 * MIB + 1}", "large"):
        s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_bucket(Bucket=bucket)


def test_aws_cli(secure, tmp_path):
    target, bucket = secure.target(), f"tls-{uuid.uuid4().hex[:8]}"
    up, down = tmp_path / "up", tmp_path / "down"
    up.write_bytes(payload(20 * MIB, "tls"))
    aws(target, "s3api", "create-bucket", "--bucket", bucket, "--create-bucket-configuration", f"LocationConstraint={HOME}")
    aws(target, "s3", "cp", up, f"s3://{bucket}/k")
    aws(target, "s3", "cp", f"s3://{bucket}/k", down)
    assert down.read_bytes() == up.read_bytes()
    url = aws(target, "s3", "presign", f"s3://{bucket}/k", env={"AWS_CONFIG_FILE": str(v4_config(tmp_path))}).stdout.decode().strip()
    run(["curl", "-sS", "-f", "--cacert", target.ca, "-o", down, url])
    assert url.startswith("https://") and down.read_bytes() == up.read_bytes()
    aws(target, "s3", "rb", "--force", f"s3://{bucket}")


def test_rclone(secure, tmp_path):
    target, bucket = secure.target(), f"tls-{uuid.uuid4().hex[:8]}"
    (tmp_path / "k").write_bytes(payload(20 * MIB, "tls"))
    rclone(target, "copy", "--s3-upload-cutoff", "12Mi", tmp_path, f"x:{bucket}")
    rclone(target, "check", "--download", tmp_path, f"x:{bucket}")
    rclone(target, "purge", f"x:{bucket}")


def test_rust_sdk(secure, tmp_path):
    (tmp_path / "file").write_bytes(payload(20 * MIB, "tls"))
    assert b"ok deletes" in sdk_tour(secure.target(), "tour", f"tls-{uuid.uuid4().hex[:8]}", HOME, tmp_path / "file").stdout


def test_presigned_by_curl(secure, tmp_path):
    target = secure.target()
    s3, bucket = target.s3(), target.make_bucket("tls")
    k = {"Bucket": bucket, "Key": "pre signed"}
    (tmp_path / "body").write_bytes(payload(100_000, "presigned"))
    curl = ["curl", "-sS", "-f", "--cacert", target.ca]
    run([*curl, "-T", tmp_path / "body", s3.generate_presigned_url("put_object", Params=k)])
    assert run([*curl, s3.generate_presigned_url("get_object", Params=k)]).stdout == payload(100_000, "presigned")
    s3.delete_object(**k)
    s3.delete_bucket(Bucket=bucket)


def still_serves(secure: Secure):
    secure.target().s3().list_buckets()


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"\0" * 600, b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"\x16\x03\x01\x00\x05hello"], ids=["http", "zeros", "long record", "no handshake"])
def test_what_is_no_tls_is_closed(secure, data):
    with Connection(secure.endpoint, 20) as connection:
        connection.send(data)
        connection.end()
        got = b""
        while connection._more():
            got = connection.buffer
    assert not got or got[0] == 0x15, f"neither nothing nor an alert: {got[:100]!r}"
    still_serves(secure)


def test_a_tls_handshake_on_the_plain_port_is_refused(secure):
    hello = subprocess.run(["openssl", "s_client", "-connect", host_of(secure.gateway.endpoint)], input=b"", capture_output=True, timeout=20, env=clean_environment())
    assert hello.returncode != 0
    secure.gateway.target("tls").s3().list_buckets()


def test_handshakes_that_stand_still_hold_up_nobody(secure):
    idle = [socket.create_connection(("127.0.0.1", int(secure.endpoint.rpartition(":")[2]))) for _ in range(50)]
    still_serves(secure)
    for each in idle:
        each.close()


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(secure, version):
    argv = ["openssl", "s_client", "-connect", host_of(secure.endpoint), version, "-cipher", "ALL:@SECLEVEL=0"]
    done = subprocess.run(argv, input=b"", capture_output=True, timeout=20, env=clean_environment())
    assert done.returncode != 0 and b"BEGIN CERTIFICATE" not in done.stdout
    still_serves(secure)


def unusable(folder: Path) -> dict[str, tuple[Path, Path]]:
    authority = Authority(folder)
    (certificate, key), (_, other) = authority.leaf("one"), authority.leaf("other")
    (folder / "garbage").write_bytes(payload(500, "garbage"))
    (folder / "empty").touch()
    (folder / "broken").write_text(certificate.read_text().replace("M", "!", 5))
    return {
        "no certificate": (folder / "missing", key), "no key": (certificate, folder / "missing"), "garbage for a certificate": (folder / "garbage", key),
        "garbage for a key": (certificate, folder / "garbage"), "nothing for a certificate": (folder / "empty", key), "nothing for a key": (certificate, folder / "empty"),
        "a key for a certificate": (key, key), "a certificate for a key": (certificate, certificate), "another's key": (certificate, other), "broken base64": (folder / "broken", key),
        "a folder": (folder, key),
    }


def test_unusable_certificates_are_named_at_the_start(tmp_path):
    solo = Solo()
    solo.migrate()
    plain = solo.config.read_text()
    wrong = []
    for what, (certificate, key) in unusable(tmp_path).items():
        solo.config.write_text(plain + f'[[proxy.tls]]\nlisten = "127.0.0.1:{pick_port()}"\ncertificate = "{certificate}"\nkey = "{key}"\n')
        done = run([BINARY, "proxy", "--config", solo.config], env=solo.env, check=False, deadline=20)
        lines = [line for line in done.stderr.decode().splitlines() if not line.startswith("{")]
        named = any(str(path) in lines[0] for path in (certificate, key)) if lines else False
        if done.returncode not in (1, 2) or len(lines) != 1 or not named or "panick" in lines[0]:
            wrong.append((what, done.returncode, lines))
    solo.close()
    assert not wrong, "\n".join(map(str, wrong))
