"""The tools that keep folders and backups in S3: what was moved once is not moved again, and none of them warns."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from clients import MIB, Target, aws, payload, rclone
from processes import run
from raw import host_of

FILES = {"empty": b"", "one": b"1", "sub dir/a b+c%d": payload(70_000, "tools"), "sub dir/ünï☃": payload(1_000, "tools"), "deep/er/still": b"2", "large": payload(24 * MIB + 777, "tools")}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Files from 0 bytes to 24 MiB, some with odd names."""
    for name, data in FILES.items():
        path = tmp_path / "up" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "up"


def holds_all(folder: Path):
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert found.keys() == FILES.keys()
    assert [name for name, data in FILES.items() if found[name] != data] == []


def quiet(done: subprocess.CompletedProcess, allowed: str = "") -> str:
    """The output of a tool that has said nothing on the side, but what is allowed."""
    aside = [line for line in done.stderr.decode(errors="replace").splitlines() if not (allowed and allowed in line)]
    assert not aside, aside[:10]
    return done.stdout.decode()


def test_aws_s3_sync(target, folder, tmp_path):
    bucket, down = target.make_bucket("sync"), tmp_path / "down"

    def sync(*argv: object) -> list[str]:
        return quiet(aws(target, "s3", "sync", "--no-progress", *argv)).splitlines()

    assert len(sync(folder, f"s3://{bucket}/tree")) == len(FILES)
    assert sync(folder, f"s3://{bucket}/tree") == [], "a second sync moves nothing"
    assert len(sync(f"s3://{bucket}/tree", down)) == len(FILES)
    assert sync(f"s3://{bucket}/tree", down) == []
    holds_all(down)
    assert len(sync(f"s3://{bucket}/tree", f"s3://{bucket}/twin")) == len(FILES), "from S3 to S3"
    (folder / "one").write_bytes(b"11")
    (folder / "deep/er/still").unlink()
    moved = sync("--delete", folder, f"s3://{bucket}/tree")
    assert sorted(line.split(":")[0] for line in moved) == ["delete", "upload"], moved


def test_rclone_check(target, folder, tmp_path):
    bucket, down = target.make_bucket("check"), tmp_path / "down"
    place = f"x:{bucket}/tree"
    quiet(rclone(target, "sync", folder, place))
    again = rclone(target, "sync", "-v", folder, place).stderr.decode()
    assert "There was nothing to transfer" in again, again
    checked = rclone(target, "check", "--download", folder, place).stderr.decode()
    assert "0 differences found" in checked and "ERROR" not in checked, checked
    hashed = rclone(target, "check", folder, place).stderr.decode()
    assert "0 differences found" in hashed and "hashes could not be checked" not in hashed, hashed
    quiet(rclone(target, "sync", place, down))
    holds_all(down)
    (folder / "one").write_bytes(b"x")
    assert rclone(target, "check", folder, place, check=False).returncode != 0


def s3cmd(target: Target, *argv: object) -> str:
    if not shutil.which("s3cmd"):
        pytest.skip("needs `s3cmd` (apt install s3cmd)")
    host = host_of(target.endpoint)
    access = [f"--access_key={target.access_key}", f"--secret_key={target.secret_key}", f"--host={host}", f"--host-bucket={host}", "--no-ssl", f"--region={target.region}", "--config=/dev/null"]
    # It shows times, and reads its own output of names, in the locale.
    return quiet(run(["s3cmd", *access, *argv], env={"LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}, deadline=120))


def test_s3cmd(target, folder, tmp_path):
    bucket, down = target.make_bucket("s3cmd"), tmp_path / "down"
    down.mkdir()
    place = f"s3://{bucket}/tree/"
    assert s3cmd(target, "sync", "--no-progress", "--multipart-chunk-size-mb=5", f"{folder}/", place).count("upload:") == len(FILES)
    assert target.s3().head_object(Bucket=bucket, Key="tree/large")["ETag"].endswith('-5"'), "the large one in parts"
    assert "upload:" not in s3cmd(target, "sync", "--no-progress", f"{folder}/", place)
    assert s3cmd(target, "sync", "--no-progress", place, f"{down}/").count("download:") == len(FILES)
    assert "download:" not in s3cmd(target, "sync", "--no-progress", place, f"{down}/")
    holds_all(down)
    listed = s3cmd(target, "ls", "--recursive", place).splitlines()
    assert sorted(line.split(place)[1] for line in listed) == sorted(FILES)
    assert s3cmd(target, "du", f"s3://{bucket}").split()[0] == str(sum(map(len, FILES.values())))
    s3cmd(target, "cp", f"{place}one", f"{place}copied")
    s3cmd(target, "modify", "--add-header=x-amz-meta-kind: x", f"{place}copied")
    assert "x-amz-meta-kind: x" in s3cmd(target, "info", f"{place}copied")
    s3cmd(target, "mv", f"{place}copied", f"{place}moved")
    assert s3cmd(target, "get", f"{place}moved", "-") == "1"
    assert (target.region if target.location else "") in s3cmd(target, "info", f"s3://{bucket}")
    s3cmd(target, "del", "--recursive", "--force", f"s3://{bucket}")
    s3cmd(target, "rb", f"s3://{bucket}")
    assert bucket not in s3cmd(target, "ls")


def test_restic(target, folder, tmp_path):
    if not shutil.which("restic"):
        pytest.skip("needs `restic` (apt install restic)")
    bucket = target.make_bucket("restic")
    env = {
        "RESTIC_REPOSITORY": f"s3:{target.endpoint}/{bucket}/backups", "RESTIC_PASSWORD": "not a secret", "RESTIC_CACHE_DIR": str(tmp_path / "cache"),
        "AWS_ACCESS_KEY_ID": target.access_key, "AWS_SECRET_ACCESS_KEY": target.secret_key, "AWS_DEFAULT_REGION": target.region,
    }

    def restic(*argv: object, allowed: str = "") -> str:
        return quiet(run(["restic", *argv], env=env, deadline=120), allowed)

    restic("init")
    restic("backup", "--quiet", folder)
    (folder / "one").write_bytes(b"11")
    second = json.loads(restic("backup", "--json", folder).splitlines()[-1])
    assert (second["files_changed"], second["files_new"], second["files_unmodified"]) == (1, 0, len(FILES) - 1)
    assert "no errors were found" in restic("check", "--read-data", allowed="using temporary cache")
    restic("restore", "--quiet", "latest", "--target", tmp_path / "down")
    (folder / "one").write_bytes(b"1")
    down = tmp_path / "down" / folder.relative_to("/")
    assert (down / "one").read_bytes() == b"11"
    (down / "one").write_bytes(b"1")
    holds_all(down)
    restic("forget", "--quiet", "--prune", "--keep-last", 1)
    assert len(json.loads(restic("snapshots", "--json"))) == 1
    assert "no errors were found" in restic("check", "--read-data", allowed="using temporary cache")
