"""Runs every case directly at each backend and through the gateway in front of it, and prints transparency and lending.

    python -m conformance [--backend embedded|rgw|plain] [--endpoint URL] [--only WORDS] [--verbose] [--json FILE]

Ends with 1 where a case passes directly and fails through the gateway.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import signal
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import conformance
import processes
from clients import Target
from conformance.case import CASES, SEEN, Case
from conformance.s3 import Bucket
from gateway import HOME, SHAPES

BACKENDS = {"embedded": "embedded", "rgw": "production", "plain": "plain"}
"""Which shape of the end-to-end tests has the gateway in front of that backend."""
WORKERS = 8


def run_case(case: Case, target: Target) -> str | None:
    """None where it passed, else why not, in a line."""
    SEEN.last = None
    try:
        case.run(Bucket.fresh(target))
        return None
    except Exception as error:  # noqa: BLE001 - whatever it is, the case did not pass
        return reason(error)


def reason(error: Exception) -> str:
    text = str(error)
    if type(error) is AssertionError:  # a bare assert tells nothing of itself
        text = f"{traceback.extract_tb(error.__traceback__)[-1].line} {text}"
    elif not isinstance(error, AssertionError):
        text = f"{type(error).__name__}: {text}"
    last = f"; last answer {SEEN.last.brief()}" if SEEN.last and SEEN.last.brief() not in text else ""
    return " ".join(f"{text}{last}".split())[:400]


def run_all(cases: list[Case], target: Target) -> dict[str, str | None]:
    with ThreadPoolExecutor(WORKERS) as pool:
        return dict(zip([c.id for c in cases], pool.map(lambda c: run_case(c, target), cases)))


def share(part: int, whole: int) -> str:
    return f"{part} of {whole}" + (f" ({100 * part / whole:.1f} %)" if whole else "")


def by_group(direct: dict[str, str | None], through: dict[str, str | None]) -> list[tuple[str, int, int, int]]:
    """Per group: cases, passed directly, passed through the gateway."""
    groups = dict.fromkeys(c.partition(":")[0] for c in direct)
    of = {g: [c for c in direct if c.partition(":")[0] == g] for g in groups}
    return [(g, len(ids), sum(direct[c] is None for c in ids), sum(through[c] is None for c in ids)) for g, ids in of.items()]


def judge(name: str, direct: dict[str, str | None], through: dict[str, str | None], verbose: bool) -> dict:
    """The figures of a backend, printed and given back."""
    passed_directly = [c for c, why in direct.items() if why is None]
    passed_through = [c for c, why in through.items() if why is None]
    lost = {c: through[c] for c in passed_directly if through[c] is not None}
    lent = [c for c in passed_through if direct[c] is not None]
    neither = {c: through[c] for c, why in direct.items() if why is not None and through[c] is not None}
    rows = [("", "cases", "directly", "through"), *by_group(direct, through)]
    print(f"\n{name}: {len(direct)} cases")
    print(f"  passed directly             {share(len(passed_directly), len(direct))}")
    print(f"  passed through the gateway  {share(len(passed_through), len(direct))}")
    print(f"  transparency                {share(len(passed_directly) - len(lost), len(passed_directly))}")
    print(f"  lending                     {len(passed_through)} against {len(passed_directly)}; lent {len(lent)}")
    print("\n".join(f"    {g:<18}{n:>9}{d:>10}{t:>9}" for g, n, d, t in rows))
    for title, found in (("pass directly, fail through the gateway", lost), ("fail both ways", neither if verbose else {})):
        if found:
            print(f"  {title} ({len(found)}):")
            print("\n".join(f"    {c}\n      {why}" for c, why in sorted(found.items())))
    return {
        "backend": name, "cases": len(direct), "passed_directly": len(passed_directly), "passed_through": len(passed_through), "transparent": len(passed_directly) - len(lost),
        "transparency": (len(passed_directly) - len(lost)) / len(passed_directly) if passed_directly else None, "lending": len(passed_through) / len(passed_directly) if passed_directly else None,
        "lost": lost, "lent": lent, "neither": neither, "failed_directly": {c: why for c, why in direct.items() if why is not None},
    }


def run_backend(name: str, cases: list[Case], argv: argparse.Namespace) -> dict:
    shape = SHAPES[BACKENDS[name]]()
    try:
        shape.start()
        backend = shape.backends[HOME]
        started = time.monotonic()
        direct = run_all(cases, Target(name, backend.endpoint, backend.access_key, backend.secret_key))
        # One copy: the suite asks about answers, not about replicas.
        shape.add_tenant("conformance", "--placement", HOME, "--replica-count", "1")
        processes.until(lambda: all(Bucket.fresh(t) for t in targets(shape)), "every proxy knows the tenant", 30)
        through = run_all(cases, shape.target("conformance"))
        result = judge(name, direct, through, argv.verbose)
        result |= {"seconds": round(time.monotonic() - started, 1), "leaked": shape.leaked()[:2000]}
        if result["leaked"]:
            print(f"  an answer leaked:\n{result['leaked']}")
        return result
    finally:
        shape.close()


def run_endpoint(target: Target, cases: list[Case]) -> dict:
    """Any S3 server as it is: are the cases themselves right?"""
    found = run_all(cases, target)
    failed = {c: why for c, why in found.items() if why is not None}
    print(f"\n{target.endpoint}: passed {share(len(found) - len(failed), len(found))}")
    print("\n".join(f"    {c}\n      {why}" for c, why in sorted(failed.items())))
    return {"endpoint": target.endpoint, "cases": len(found), "passed_directly": len(found) - len(failed), "failed_directly": failed, "lost": {}, "leaked": ""}


def targets(shape) -> list[Target]:
    """The tenant at each proxy, past the tap."""
    made = [shape.target("conformance") for _ in shape.proxy_endpoints()]
    for target, endpoint in zip(made, shape.proxy_endpoints()):
        target.endpoint = endpoint
    return made


def main() -> int:
    parser = argparse.ArgumentParser(prog="conformance")
    parser.add_argument("--backend", action="append", choices=list(BACKENDS), help="default: all")
    parser.add_argument("--only", default="", help="cases whose name holds these words")
    parser.add_argument("--endpoint", help="an S3 server that runs already, instead; keys from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    parser.add_argument("--verbose", action="store_true", help="also the cases that fail both ways")
    parser.add_argument("--json", type=Path, help="a file for one line of JSON per backend; without it they are printed")
    argv = parser.parse_args()
    server = Target("server", argv.endpoint, os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]) if argv.endpoint else None
    for name in os.environ.keys() - processes.clean_environment().keys():
        if not name.startswith("S3GATEWAY_"):
            del os.environ[name]
    for module in pkgutil.iter_modules(conformance.__path__):
        if module.name.startswith("cases_"):
            importlib.import_module(f"conformance.{module.name}")
    cases = [c for c in CASES if argv.only.lower() in c.id.lower()]
    assert len({c.id for c in CASES}) == len(CASES), "two cases of one name"
    results = [run_endpoint(server, cases)] if server else [run_backend(name, cases, argv) for name in argv.backend or BACKENDS]
    lines = [json.dumps(r) for r in results]
    if argv.json:
        argv.json.write_text("".join(line + "\n" for line in lines))
    else:
        print("\n" + "\n".join(lines))
    return 1 if any(r["lost"] or r["leaked"] for r in results) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        for process in list(processes.LIVE):
            process.stop(signal.SIGKILL)
