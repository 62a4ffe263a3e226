"""The tours of the other clients: the AWS CLI, rclone (which is not from AWS), curl with its own signer, and the Rust SDK."""

from __future__ import annotations

import os
import subprocess
import uuid
from pathlib import Path

import pytest

from clients import MIB, aws_cli, fails, payload, read, sha256
from processes import run
from raw import exchange, host_of
from sigv4 import EMPTY_SHA256, Request, authorise

ROOT = Path(__file__).resolve().parent.parent


def test_aws_cli(target, tmp_path):
    bucket = f"cli-{uuid.uuid4().hex[:8]}"

    def aws(*argv, check=True):
        return run([aws_cli(), "--endpoint-url", target.endpoint, "--output", "json", *argv], env=target.environment(), deadline=180, check=check)

    if target.location:
        aws("s3api", "create-bucket", "--bucket", bucket, "--create-bucket-configuration", f"LocationConstraint={target.location}")
        assert target.location.encode() in aws("s3api", "get-bucket-location", "--bucket", bucket).stdout
    else:
        aws("s3", "mb", f"s3://{bucket}")
    assert bucket.encode() in aws("s3", "ls").stdout
    folder = tmp_path / "up"
    (folder / "sub dir").mkdir(parents=True)
    files = {"empty": b"", "one": b"1", "sub dir/a b+c%d": payload(70_000, "cli"), "sub dir/ünï☃": payload(1_000, "cli"), "big": payload(20 * MIB, "cli")}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    aws("s3", "cp", folder / "big", f"s3://{bucket}/single")  # 20 MiB: multipart by default
    aws("s3", "sync", folder, f"s3://{bucket}/tree")
    listed = aws("s3", "ls", "--recursive", f"s3://{bucket}/tree").stdout.decode()
    assert len(listed.splitlines()) == len(files) and "sub dir/ünï☃" in listed
    assert b"PRE sub dir/" in aws("s3", "ls", f"s3://{bucket}/tree/").stdout
    again = aws("s3", "sync", folder, f"s3://{bucket}/tree", "--size-only").stdout
    assert b"upload:" not in again, "a second sync finds nothing to do"
    aws("s3", "cp", "--recursive", f"s3://{bucket}/tree", tmp_path / "down")
    for name, data in files.items():
        assert sha256((tmp_path / "down" / name).read_bytes()) == sha256(data), name
    aws("s3", "cp", f"s3://{bucket}/tree/one", f"s3://{bucket}/copied")
    assert aws("s3", "cp", f"s3://{bucket}/copied", "-").stdout == b"1"
    aws("s3", "mv", f"s3://{bucket}/copied", f"s3://{bucket}/moved")
    assert aws("s3api", "head-object", "--bucket", bucket, "--key", "copied", check=False).returncode != 0
    part = tmp_path / "part"
    aws("s3api", "get-object", "--bucket", bucket, "--key", "single", "--range", "bytes=1000-1999", part)
    assert part.read_bytes() == files["big"][1000:2000]
    url = run([aws_cli(), "--endpoint-url", target.endpoint, "s3", "presign", f"s3://{bucket}/moved"], env={**target.environment(), "AWS_CONFIG_FILE": str(v4_config(tmp_path))}).stdout.decode().strip()
    assert run(["curl", "-sS", "-f", url]).stdout == b"1"
    aws("s3api", "put-object-tagging", "--bucket", bucket, "--key", "moved", "--tagging", "TagSet=[{Key=a,Value=b c}]")
    assert b'"b c"' in aws("s3api", "get-object-tagging", "--bucket", bucket, "--key", "moved").stdout
    refused = aws("s3", "rb", f"s3://{bucket}", check=False)
    assert refused.returncode != 0 and (target.name == "direct" or b"BucketNotEmpty" in refused.stderr)
    aws("s3", "rb", "--force", f"s3://{bucket}")
    assert bucket.encode() not in aws("s3", "ls").stdout


def v4_config(folder: Path) -> Path:
    """For us-east-1 the CLI still presigns with version 2 unless told otherwise."""
    path = folder / "aws-config"
    path.write_text("[default]\ns3 =\n  signature_version = s3v4\n  addressing_style = path\n")
    return path


def test_rclone(target, tmp_path):
    bucket = f"rclone-{uuid.uuid4().hex[:8]}"
    env = {
        "RCLONE_CONFIG": "/dev/null", "RCLONE_CONFIG_X_TYPE": "s3", "RCLONE_CONFIG_X_PROVIDER": "Other", "RCLONE_CONFIG_X_ENDPOINT": target.endpoint,
        "RCLONE_CONFIG_X_ACCESS_KEY_ID": target.access_key, "RCLONE_CONFIG_X_SECRET_ACCESS_KEY": target.secret_key, "RCLONE_CONFIG_X_REGION": target.region,
        "RCLONE_CONFIG_X_LOCATION_CONSTRAINT": target.location, "RCLONE_RETRIES": "1", "RCLONE_LOW_LEVEL_RETRIES": "1", "RCLONE_S3_UPLOAD_CUTOFF": "12Mi", "RCLONE_S3_CHUNK_SIZE": "5Mi",
    }

    def rclone(*argv, check=True):
        return run(["rclone", *argv], env=env, deadline=180, check=check)

    rclone("mkdir", f"x:{bucket}")
    folder = tmp_path / "up"
    (folder / "sub dir").mkdir(parents=True)
    files = {"empty": b"", "one": b"1", "sub dir/a b+c%d": payload(70_000, "rclone"), "sub dir/ünï☃": payload(1_000, "rclone"), "big": payload(16 * MIB, "rclone")}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    rclone("copy", folder, f"x:{bucket}/tree")
    assert sorted(rclone("lsf", "-R", "--files-only", f"x:{bucket}/tree").stdout.decode().splitlines()) == sorted(files)
    rclone("check", folder, f"x:{bucket}/tree")
    rclone("check", "--download", folder, f"x:{bucket}/tree")
    assert rclone("cat", "--offset", "1000", "--count", "50", f"x:{bucket}/tree/big").stdout == files["big"][1000:1050]
    rclone("copyto", f"x:{bucket}/tree/one", f"x:{bucket}/copied")
    rclone("moveto", f"x:{bucket}/copied", f"x:{bucket}/moved")
    assert rclone("cat", f"x:{bucket}/moved").stdout == b"1"
    (folder / "one").unlink()
    rclone("sync", folder, f"x:{bucket}/tree")
    assert b"one" not in rclone("lsf", f"x:{bucket}/tree").stdout
    rclone("delete", f"x:{bucket}")
    rclone("rmdir", f"x:{bucket}")
    assert bucket.encode() not in rclone("lsd", "x:").stdout


def test_curl_with_its_own_signer(target, tmp_path):
    bucket = target.make_bucket("curl")
    data = payload(300_000, "curl")
    (tmp_path / "body").write_bytes(data)
    sign = ["curl", "-sS", "-f", "--aws-sigv4", f"aws:amz:{target.region}:s3", "--user", f"{target.access_key}:{target.secret_key}"]
    run([*sign, "-H", f"x-amz-content-sha256: {sha256(data)}", "-T", tmp_path / "body", f"{target.endpoint}/{bucket}/by-curl"])
    assert run([*sign, "-H", f"x-amz-content-sha256: {EMPTY_SHA256}", f"{target.endpoint}/{bucket}/by-curl"]).stdout == data


def test_rust_sdk(target):
    binary = Path(os.environ.get("S3GATEWAY_E2E_TOUR") or ROOT / "target/debug/s3gateway-e2e")
    assert binary.exists(), f"{binary}: cargo build -p s3gateway-e2e"
    # radosgw knows no signed trailer and answers GetObjectAttributes with the object: the whole tour needs the gateway.
    large = "0" if target.name == "direct" else "20"
    argv = [binary, target.endpoint, target.access_key, target.secret_key, f"sdk-{uuid.uuid4().hex[:8]}", target.location, large]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=180)
    steps = [line.removeprefix("ok ") for line in done.stdout.splitlines()]
    if target.name == "direct":
        assert "tagging" in steps, done.stderr
        return
    assert done.returncode == 0, f"after {steps}: {done.stderr}"
    assert steps == ["buckets", "objects", "file with signed trailer", "ranges and conditions", "multipart", "listing", "copy", "presigned", "tagging", "attributes", "deletes"]


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_addressing(shape, target, style):
    """Virtual-host style under a configured domain; the socket goes to the gateway, the name is in Host."""
    if shape.name != "production" and style == "virtual":
        pytest.skip("only the production shape has a domain configured")
    bucket = target.make_bucket("address")
    host = host_of(target.endpoint) if style == "path" else f"{bucket}.s3.example.test"
    path = f"/{bucket}/a%20b/c" if style == "path" else "/a%20b/c"
    put = Request("PUT", path, body=style.encode())
    authorise(put, target.signer(), host)
    assert exchange(target.endpoint, put).status == 200
    assert read(target.s3(), bucket, "a b/c") == style.encode()
    listing = Request("GET", f"/{bucket}" if style == "path" else "/")
    authorise(listing, target.signer(), host)
    answer = exchange(target.endpoint, listing)
    assert [e.text for e in answer.xml().findall("Contents/Key")] == ["a b/c"]
    if style == "virtual":
        # TR-04: the host names the bucket, the path is only a key.
        other = target.make_bucket("address-other")
        request = Request("PUT", f"/{other}/k", body=b"1")
        authorise(request, target.signer(), host)
        assert exchange(target.endpoint, request).status == 200
        assert fails(target.s3().get_object, Bucket=other, Key="k") == (404, "NoSuchKey")
        assert read(target.s3(), bucket, f"{other}/k") == b"1"
