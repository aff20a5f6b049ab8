"""The voices of the local server: one file per wire format, found by the path that is asked."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

from rxchat.testing.replies import Reply
from rxchat.testing.voices.anthropic_messages import ANTHROPIC_MESSAGES
from rxchat.testing.voices.bedrock_converse import BEDROCK_CONVERSE
from rxchat.testing.voices.cohere_chat import COHERE_CHAT
from rxchat.testing.voices.gemini_content import GEMINI_CONTENT
from rxchat.testing.voices.old_services import OLD_SERVICES
from rxchat.testing.voices.ollama_chat import OLLAMA_CHAT
from rxchat.testing.voices.openai_chat import OPENAI_CHAT
from rxchat.testing.voices.responses_api import OPENAI_RESPONSES
from rxchat.testing.voices.tgi_generate import TGI_GENERATE
from rxchat.testing.voices.voice import Speaker, Storyteller, Voice

__all__ = ["ANYTHING", "VOICES", "Speaker", "Storyteller", "Voice", "find_voice"]

VOICES: Final[Mapping[str, Voice]] = {
    voice.path: voice
    for voice in (
        *OLD_SERVICES,
        OPENAI_CHAT,
        OPENAI_RESPONSES,
        OLLAMA_CHAT,
        COHERE_CHAT,
        TGI_GENERATE,
        ANTHROPIC_MESSAGES,
        BEDROCK_CONVERSE,
        GEMINI_CONTENT,
    )
}

ANYTHING: Final = Voice("anything", "*", methods=())
"""Any request is right: for tests of HTTP itself."""

_NOBODY = "nobody listens at {}: give LocalServer(voices=[Voice(name, path, ...)]) one that does"

NOBODY: Final = Voice(
    "nobody",
    "*",
    methods=(),
    objection=lambda exchange, _: Reply.status(404, _NOBODY.format(exchange.path)),
)


def find_voice(path: str, voices: Mapping[str, Voice]) -> Voice:
    """Give the voice with this very path, or else the first whose pattern fits.

    >>> find_voice("/chat", VOICES).name, find_voice("/attic", VOICES).name
    ('cromicle', 'nobody')
    """
    fitting = (voice for voice in voices.values() if fnmatchcase(path, voice.path))
    return voices.get(path) or next(fitting, NOBODY)
