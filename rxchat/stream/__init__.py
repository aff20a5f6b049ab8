"""The reactive core: a `Stream` is a reactivex Observable that belongs to the event loop.

Strategy. reactivex hands the `scheduler` of a subscription upstream through every operator,
unchanged. So the scheduler is the context: a `Scope`, made at the root of each subscription,
carries the loop's clock, the demand gate, the live pumps and the facts of the call.

    consumer ── Root ── operators ── Pump ── socket
       │                               │
       └───────── Scope: gate, pumps ──┘

A `Pump` is one running source: a task that never emits while it is being subscribed to, closes
its socket synchronously when it is disposed of, and waits at the gate while the consumer is
slow. Operators take no part in that, so none of them can deadlock.
"""

from rxchat.stream.cursor import Cursor
from rxchat.stream.given import a_stream, labelled_streams
from rxchat.stream.hops import Guard, Hop, lift, lifted
from rxchat.stream.observable import Op, Stream, Subscription, source, wrap
from rxchat.stream.pump import Pump
from rxchat.stream.scope import Call, Gate, Recorder, Scope, Watch, recording

__all__ = [
    "Call",
    "Cursor",
    "Gate",
    "Guard",
    "Hop",
    "Op",
    "Pump",
    "Recorder",
    "Scope",
    "Stream",
    "Subscription",
    "Watch",
    "a_stream",
    "labelled_streams",
    "lift",
    "lifted",
    "recording",
    "source",
    "wrap",
]
