"""Real processes owned by values: own folder, own log, killed on exit; and waiting for conditions instead of for time."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# Where cargo builds.
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or Path(__file__).resolve().parent.parent / "target")

LIVE: list["Process"] = []
"""Every process that runs now; a failing test shows the ends of their logs."""


def pick_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(condition: Callable[[], object], name: str, deadline: float = 20.0, every: float = 0.05):
    """Waits until `condition` gives something true and returns it. An exception counts as not yet; the last one is shown."""
    end = time.monotonic() + deadline
    last: object = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except Exception as error:  # noqa: BLE001 - any failure means "not yet"
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:g} s: {name} (last seen: {last!r})")
        time.sleep(every)


class Folder:
    """A temporary folder that goes with its owner."""

    def __init__(self, name: str):
        self.path = Path(tempfile.mkdtemp(prefix=f"s3gateway-e2e-{name}-"))

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


class Process:
    """One child. PR_SET_PDEATHSIG ends it with the thread that started it, so start it from the main thread only."""

    def __init__(self, name: str, argv: Sequence[str], folder: Path, env: dict[str, str] | None = None, user: str | None = None):
        self.name, self.argv, self.env = name, [str(a) for a in argv], env or {}
        self.log = Path(folder) / f"{name}.log"
        self.user = user
        self.child: subprocess.Popen | None = None

    def start(self) -> "Process":
        assert not self.alive(), f"{self.name} runs already"
        identity = [f"--reuid={self.user}", f"--regid={self.user}", "--init-groups"] if self.user and os.geteuid() == 0 else []
        argv = ["setpriv", "--pdeathsig", "KILL", *identity, "--", *self.argv]
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**clean_environment(), **self.env})
        LIVE.append(self)
        return self

    @property
    def pid(self) -> int:
        assert self.child, f"{self.name} was never started"
        return self.child.pid

    def alive(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def must_live(self) -> bool:
        """For `until`: fails at once with the log where the process has ended by itself."""
        if not self.alive():
            code = self.child.returncode if self.child else None
            raise SystemExit(f"{self.name} ended with {code}:\n{self.tail()}")
        return True

    def stop(self, how: int = signal.SIGKILL, deadline: float = 20.0) -> int | None:
        """Signals and reaps; a process that outlives the deadline is killed."""
        if self in LIVE:
            LIVE.remove(self)
        if self.child is None:
            return None
        if self.child.poll() is None:
            self.child.send_signal(how)
            try:
                self.child.wait(deadline)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        return self.child.returncode

    def tail(self, size: int = 6000) -> str:
        try:
            return self.log.read_bytes()[-size:].decode(errors="replace")
        except OSError:
            return ""

    def resident_bytes(self) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def peak_resident_bytes(self) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0


def clean_environment() -> dict[str, str]:
    """The environment without what would steer an S3 client, a database client or the gateway."""
    steer = ("AWS_", "S3GATEWAY_", "RCLONE_", "PG", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "CEPH_")
    return {k: v for k, v in os.environ.items() if not k.startswith(steer)}


def run(argv: Sequence[str], env: dict[str, str] | None = None, deadline: float = 60, check: bool = True, stdin: bytes | None = None) -> subprocess.CompletedProcess:
    """Runs a client to its end; on failure its output is the message."""
    done = subprocess.run([str(a) for a in argv], env={**clean_environment(), **(env or {})}, capture_output=True, timeout=deadline, input=stdin, stdin=subprocess.DEVNULL if stdin is None else None)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))[:400]} ended with {done.returncode}:\n{done.stdout.decode(errors='replace')[-2000:]}\n{done.stderr.decode(errors='replace')[-4000:]}")
    return done
