"""The tours in other languages (`tours/`), each a program of its own; what each needs on the machine, and how it is called."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from clients import Target
from processes import clean_environment, run

HERE = Path(__file__).resolve().parent
TOURS, TOOLS = HERE / "tours", HERE / ".tools"
SETUP = "then run e2e/setup.sh"


@dataclass(frozen=True)
class Toolchain:
    """How a language's programs are started, and what must be there first."""

    command: str
    package: str
    """Debian's name of what brings the command."""
    made: Path
    """What setup.sh makes for it."""
    tour: tuple[object, ...]
    presign: tuple[object, ...] = ()
    env: tuple[tuple[str, str], ...] = ()

    def require(self):
        """Skips the test where the toolchain is not on this machine; where S3GATEWAY_E2E_ALL_TOURS is set that is a failure."""
        if shutil.which(self.command) and self.made.exists():
            return
        missing = f"needs `{self.command}` (apt install {self.package}), {SETUP}"
        assert not os.environ.get("S3GATEWAY_E2E_ALL_TOURS"), missing
        pytest.skip(missing)


_JARS = f"{TOURS}/java/target/lib/*:{TOURS}/java/target/classes"
_PYTHON = {"command": sys.executable, "package": "python3-venv"}

TOOLCHAINS = {
    # Its makers warn of every Node that will be too old one day.
    "js": Toolchain("node", "nodejs npm", TOURS / "js/node_modules", ("node", TOURS / "js/tour.js"), ("node", TOURS / "js/presign.js"), (("AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED", "true"),)),
    "go": Toolchain("go", "golang", TOOLS / "go-tour", (TOOLS / "go-tour", "tour"), (TOOLS / "go-tour", "presign")),
    "java": Toolchain("java", "default-jdk-headless maven", TOURS / "java/target/classes", ("java", "-Dfile.encoding=UTF-8", "-cp", _JARS, "Tour"), ("java", "-Dfile.encoding=UTF-8", "-cp", _JARS, "Presign")),
    "minio": Toolchain(**_PYTHON, made=TOURS, tour=(sys.executable, "-W", "default", TOURS / "python/minio_tour.py")),
    "pyarrow": Toolchain(**_PYTHON, made=TOURS, tour=(sys.executable, "-W", "default", TOURS / "python/pyarrow_tour.py")),
    "duckdb": Toolchain(**_PYTHON, made=TOURS, tour=(sys.executable, "-W", "default", TOURS / "python/duckdb_tour.py")),
    "s3fs": Toolchain(**_PYTHON, made=TOOLS / "s3fs", tour=(sys.executable, "-W", "default", TOURS / "python/s3fs_tour.py"), env=(("PYTHONPATH", str(TOOLS / "s3fs")),)),
}


def tour(name: str, target: Target, *argv: object) -> list[str]:
    """Runs a tour to its end, which has to be quiet, and gives the names of its steps."""
    toolchain = TOOLCHAINS[name]
    toolchain.require()
    done = run([*toolchain.tour, target.endpoint, target.access_key, target.secret_key, *argv], env=dict(toolchain.env), deadline=240)
    assert not done.stderr, f"{name} warned: {done.stderr.decode(errors='replace')[:2000]}"
    return [line.removeprefix("ok ") for line in done.stdout.decode().splitlines()]


class Presigner:
    """The presigner of an SDK that is not Python's: a process that is asked line by line."""

    def __init__(self, name: str, target: Target):
        toolchain = TOOLCHAINS[name]
        toolchain.require()
        argv = [str(a) for a in (*toolchain.presign, target.endpoint, target.access_key, target.secret_key)]
        self.body = b""
        self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_environment() | dict(toolchain.env))

    def sign(self, operation: str, parameters: dict[str, object]) -> tuple[str, dict[str, str]]:
        """The URL, and the headers that must go with it; `body` is then what the SDK would send."""
        self.child.stdin.write(json.dumps({"operation": operation, "parameters": parameters}).encode() + b"\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        assert line, f"the presigner ended with {self.child.wait()} at {operation}"
        answer = json.loads(line)
        self.body = answer.get("body", "").encode()
        return answer["url"], answer["headers"]

    def close(self):
        self.child.stdin.close()
        self.child.wait(20)
