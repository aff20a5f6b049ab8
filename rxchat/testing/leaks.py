"""Nothing may be left behind: no task, no pump, no connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from rxchat.transport import connections

__all__ = ["LeakError", "no_leaks"]

PATIENCE = 1.0  # seconds that what is being closed may take


class LeakError(AssertionError):
    """Something that was started inside is still running."""


@asynccontextmanager
async def no_leaks() -> AsyncGenerator[None]:
    """Fail if a task or a stream that was started inside is still there at the end.

    With pytest-asyncio, `pytest_plugins = ["rxchat.testing.plugin"]` makes it a fixture.
    """
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=PATIENCE)
    problems = sorted(f"task {task.get_name()!r}" for task in left)
    if streams := connections().streams:
        problems.append(f"{streams} open streams")
    if problems:
        raise LeakError(f"still there: {', '.join(problems)}")
