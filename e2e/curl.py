"""Plain curl: what somebody has who was given a URL and nothing else."""

from __future__ import annotations

from processes import run
from raw import Answer


def curl(method: str, url: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Answer:
    """One request, with no header that is not given: curl's own Content-Type is taken off."""
    argv = ["curl", "-gsS", "-D", "/dev/stderr", "-H", "Expect:"]
    argv += ["-I"] if method == "HEAD" else ["-X", method]
    headers = headers or {}
    if body is not None:
        argv += ["--data-binary", "@-"]
        if "content-type" not in {name.lower() for name in headers}:
            argv += ["-H", "Content-Type:"]
    for name, value in headers.items():
        argv += ["-H", f"{name}: {value}"]
    done = run([*argv, url], stdin=body)
    lines = done.stderr.decode("latin-1").split("\r\n")
    pairs = [(n, v.strip()) for n, _, v in (line.partition(":") for line in lines[1:] if ":" in line)]
    return Answer(int(lines[0].split(" ")[1]), pairs, b"" if method == "HEAD" else done.stdout)
