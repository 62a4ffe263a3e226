"""Runs every case directly at each backend and through the gateway in front of it, and prints transparency and lending.

    python -m conformance [--backend embedded|rgw] [--only WORDS] [--direct] [--json FILE]

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

BACKENDS = {"embedded": "embedded", "rgw": "production"}
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


def judge(name: str, direct: dict[str, str | None], through: dict[str, str | None]) -> dict:
    """The figures of a backend, printed and given back."""
    passed_directly = [c for c, why in direct.items() if why is None]
    passed_through = [c for c, why in through.items() if why is None]
    lost = {c: through[c] for c in passed_directly if through[c] is not None}
    lent = [c for c in passed_through if direct[c] is not None]
    neither = {c: through[c] for c, why in direct.items() if why is not None and through[c] is not None}
    print(f"\n{name}: {len(direct)} cases")
    print(f"  passed directly             {share(len(passed_directly), len(direct))}")
    print(f"  passed through the gateway  {share(len(passed_through), len(direct))}")
    print(f"  transparency                {share(len(passed_directly) - len(lost), len(passed_directly))}")
    print(f"  lending                     {len(passed_through)} against {len(passed_directly)}; lent {len(lent)}")
    for title, found in (("pass directly, fail through the gateway", lost), ("fail both ways", neither)):
        if found:
            print(f"  {title} ({len(found)}):")
            print("\n".join(f"    {c}\n      {why}" for c, why in sorted(found.items())))
    return {
        "backend": name, "cases": len(direct), "passed_directly": len(passed_directly), "passed_through": len(passed_through), "transparent": len(passed_directly) - len(lost),
        "transparency": (len(passed_directly) - len(lost)) / len(passed_directly) if passed_directly else None, "lending": len(passed_through) / len(passed_directly) if passed_directly else None,
        "lost": lost, "lent": lent, "neither": neither, "failed_directly": {c: why for c, why in direct.items() if why is not None},
    }


def run_backend(name: str, cases: list[Case], direct_only: bool) -> dict | None:
    shape = SHAPES[BACKENDS[name]]()
    try:
        shape.start()
        backend = shape.backends[HOME]
        started = time.monotonic()
        direct = run_all(cases, Target(name, backend.endpoint, backend.access_key, backend.secret_key))
        if direct_only:
            failed = {c: why for c, why in direct.items() if why is not None}
            print(f"\n{name}, directly: passed {share(len(direct) - len(failed), len(direct))}")
            print("\n".join(f"    {c}\n      {why}" for c, why in sorted(failed.items())))
            return None
        # One copy: the suite asks about answers, not about replicas.
        shape.add_tenant("conformance", "--placement", HOME, "--replica-count", "1")
        processes.until(lambda: all(Bucket.fresh(t) for t in targets(shape)), "every proxy knows the tenant", 30)
        through = run_all(cases, shape.target("conformance"))
        result = judge(name, direct, through)
        result |= {"seconds": round(time.monotonic() - started, 1), "leaked": shape.leaked()[:2000]}
        if result["leaked"]:
            print(f"  an answer leaked:\n{result['leaked']}")
        return result
    finally:
        shape.close()


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
    parser.add_argument("--direct", action="store_true", help="only at the backend: are the cases themselves right?")
    parser.add_argument("--json", type=Path, help="a file for one line of JSON per backend; without it they are printed")
    argv = parser.parse_args()
    for name in os.environ.keys() - processes.clean_environment().keys():
        if not name.startswith("S3GATEWAY_"):
            del os.environ[name]
    for module in pkgutil.iter_modules(conformance.__path__):
        if module.name.startswith("cases_"):
            importlib.import_module(f"conformance.{module.name}")
    cases = [c for c in CASES if argv.only.lower() in c.id.lower()]
    assert len({c.id for c in CASES}) == len(CASES), "two cases of one name"
    results = [run_backend(name, cases, argv.direct) for name in argv.backend or BACKENDS]
    lines = [json.dumps(r) for r in results if r]
    if argv.json:
        argv.json.write_text("".join(line + "\n" for line in lines))
    else:
        print("\n" + "\n".join(lines))
    return 1 if any(r and (r["lost"] or r["leaked"]) for r in results) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        for process in list(processes.LIVE):
            process.stop(signal.SIGKILL)
