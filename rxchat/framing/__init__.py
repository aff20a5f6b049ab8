"""Bytes in, frames out, no I/O: how chat services cut their answers into messages.

A decoder is made anew for each answer, is fed its bytes as they come, and gives what they
complete. Where the bytes are cut never changes what comes out, and nothing that is complete
waits for more bytes. Time is linear in the bytes however small the pieces are, and memory is
bounded by `limit`.
"""

from __future__ import annotations

from rxchat.framing.aws_event_stream import AWSEventStream, AWSFrame
from rxchat.framing.decoder import Decoder, FramingError
from rxchat.framing.json_array import JSONArray
from rxchat.framing.json_text import read_json
from rxchat.framing.ndjson import NDJSON
from rxchat.framing.sse import SSE, Frame
from rxchat.framing.utf8_text import Utf8Text

__all__ = [
    "NDJSON",
    "SSE",
    "AWSEventStream",
    "AWSFrame",
    "Decoder",
    "Frame",
    "FramingError",
    "JSONArray",
    "Utf8Text",
    "read_json",
]
