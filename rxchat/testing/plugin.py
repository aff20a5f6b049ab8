"""A pytest plugin: the fixture `no_leaks`, for tests that run on pytest-asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest_asyncio

from rxchat.testing import leaks


@pytest_asyncio.fixture
async def no_leaks() -> AsyncGenerator[None]:
    """Fail the test if it leaves a task, a pump or a connection behind."""
    async with leaks.no_leaks():
        yield
