"""Real things to test against: a local server, scripts, pictures, a virtual clock."""

from typing import TYPE_CHECKING, Any

from rxchat.testing.cassette import Cassette, NotRecorded
from rxchat.testing.clock import DeadlockError, VirtualLoop, run_virtual
from rxchat.testing.exchange import Exchange
from rxchat.testing.fault_scripts import FAULTS, Fault, faults
from rxchat.testing.leaks import LeakError, no_leaks
from rxchat.testing.marbles import Cold, cold, draw
from rxchat.testing.probes import Probe, Run
from rxchat.testing.replies import HOLD, Failure, Reply
from rxchat.testing.scripted import Scripted, said
from rxchat.testing.server import LocalServer
from rxchat.testing.verification import NotAsExpected, Verifier, verify
from rxchat.testing.voices import ANYTHING, VOICES, Storyteller, Voice

if TYPE_CHECKING:
    from rxchat.testing.aioresponses_shim import mocked as mocked

__all__ = [
    "ANYTHING",
    "FAULTS",
    "HOLD",
    "VOICES",
    "Cassette",
    "Cold",
    "DeadlockError",
    "Exchange",
    "Failure",
    "Fault",
    "LeakError",
    "LocalServer",
    "NotAsExpected",
    "NotRecorded",
    "Probe",
    "Reply",
    "Run",
    "Scripted",
    "Storyteller",
    "Verifier",
    "VirtualLoop",
    "Voice",
    "cold",
    "draw",
    "faults",
    "no_leaks",
    "run_virtual",
    "said",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "mocked":  # needs aioresponses, which only tests have
        from rxchat.testing.aioresponses_shim import mocked

        return mocked
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
