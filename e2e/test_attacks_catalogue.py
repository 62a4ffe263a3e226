"""The catalogue of attacks, `attacks.json`, against the tests that there are: each row is tested, or says of which part it waits for.

A test covers a row by naming it: in its own name (`test_HT_22_…`, in Rust `ht_22_…`), in the id of one of its cases (`HT-22-…`), or, in Rust, in
a row of its table."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROWS = {row["id"]: row for row in json.loads((HERE / "attacks.json").read_text())}
GROUPS = "SH|PQ|PL|PP|HT|TR|XM|HB|BE|AD|RE|LM"
NAMED = re.compile(rf"(?<![A-Za-z0-9])({GROUPS})[-_](\d\d)(?![0-9])")


def named_in(text: str) -> set[str]:
    return {f"{group}-{number}" for group, number in NAMED.findall(text)}


def collected() -> list[str]:
    """The ids of all end-to-end tests, whichever of them run now."""
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--no-header", str(HERE)]
    shapes = {"S3GATEWAY_E2E_SHAPES": "embedded,production,plain"}
    done = subprocess.run(argv, capture_output=True, text=True, cwd=HERE, env=os.environ | shapes, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return [line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line]


def unit_tests() -> list[str]:
    """The lines of Rust's tests, comments apart: names of tests and rows of their tables."""
    lines = []
    for file in HERE.parent.rglob("*.rs"):
        if "target" in file.parts or file.is_relative_to(HERE):
            continue
        text = file.read_text()
        is_test = "tests" in file.parts or file.stem.endswith("tests")
        tests = text if is_test else text.partition("#[cfg(test)]\nmod tests {")[2]
        lines += [re.sub(r"\bfn ([a-z]{2}_\d\d)_", lambda m: f"fn {m[1].upper()}_", line.partition("//")[0]) for line in tests.splitlines()]
    return lines


def test_every_attack_is_tested_or_waits_for_its_part():
    tests = collected()
    assert len(tests) > 1000, "the collection is not whole"
    covered = set().union(*map(named_in, tests), *map(named_in, unit_tests()))
    untested = {id for id, row in ROWS.items() if "untested" in row}
    forgotten, tested_after_all = sorted(ROWS.keys() - covered - untested), sorted(untested & covered)
    assert not forgotten and not tested_after_all, f"no test names {forgotten}; said to be untested, and tested: {tested_after_all}"


def test_a_row_that_waits_says_for_what():
    for row in ROWS.values():
        assert row.keys() <= {"id", "what", "untested", "partly"} and row["what"], row
        for reason in (row.get("untested"), row.get("partly")):
            assert reason is None or re.match(r"not built yet: \w", reason), row
    assert len(ROWS) == 190 and list(ROWS) == [row["id"] for row in json.loads((HERE / "attacks.json").read_text())]


def test_names_are_found_where_they_are():
    assert named_in("test_TR_17_TR_18_x[embedded-HT-03-'a']") == {"TR-17", "TR-18", "HT-03"}
    assert named_in("test_XSH_01 SH-001 sh-01 PL-1") == set()
