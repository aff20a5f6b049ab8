"""A program at a real pseudo-terminal, as a person has it: what is typed, and what is seen."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
MAIN = "import sys; from rxchat.__main__ import main; sys.exit(main())"
WITHOUT_RICH = f"import sys; sys.modules['rich'] = None; {MAIN}"

CTRL_C, CTRL_D, UP = "\x03", "\x04", "\x1b[A"

# What rich sends to a terminal: colours, one line up, erase the line, the cursor hidden and shown.
# What else readline sends: moves, erasures, bracketed paste and keypad.
OF_RICH = re.compile(r"\x1b\[[0-9;]*m|\x1b\[1A|\x1b\[2K|\x1b\[\?25[lh]")
OF_READLINE = re.compile(r"\x1b\[[0-9;]*[mACDK@P]|\x1b\[\?(2004|1034)[hl]|\x07")


class Terminal:
    """What has come to the screen, and a keyboard."""

    def __init__(self, controller: int, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.screen = ""
        self._read = 0  # of the screen, up to where it has been waited for
        self._controller = controller
        self._more = asyncio.Event()
        self._closed = False
        asyncio.get_running_loop().add_reader(controller, self._come)

    def type(self, keys: str) -> None:
        os.write(self._controller, keys.encode())

    async def until(self, words: str) -> str:
        """Wait until something new has these words in it, and give all up to there."""
        async with asyncio.timeout(30):
            while (at := self.screen.find(words, self._read)) < 0:
                assert not self._closed, f"{words!r} did not come: {self.screen[self._read :]!r}"
                self._more.clear()
                await self._more.wait()
        seen, self._read = self.screen[self._read : at], at + len(words)
        return seen

    async def ended(self) -> int | None:
        """Wait until the program has ended, and give its exit code."""
        async with asyncio.timeout(30):
            while not self._closed:
                self._more.clear()
                await self._more.wait()
            return await self.process.wait()

    @property
    def words(self) -> str:
        """What was on the screen, without colours and moves."""
        return OF_READLINE.sub("", OF_RICH.sub("", self.screen)).replace("\r", "")

    @property
    def left(self) -> str:
        """What stays on the screen after a live part: that hides the cursor until it is wiped."""
        return OF_RICH.sub("", self.screen[self.screen.rfind("\x1b[?25h") + 1 :]).replace("\r", "")

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().remove_reader(self._controller)
            os.close(self._controller)

    def _come(self) -> None:
        try:
            data = os.read(self._controller, 65536)
        except OSError:  # Linux's way to say that nobody is there any more
            data = b""
        if data:
            self.screen += data.decode(errors="replace")
        else:
            self.close()
        self._more.set()


@asynccontextmanager
async def terminal(
    *arguments: str, main: str = MAIN, columns: int = 80, **variables: str
) -> AsyncGenerator[Terminal]:
    """Run `python -m rxchat` with a terminal of its own, of which Ctrl-C is a signal."""
    controller, device = pty.openpty()
    fcntl.ioctl(device, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", main, *arguments),
        stdin=device,
        stdout=device,
        stderr=device,
        cwd=ROOT,
        env=environment | variables,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(device)
    seen = Terminal(controller, process)
    try:
        yield seen
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        seen.close()


async def piped(
    *arguments: str, main: str = MAIN, stdin: str = "", **variables: str
) -> tuple[int | None, str, str]:
    """Run it between pipes: the exit code, the output, and what was complained of."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", main, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"} | variables,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), timeout=30)
    return process.returncode, out.decode(), err.decode()
