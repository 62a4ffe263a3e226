"""Links between the parts of a deployment, each a port that leads to another and can be cut, slowed down or held up.

Run as a process of its own: `links.py FOLDER NAME=HOST:PORT...`. It writes `NAME.port`, and follows what `NAME.state` says: `open`, `slow`, `stalled`;
a change to `cut TEXT` resets every connection that there is, and the link is open again.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from pathlib import Path

CHUNK = 64 * 1024
LOOK = 0.05
SLOW_RATE, SLOW_DELAY = 256 * 1024, 0.05
"""Bytes a second for each connection, and what each piece waits at least."""


class Link:
    def __init__(self, folder: Path, name: str, target: str):
        self.host, _, port = target.rpartition(":")
        self.port = int(port)
        self.port_file, self.state_file = folder / f"{name}.port", folder / f"{name}.state"
        self.state = "open"
        self.writers: set[asyncio.StreamWriter] = set()

    async def start(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=CHUNK, backlog=512)
        temporary = self.port_file.with_suffix(".new")
        temporary.write_text(str(server.sockets[0].getsockname()[1]))
        temporary.rename(self.port_file)
        await asyncio.gather(server.serve_forever(), self.follow())

    async def follow(self):
        while True:
            await asyncio.sleep(LOOK)
            state = self.state_file.read_text() if self.state_file.exists() else "open"
            if state != self.state and state.startswith("cut"):
                for writer in list(self.writers):
                    reset(writer)
            self.state = state

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        try:
            far_reader, far_writer = await asyncio.open_connection(self.host, self.port, limit=CHUNK)
        except OSError:
            reset(writer)
            return
        pair = {writer, far_writer}
        self.writers |= pair
        up = asyncio.create_task(self.move(reader, far_writer))
        down = asyncio.create_task(self.move(far_reader, writer))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            up.cancel()
            down.cancel()
            for end in pair:
                end.close()
            self.writers -= pair

    async def move(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        """One direction; its end is passed on, and a break ends both."""
        while data := await reader.read(CHUNK):
            if self.state == "slow":
                await asyncio.sleep(max(SLOW_DELAY, len(data) / SLOW_RATE))
            while self.state == "stalled":
                await asyncio.sleep(LOOK)
            writer.write(data)
            await writer.drain()
        writer.write_eof()


def reset(writer: asyncio.StreamWriter):
    """Ends a connection as a broken line does: with a reset, not with an end."""
    end = writer.get_extra_info("socket")
    if end is not None:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def main(folder: str, *links: str):
    pairs = (link.split("=", 1) for link in links)
    await asyncio.gather(*(Link(Path(folder), name, target).start() for name, target in pairs))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
