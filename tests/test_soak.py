"""The soak of `benchmarks/`, in small: as a process of its own, whose memory is nobody else's."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SMALL = ("--streams", "60", "--waves", "3", "--pace", "0.02")


@pytest.mark.skipif(sys.platform != "linux", reason="it reads what Linux says of memory and files")
async def test_after_waves_of_streams_whose_services_fail_nothing_is_left() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.soak", *SMALL),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
