"""Text Generation Inference of Hugging Face."""

from __future__ import annotations

from hypothesis import strategies as st

from formats.wire import TOKENS, Wire, texts
from rxchat.events import Finish, Text, Usage
from rxchat.providers import tgi

WIRE = Wire(
    provider=tgi,
    prefix="",
    protocols=("tgi_generate_stream",),
    content=texts(Text),
    finishes=(
        Finish("stop", "eos_token"),
        Finish("stop", "stop_sequence"),
        Finish("length", "length"),
        Finish("other", "something_new"),
    ),
    start=st.none(),  # it says nothing of itself
    usage=st.builds(Usage, st.none() | TOKENS, TOKENS),
    tools=False,
)
