"""`s3gateway dev` as a newcomer meets it: what it prints works as printed, it stops cleanly, it finds everything again, it steps aside for taken ports."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess

import pytest

from clients import Target, aws_cli, fails, payload, read
from gateway import BINARY, HOME, REPLICA
from processes import Folder, Process, clean_environment, pick_port, run, until


class Dev:
    """A `dev` with a state folder of its own."""

    def __init__(self, port: int = 0):
        self.folder = Folder("dev")
        self.state, self.ready_file = self.folder.path / "state", self.folder.path / "ready.json"
        argv = [BINARY, "dev", "--state", self.state, "--port", port, "--admin-port", 0, "--backend-ports", "0", "--ready-file", self.ready_file]
        self.process = Process("dev-alone", argv, self.folder.path)

    def start(self) -> dict:
        self.ready_file.unlink(missing_ok=True)
        self.process.start()
        until(lambda: self.process.must_live() and self.ready_file.exists(), "dev is ready", 60)
        return json.loads(self.ready_file.read_text())

    def target(self, ready: dict, tenant: int = 0) -> Target:
        t = ready["tenants"][tenant]
        return Target("dev", ready["endpoint"], t["access_key"], t["secret_key"], location=HOME)


@pytest.fixture
def dev():
    made = Dev()
    yield made
    made.process.stop()
    made.folder.remove()


def embedded_only():
    import os

    if "embedded" not in (os.environ.get("S3GATEWAY_E2E_SHAPES") or "embedded"):
        pytest.skip("only with the embedded shape")


def test_ready_file(dev):
    embedded_only()
    ready = dev.start()
    assert [t["name"] for t in ready["tenants"]][:2] == ["acme", "globex"]
    assert {b["place"] if isinstance(b["place"], str) else b["place"]["region"] for b in ready["backends"]} == {"fi-hel", "de-fra", "us-iad"}
    for name in ("endpoint", "admin_endpoint"):
        assert ready[name].startswith("http://127.0.0.1:")
    assert oct(dev.ready_file.stat().st_mode)[-3:] in ("600", "640") or dev.ready_file.stat().st_mode & 0o077 == 0, "it holds secrets"


def test_the_printed_commands_work_as_printed(dev, tmp_path):
    """Copy and paste, in order, in a shell that has the AWS CLI and the binary on its path."""
    embedded_only()
    dev.start()
    commands = until(lambda: printed_commands(dev.process.tail(100_000)), "the commands are printed", 5)
    assert len([c for c in commands if "aws s3 " in c]) >= 4 and any("copies" in c for c in commands), commands
    path = f"{aws_cli().parent}:{BINARY.parent}"
    env = clean_environment() | {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    env["PATH"] = f"{path}:{env['PATH']}"
    script = "set -e\n" + "\n".join(commands)
    done = subprocess.run(["bash", "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    assert HOME in done.stdout and REPLICA in done.stdout, done.stdout


def printed_commands(text: str) -> list[str]:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = [line.strip().removeprefix("$ ") for line in plain.splitlines()]
    return [line for line in lines if re.match(r"(export |aws |echo |s3gateway |curl |\S*/s3gateway )", line)]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "SIGKILL"])
def test_it_finds_everything_again(dev, how):
    embedded_only()
    first = dev.start()
    s3 = dev.target(first).s3()
    bucket = dev.target(first).make_bucket("again", f"{HOME},{REPLICA}", s3=s3)
    data = {f"k{n}": payload(n * 10_000, n) for n in range(8)}
    for key, body in data.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"n": key}, Tagging="t=1")
    s3.delete_object(Bucket=bucket, Key="k7")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="open")["UploadId"]
    code = dev.process.stop(how)
    if how == signal.SIGINT:
        assert code == 0, f"ended with {code}:\n{dev.process.tail()}"
    second = dev.start()
    assert second["tenants"] == first["tenants"]
    s3 = dev.target(second).s3()
    for n in range(7):
        assert read(s3, bucket, f"k{n}") == data[f"k{n}"]
        assert s3.head_object(Bucket=bucket, Key=f"k{n}")["Metadata"] == {"n": f"k{n}"}
    assert s3.get_object_tagging(Bucket=bucket, Key="k1")["TagSet"] == [{"Key": "t", "Value": "1"}]
    assert fails(s3.get_object, Bucket=bucket, Key="k7") == (404, "NoSuchKey")
    etag = s3.upload_part(Bucket=bucket, Key="open", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    s3.complete_multipart_upload(Bucket=bucket, Key="open", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert read(s3, bucket, "open") == b"x"


def test_a_taken_port_is_stepped_over():
    embedded_only()
    port = pick_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        dev = Dev(port)
        try:
            ready = dev.start()
            assert not ready["endpoint"].endswith(f":{port}")
            assert str(port) in dev.process.tail(100_000), "the other port is said clearly"
        finally:
            dev.process.stop()
            dev.folder.remove()


def test_the_cli_finds_a_dev_by_its_state_folder(dev):
    embedded_only()
    dev.start()
    shown = run([BINARY, "admin", "--state", dev.state, "tenant", "list"]).stdout.decode()
    assert "acme" in shown and "globex" in shown
    refused = run([BINARY, "admin", "--state", dev.folder.path / "nothing", "tenant", "list"], check=False)
    assert refused.returncode != 0 and b"dev" in refused.stderr


def test_AD_10_dev_refuses_to_be_reached_from_outside(dev):
    """Its keys are for one machine."""
    embedded_only()
    done = subprocess.run([str(BINARY), "dev", "--state", str(dev.state), "--host", "0.0.0.0", "--port", "0"], capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and "loopback" in (done.stdout + done.stderr).lower()


def test_a_state_folder_of_the_first_versions_is_refused(dev):
    """Its backends kept objects as files under their keys: one line names the folder and what to do."""
    embedded_only()
    backend = dev.state / "backends" / HOME
    (backend / "spool").mkdir(parents=True)
    done = subprocess.run([str(BINARY), "dev", "--state", str(dev.state), "--port", "0"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert str(backend) in done.stderr and "--state" in done.stderr
