"""The tours of the other clients: the AWS CLI, rclone (which is not from AWS), curl with its own signer, and the Rust SDK."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

import pytest

from clients import MIB, Content, Target, aws, fails, payload, rclone, read, sdk_tour, sha256
from processes import run, until
from raw import exchange, host_of
from sigv4 import EMPTY_SHA256, Request, authorise

PART = 5 * MIB


def folder_of(path: Path, large: Content) -> dict[str, Content]:
    """A folder of files from 0 bytes to 200 MiB, some with odd names."""
    (path / "sub dir").mkdir(parents=True)
    small = {"empty": b"", "one": b"1", "sub dir/a b+c%d": payload(70_000, "tour"), "sub dir/ünï☃": payload(1_000, "tour"), "parts": payload(2 * PART + 777, "tour")}
    for name, data in small.items():
        (path / name).write_bytes(data)
    os.link(large.path, path / "large")
    return {name: Content(path / name, len(data), sha256(data)) for name, data in small.items()} | {"large": large}


def test_aws_cli(target, tmp_path, large):
    bucket = f"cli-{uuid.uuid4().hex[:8]}"
    where = ("--bucket", bucket)
    if target.location:
        aws(target, "s3api", "create-bucket", *where, "--create-bucket-configuration", f"LocationConstraint={target.location}")
        assert json.loads(aws(target, "s3api", "get-bucket-location", *where).stdout)["LocationConstraint"] is None, "the region that it signs for"
    else:
        aws(target, "s3", "mb", f"s3://{bucket}")
    assert bucket.encode() in aws(target, "s3", "ls").stdout
    folder, down = tmp_path / "up", tmp_path / "down"
    files = folder_of(folder, large)
    aws(target, "s3", "sync", folder, f"s3://{bucket}/tree")  # from 8 MiB on in parts
    listed = aws(target, "s3", "ls", "--recursive", f"s3://{bucket}/tree").stdout.decode()
    assert len(listed.splitlines()) == len(files) and "sub dir/ünï☃" in listed
    assert b"PRE sub dir/" in aws(target, "s3", "ls", f"s3://{bucket}/tree/").stdout
    again = aws(target, "s3", "sync", folder, f"s3://{bucket}/tree", "--size-only").stdout
    assert b"upload:" not in again, "a second sync finds nothing to do"
    aws(target, "s3", "cp", "--recursive", f"s3://{bucket}/tree", down)
    for name, content in files.items():
        assert content.is_in(down / name), name
    aws(target, "s3", "cp", f"s3://{bucket}/tree/one", f"s3://{bucket}/copied")
    assert aws(target, "s3", "cp", f"s3://{bucket}/copied", "-").stdout == b"1"
    aws(target, "s3", "mv", f"s3://{bucket}/copied", f"s3://{bucket}/moved")
    assert aws(target, "s3api", "head-object", *where, "--key", "copied", check=False).returncode != 0
    part = tmp_path / "part"
    aws(target, "s3api", "get-object", *where, "--key", "tree/parts", "--range", "bytes=1000-1999", part)
    assert part.read_bytes() == (folder / "parts").read_bytes()[1000:2000]
    url = aws(target, "s3", "presign", f"s3://{bucket}/moved", env={"AWS_CONFIG_FILE": str(v4_config(tmp_path))}).stdout.decode().strip()
    assert run(["curl", "-sS", "-f", url]).stdout == b"1"
    aws(target, "s3api", "put-object-tagging", *where, "--key", "moved", "--tagging", "TagSet=[{Key=a,Value=b c}]")
    assert b'"b c"' in aws(target, "s3api", "get-object-tagging", *where, "--key", "moved").stdout
    aws(target, "s3api", "delete-object-tagging", *where, "--key", "moved")
    assert not json.loads(aws(target, "s3api", "get-object-tagging", *where, "--key", "moved").stdout).get("TagSet")
    aws_cli_multipart(target, where, folder / "parts", tmp_path)
    gone = aws(target, "s3api", "delete-objects", *where, "--delete", "Objects=[{Key=tree/one},{Key=tree/empty}]").stdout
    assert sorted(d["Key"] for d in json.loads(gone)["Deleted"]) == ["tree/empty", "tree/one"]
    refused = aws(target, "s3", "rb", f"s3://{bucket}", check=False)
    assert refused.returncode != 0 and (target.name == "direct" or b"BucketNotEmpty" in refused.stderr)
    aws(target, "s3", "rb", "--force", f"s3://{bucket}")
    assert bucket.encode() not in aws(target, "s3", "ls").stdout


def aws_cli_multipart(target: Target, where: tuple[str, str], file: Path, folder: Path):
    """Step by step: one part from a file, one copied; then one upload that is given up."""
    def call(step: str, *argv: object):
        answer = aws(target, "s3api", step, *where, "--key", "multi", *argv).stdout
        return json.loads(answer) if answer else {}

    data = file.read_bytes()
    (folder / "first").write_bytes(data[:PART])
    upload = call("create-multipart-upload")["UploadId"]
    first = call("upload-part", "--upload-id", upload, "--part-number", 1, "--body", folder / "first")["ETag"]
    source = ("--copy-source", f"{where[1]}/tree/parts", "--copy-source-range", f"bytes={PART}-{len(data) - 1}")
    second = call("upload-part-copy", "--upload-id", upload, "--part-number", 2, *source)["CopyPartResult"]["ETag"]
    assert [p["PartNumber"] for p in call("list-parts", "--upload-id", upload)["Parts"]] == [1, 2]
    parts = {"Parts": [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": second}]}
    call("complete-multipart-upload", "--upload-id", upload, "--multipart-upload", json.dumps(parts))
    call("get-object", folder / "got")
    assert (folder / "got").read_bytes() == data
    aborted = call("create-multipart-upload")["UploadId"]
    call("abort-multipart-upload", "--upload-id", aborted)
    assert b"UploadId" not in aws(target, "s3api", "list-multipart-uploads", *where).stdout


def v4_config(folder: Path) -> Path:
    """For us-east-1 the CLI still presigns with version 2 unless told otherwise."""
    path = folder / "aws-config"
    path.write_text("[default]\ns3 =\n  signature_version = s3v4\n  addressing_style = path\n")
    return path


def test_rclone(target, tmp_path, large):
    """All but tags and presigned uploads, for which it has no command."""
    bucket = f"rclone-{uuid.uuid4().hex[:8]}"
    rclone(target, "mkdir", f"x:{bucket}")
    assert bucket.encode() in rclone(target, "lsd", "x:").stdout
    folder, down = tmp_path / "up", tmp_path / "down"
    files = folder_of(folder, large)
    rclone(target, "copy", "--s3-upload-cutoff", "8Mi", "--s3-chunk-size", "5Mi", folder, f"x:{bucket}/tree")  # 40 parts
    assert sorted(rclone(target, "lsf", "-R", "--files-only", f"x:{bucket}/tree").stdout.decode().splitlines()) == sorted(files)
    rclone(target, "check", folder, f"x:{bucket}/tree")
    rclone(target, "copy", f"x:{bucket}/tree", down)
    for name, content in files.items():
        assert content.is_in(down / name), name
    rclone(target, "copyto", "--s3-upload-cutoff", "256Mi", folder / "large", f"x:{bucket}/whole")  # one PUT
    rclone(target, "copyto", f"x:{bucket}/whole", down / "whole")
    assert large.is_in(down / "whole")
    rclone(target, "copyto", "--s3-copy-cutoff", "6Mi", "--s3-chunk-size", "5Mi", f"x:{bucket}/tree/parts", f"x:{bucket}/parts")  # copied by parts
    rclone(target, "copyto", f"x:{bucket}/parts", down / "parts")
    assert files["parts"].is_in(down / "parts")
    assert rclone(target, "cat", "--offset", "1000", "--count", "50", f"x:{bucket}/parts").stdout == (folder / "parts").read_bytes()[1000:1050]
    rclone(target, "copyto", f"x:{bucket}/tree/one", f"x:{bucket}/copied")
    rclone(target, "moveto", f"x:{bucket}/copied", f"x:{bucket}/moved")
    assert rclone(target, "cat", f"x:{bucket}/moved").stdout == b"1"
    assert run(["curl", "-sS", "-f", rclone(target, "link", "--expire", "1m", f"x:{bucket}/moved").stdout.decode().strip()]).stdout == b"1"
    assert json.loads(rclone(target, "backend", "list-multipart-uploads", f"x:{bucket}").stdout) == {bucket: []}
    (folder / "one").unlink()
    rclone(target, "sync", folder, f"x:{bucket}/tree")
    assert b"one" not in rclone(target, "lsf", f"x:{bucket}/tree").stdout
    rclone(target, "deletefile", f"x:{bucket}/moved")
    rclone(target, "delete", f"x:{bucket}")
    rclone(target, "rmdir", f"x:{bucket}")
    assert bucket.encode() not in rclone(target, "lsd", "x:").stdout


def test_curl_with_its_own_signer(target, tmp_path, large):
    """It signs a query as it stands, so each is written in the canonical form: sorted, with every `=`."""
    bucket = f"curl-{uuid.uuid4().hex[:8]}"

    def curl(path: str, *argv: object, body: bytes = b"", file: Content | None = None, out: Path | None = None) -> bytes:
        sent = ["-T", file.path] if file else ["--data-binary", "@-", "-H", "Content-Type: application/xml"] if body else []
        signed = ["--aws-sigv4", f"aws:amz:{target.region}:s3", "--user", f"{target.access_key}:{target.secret_key}"]
        hashed = ["-H", f"x-amz-content-sha256: {file.sha256 if file else sha256(body)}"]
        return run(["curl", "-sS", "-f", *signed, *hashed, *sent, *argv, *(["-o", out] if out else []), f"{target.endpoint}/{bucket}{path}"], stdin=body, deadline=180).stdout

    constraint = f"<CreateBucketConfiguration><LocationConstraint>{target.location}</LocationConstraint></CreateBucketConfiguration>"
    curl("", "-X", "PUT", body=constraint.encode() if target.location else b"")
    (tmp_path / "empty").touch()
    for content in (Content(tmp_path / "empty", 0, EMPTY_SHA256), large):
        curl("/object", file=content)
        curl("/object", out=tmp_path / "got")
        assert content.is_in(tmp_path / "got")
    with open(large.path, "rb") as file:
        file.seek(150 * MIB)
        assert curl("/object", "-r", f"{150 * MIB}-{150 * MIB + 999}") == file.read(1000)
    curl("/a%20b%2Bc", "-X", "PUT", body=b"12345")
    curl("/copied", "-X", "PUT", "-H", f"x-amz-copy-source: /{bucket}/a%20b%2Bc")
    assert curl("/copied") == b"12345"
    listing = curl("?list-type=2&max-keys=2")
    assert b"<Key>a b+c</Key>" in listing and b"<Key>copied</Key>" in listing and b"<IsTruncated>true</IsTruncated>" in listing
    curl("/copied?tagging=", "-X", "PUT", body=b"<Tagging><TagSet><Tag><Key>team</Key><Value>blue</Value></Tag></TagSet></Tagging>")
    assert b"<Value>blue</Value>" in curl("/copied?tagging=")
    curl("/copied?tagging=", "-X", "DELETE")
    assert b"blue" not in curl("/copied?tagging=")
    upload = xml_text(curl("/multi?uploads=", "-X", "POST"), "UploadId")
    curl(f"/multi?partNumber=1&uploadId={upload}", "-X", "PUT", "-D", tmp_path / "head", body=b"the only part")
    etag = next(line.split(": ")[1] for line in (tmp_path / "head").read_text().splitlines() if line.lower().startswith("etag"))
    curl(f"/multi?uploadId={upload}", "-X", "POST", body=f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>".encode())
    assert curl("/multi") == b"the only part"
    for key in ("object", "a%20b%2Bc", "copied", "multi"):
        curl(f"/{key}", "-X", "DELETE")
    curl("", "-X", "DELETE")
    until(lambda: fails(target.s3().head_bucket, Bucket=bucket)[0] == 404, "every proxy has seen that the bucket is gone")


def xml_text(body: bytes, tag: str) -> str:
    return body.decode().partition(f"<{tag}>")[2].partition("<")[0]


def test_rust_sdk(target, large):
    # radosgw knows no signed trailer and answers GetObjectAttributes with the object: the whole tour needs the gateway.
    file = "" if target.name == "direct" else large.path
    done = sdk_tour(target, "tour", f"sdk-{uuid.uuid4().hex[:8]}", target.location, file, check=target.name != "direct")
    steps = [line.removeprefix("ok ") for line in done.stdout.decode().splitlines()]
    if target.name == "direct":
        assert "tagging" in steps, done.stderr
        return
    assert steps == ["buckets", "objects", "file with signed trailer", "ranges and conditions", "multipart", "listing", "copy", "presigned", "tagging", "attributes", "deletes"]


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_TR_04_addressing(shape, target, style):
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
        # The host names the bucket, the path is only a key.
        other = target.make_bucket("address-other")
        request = Request("PUT", f"/{other}/k", body=b"1")
        authorise(request, target.signer(), host)
        assert exchange(target.endpoint, request).status == 200
        assert fails(target.s3().get_object, Bucket=other, Key="k") == (404, "NoSuchKey")
        assert read(target.s3(), bucket, f"{other}/k") == b"1"
