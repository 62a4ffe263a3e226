"""The soak: everything that can be done to a deployment is done to it under load, and nothing acknowledged is lost.

`S3GATEWAY_SOAK_SECONDS` makes it longer, `S3GATEWAY_SOAK_SEED` repeats the schedule of a failed run.
"""

from __future__ import annotations

import json
import os
import secrets

import pytest

from gateway import BINARY, DENIED, HOME, REPLICA
from processes import run
from soak import make_schedule, soak

SECONDS = float(os.environ.get("S3GATEWAY_SOAK_SECONDS") or 185)
SEED = int(os.environ.get("S3GATEWAY_SOAK_SEED") or secrets.randbelow(1 << 32))


def run_tool(gateway, ledger, *more, status: int) -> dict:
    """One run against `dev`; its report."""
    report = ledger.with_suffix(".json")
    argv = [BINARY, "soak", "--dev", gateway.ready_file, "--bucket", f"soak-{ledger.name}", "--ledger", ledger, "--report", report]
    done = run([*argv, "--clients", "4", "--max-size", "200000", *more], check=False, deadline=120)
    assert done.returncode == status, done.stdout.decode() + done.stderr.decode()
    for secret in (gateway.tenants["acme"].secret_key, gateway.admin_token):
        assert secret.encode() not in done.stdout + done.stderr + ledger.read_bytes()
    return json.loads(report.read_text())


@pytest.mark.shape("embedded")
def test_the_soak_finds_nothing_where_nothing_is_wrong_and_each_fault_that_is_made(gateway, tmp_path):
    """A judge that never says no proves nothing: the same ledger is judged again after each kind of damage, made behind the gateway's back."""
    ledger = tmp_path / "judged"
    report = run_tool(gateway, ledger, "--duration", "10s", status=0)
    assert report["writes_acknowledged"] > 30 and not any(report["findings"].values()), report
    bucket, prefix = report["bucket"], report["prefix"]
    places = {place: gateway.backends[place].s3() for place in (HOME, REPLICA, DENIED)}
    mapping = {m["backend"]: m["physical_bucket"] for m in gateway.call("GET", f"/v1/tenants/acme/buckets/{bucket}")["mapping"]}
    keys = [o["Key"] for o in places[HOME].list_objects_v2(Bucket=mapping[HOME], Prefix=prefix)["Contents"] if o["Size"] > 100]
    lost, wrong, missing, forged = keys[:4]
    places[HOME].delete_object(Bucket=mapping[HOME], Key=lost)
    places[HOME].put_object(Bucket=mapping[HOME], Key=wrong, Body=b"never written")
    places[REPLICA].delete_object(Bucket=mapping[REPLICA], Key=missing)
    places[REPLICA].put_object(Bucket=mapping[REPLICA], Key=forged, Body=b"never written there")
    places[DENIED].create_bucket(Bucket="somewhere-else")
    places[DENIED].put_object(Bucket="somewhere-else", Key=forged, Body=b"x")
    try:
        found = run_tool(gateway, ledger, "--judge", status=1)
    finally:
        places[DENIED].delete_object(Bucket="somewhere-else", Key=forged)
        places[DENIED].delete_bucket(Bucket="somewhere-else")
    kinds = {(e["finding"], e["key"]) for e in found["evidence"]}
    assert {("lost", lost), ("left_copy", lost), ("wrong", wrong), ("missing_copy", missing), ("wrong", forged), ("missing_copy", forged), ("forbidden_copy", forged)} <= kinds
    assert {key for _, key in kinds} == {lost, wrong, missing, forged}, kinds


def test_a_schedule_is_the_same_for_the_same_seed():
    kinds = {"kill": ["a", "b"], "cut": ["link-a"], "skew": ["b"]}
    schedule = make_schedule(7, 600, kinds)
    assert schedule == make_schedule(7, 600, kinds) != make_schedule(8, 600, kinds)
    assert len(schedule) > 50 and all(fault.at + fault.seconds < 600 for fault in schedule)


@pytest.mark.timeout(SECONDS + 900)
def test_nothing_is_lost_whatever_is_done(tmp_path):
    results = soak(tmp_path, SECONDS, SEED)
    for bucket, result in results.items():
        print(f"{bucket}\n{result['output']}")
        assert result["status"] == 0, f"seed {SEED}, {bucket}:\n{result['output']}"
        assert result["writes_acknowledged"] > 50, "hardly anything was written: the soak proves nothing"
        assert sum(result["faults"].values()) > SECONDS / 10
        assert result["writes_unknown"], "no fault was felt: the soak proves nothing"
