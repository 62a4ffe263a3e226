"""Stands between the tests' clients and the gateway: spreads connections over the proxies and searches every answer byte for what must not leave.

No client, header or error path can bypass it, because it sees the bytes on the wire. Run as a process of its own:
`tap.py PORT_FILE PATTERNS_FILE LEAKS_FILE TARGET...`. Patterns are literal bytes, one a line; each hit is written with its surroundings.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import sys
from pathlib import Path

CHUNK = 256 * 1024
PHYSICAL = re.compile(rb"s3gw-[0-9a-f]{16}")


class Tap:
    def __init__(self, patterns: Path, leaks: Path, targets: list[tuple[str, int]]):
        self.patterns_file, self.leaks = patterns, leaks
        self.targets, self.turn = targets, itertools.count()
        self.words: list[bytes] = []
        self.stamp = 0

    def current_words(self) -> list[bytes]:
        """Words grow during a run (a new backend), so the file is read again when it changed."""
        stamp = os.stat(self.patterns_file).st_mtime_ns
        if stamp != self.stamp:
            self.words = [w.lower() for w in self.patterns_file.read_bytes().split(b"\n") if w]
            self.stamp = stamp
        return self.words

    def find(self, data: bytes) -> tuple[bytes, int] | None:
        """A forbidden word and where it is. Plain substring searches: one regular expression of all was twenty times slower."""
        small = data.lower()
        for word in self.current_words():
            if (at := small.find(word)) >= 0:
                return word, at
        if b"s3gw-" in small and (hit := PHYSICAL.search(small)):
            return hit.group(), hit.start()
        return None

    async def connect(self):
        for _ in self.targets:
            host, port = self.targets[next(self.turn) % len(self.targets)]
            try:
                return await asyncio.open_connection(host, port, limit=CHUNK)
            except OSError:
                continue
        return None

    async def up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytearray):
        try:
            while data := await reader.read(CHUNK):
                if len(sent) < 2048:
                    sent += data[:2048]
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            writer.close()

    async def down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytearray):
        carry = b""
        try:
            while data := await reader.read(CHUNK):
                self.scan(carry + data, sent)
                carry = data[-64:]
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    def scan(self, data: bytes, sent: bytearray):
        if hit := self.find(data):
            word, at = hit
            around = data[max(0, at - 200) : at + 200]
            with open(self.leaks, "ab") as out:
                out.write(repr({"leak": word, "around": around, "request": bytes(sent[:400])}).encode() + b"\n")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        upstream = await self.connect()
        if upstream is None:
            writer.close()
            return
        sent = bytearray()
        up = asyncio.create_task(self.up(reader, upstream[1], sent))
        await self.down(upstream[0], writer, sent)
        up.cancel()
        upstream[1].close()


async def main(port_file: str, patterns: str, leaks: str, *targets: str):
    addresses = [(t.rpartition(":")[0], int(t.rpartition(":")[2])) for t in targets]
    tap = Tap(Path(patterns), Path(leaks), addresses)
    server = await asyncio.start_server(tap.serve, "127.0.0.1", 0, limit=CHUNK, backlog=512)
    temporary = Path(port_file + ".tmp")
    temporary.write_text(str(server.sockets[0].getsockname()[1]))
    temporary.rename(port_file)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
