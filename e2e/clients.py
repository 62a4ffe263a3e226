"""Stock clients set up for one endpoint, and the data that they send."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from processes import TARGET, run
from sigv4 import Signer

MIB = 1024 * 1024


@dataclass
class Target:
    """An S3 endpoint as one tenant sees it, and what its buckets can hold."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str
    location: str = ""
    """LocationConstraint for a bucket that needs no replica; empty for none."""
    other_location: str = ""
    """One with another home."""
    any_key: bool = True
    """Whether the home holds every key that S3 allows, or only those that can be file paths."""
    region: str = "us-east-1"
    ca: Path | None = None
    """Certificate of the authority that has signed the endpoint's, where it speaks TLS."""
    buckets: list[str] = field(default_factory=list)

    def s3(self, **config):
        """boto3 without retries: a test sees the first answer."""
        merged = {"s3": {"addressing_style": "path"}, "signature_version": "s3v4", "retries": {"total_max_attempts": 1}, "read_timeout": 120, "connect_timeout": 10, "max_pool_connections": 40} | config
        return boto3.client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=self.access_key, aws_secret_access_key=self.secret_key,
            region_name=self.region, config=Config(**merged), verify=str(self.ca) if self.ca else None,
        )

    def signer(self) -> Signer:
        return Signer(self.access_key, self.secret_key, self.region)

    def environment(self) -> dict[str, str]:
        """For the AWS CLI."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key, "AWS_DEFAULT_REGION": self.region,
            "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
        } | ({"AWS_CA_BUNDLE": str(self.ca)} if self.ca else {})

    def make_bucket(self, name: str = "tour", location: str | None = None, s3=None) -> str:
        bucket = f"{name}-{uuid.uuid4().hex[:8]}"
        create_bucket(s3 or self.s3(), bucket, self.location if location is None else location)
        return bucket


def create_bucket(s3, bucket: str, location: str):
    extra = {"CreateBucketConfiguration": {"LocationConstraint": location}} if location else {}
    return s3.create_bucket(Bucket=bucket, **extra)


def payload(size: int, seed: object = 0) -> bytes:
    """The same bytes for the same size and seed; no block repeats."""
    return random.Random(f"{seed}/{size}").randbytes(size)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def fails(call, *args, **kwargs) -> tuple[int, str]:
    """Status and code of a call that has to fail."""
    try:
        call(*args, **kwargs)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
    raise AssertionError(f"{call} {kwargs} was accepted")


def read(s3, bucket: str, key: str, **kwargs) -> bytes:
    return s3.get_object(Bucket=bucket, Key=key, **kwargs)["Body"].read()


def may_be_old(answer: dict) -> bool:
    """Whether an answer, or a `ClientError`'s, says so itself."""
    return answer["ResponseMetadata"]["HTTPHeaders"].get("x-s3gw-stale") == "true"


def empty_bucket(s3, bucket: str):
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        if objects := [{"Key": o["Key"]} for o in page.get("Contents", [])]:
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            assert not answer.get("Errors"), answer["Errors"][:3]


@dataclass
class Content:
    """A file of random bytes, for what is too large to be held in memory."""

    path: Path
    size: int
    sha256: str

    @classmethod
    def make(cls, path: Path, size: int) -> "Content":
        """The same bytes for the same size; no block repeats."""
        source, left = random.Random(size), size
        with open(path, "wb") as out:
            while left:
                left -= out.write(source.randbytes(min(left, MIB)))
        return cls(path, size, sha256_of(path))

    def is_in(self, path: Path) -> bool:
        """Whether a file holds the same bytes; it is removed, for it is large."""
        same = path.stat().st_size == self.size and sha256_of(path) == self.sha256
        path.unlink()
        return same


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def aws_cli() -> Path:
    """The AWS CLI of this suite's own environment."""
    return Path(sys.executable).parent / "aws"


def aws(target: Target, *argv: object, check: bool = True, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """One call of the AWS CLI."""
    return run([aws_cli(), "--endpoint-url", target.endpoint, "--output", "json", *argv], env=target.environment() | (env or {}), deadline=180, check=check)


def rclone(target: Target, *argv: object, check: bool = True) -> subprocess.CompletedProcess:
    """One call of rclone without retries; `x:` is the target."""
    env = {
        "RCLONE_CONFIG": "/dev/null", "RCLONE_CONFIG_X_TYPE": "s3", "RCLONE_CONFIG_X_PROVIDER": "Other", "RCLONE_CONFIG_X_ENDPOINT": target.endpoint,
        "RCLONE_CONFIG_X_ACCESS_KEY_ID": target.access_key, "RCLONE_CONFIG_X_SECRET_ACCESS_KEY": target.secret_key, "RCLONE_CONFIG_X_REGION": target.region,
        "RCLONE_CONFIG_X_LOCATION_CONSTRAINT": target.location, "RCLONE_RETRIES": "1", "RCLONE_LOW_LEVEL_RETRIES": "1",
    } | ({"RCLONE_CA_CERT": str(target.ca)} if target.ca else {})
    return run(["rclone", *argv], env=env, deadline=180, check=check)


def sdk_tour(target: Target, *argv: object, check: bool = True) -> subprocess.CompletedProcess:
    """One call of the Rust SDK's tour, see `src/main.rs`."""
    binary = Path(os.environ.get("S3GATEWAY_E2E_TOUR") or TARGET / "debug/s3gateway-e2e")
    assert binary.exists(), f"{binary}: cargo build -p s3gateway-e2e"
    env = {"SSL_CERT_FILE": str(target.ca), "CURL_CA_BUNDLE": str(target.ca)} if target.ca else {}
    return run([binary, target.endpoint, target.access_key, target.secret_key, *argv], env=env, deadline=180, check=check)
