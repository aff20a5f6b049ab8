"""What has been heard is not asked again: one attempt at an answer, and when it commits.

Until it commits, everything is held back, so that an attempt that fails leaves no trace. From
then on everything is passed through, and noted: a failure tells what had been heard.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, cast

from reactivex import Observable, abc

from rxchat.errors import CallbackFailed, ChatError, UsageError
from rxchat.events import Reasoning, Reset, Text, ToolCall, is_content
from rxchat.stream import Guard, Recorder, Scope, a_stream

__all__ = ["Attempt", "Commit", "Heard", "Rule", "anything", "commit_rule", "some_streams"]

Commit: TypeAlias = Literal["content", "answer", "sentence"] | int | Callable[[Any], bool]
"""When an attempt is the one that is heard.

`"content"`: at its first content, reasoning included. `"answer"`: at its first text, tool call or
refusal, so that reasoning is held back. A number: when it has said so many characters of text.
`"sentence"`: when it has ended a sentence. Or a function that is asked for each item until it
says yes. A tool call or a refusal commits whatever the number, and so does a good end.
"""

Rule: TypeAlias = Callable[[], Callable[[Any], bool]]  # makes the judge of one attempt

HELD = 4096  # items that wait for the commit; one more commits
SETTLED = 512  # items that are noted as they are, before their text is joined


def commit_rule(commit: Commit) -> Rule:
    """The rule that a user's word stands for."""
    if isinstance(commit, str) and commit in _RULES:
        return _RULES[commit]
    if isinstance(commit, int) and not isinstance(commit, bool) and commit > 0:
        return lambda: _characters(commit)
    if callable(commit):
        return lambda: commit
    raise UsageError(
        f"commit= is {', '.join(map(repr, _RULES))}, a number of characters or a function, "
        f"not {commit!r}"
    )


def _is_answer(item: Any) -> bool:
    return type(item) is not Reasoning and is_content(item)


def _characters(number: int) -> Callable[[Any], bool]:
    left = number

    def said(item: Any) -> bool:
        nonlocal left
        piece = _text_of(item)
        left -= len(piece or "")
        return left <= 0 if piece is not None else _is_answer(item)

    return said


# Before a blank, so that 3.14 and example.com go on; full stops of other scripts need none.
_SENTENCE = re.compile(r"[.!?…][\"'”’»)\]]{0,6}\s|[。！？।؟]|\n")


def _sentence() -> Callable[[Any], bool]:
    tail = ""  # as much as the end of a sentence that is cut may have

    def said(item: Any) -> bool:
        nonlocal tail
        piece = _text_of(item)
        if piece is None:
            return _is_answer(item)
        tail += piece
        found = _SENTENCE.search(tail)
        tail = tail[-8:]
        return found is not None

    return said


_RULES: dict[str, Rule] = {
    "content": lambda: is_content,
    "answer": lambda: _is_answer,
    "sentence": _sentence,
}


def _text_of(item: Any) -> str | None:
    """The text of an item, if it is a piece of the (first) answer."""
    if type(item) is Text:
        return item.text if item.choice == 0 else ""
    return item if isinstance(item, str) else None


class Heard:
    """What the subscriber has got so far, since the last restart."""

    __slots__ = ("_parts", "calls", "choices", "fresh", "strings")

    def __init__(self) -> None:
        self.fresh: list[Any] = []  # what was heard since the last settling
        self.forget()

    def forget(self) -> None:
        self._parts: list[str] = []
        self.calls = False  # whether a tool call had begun
        self.choices = False  # whether there was more than one answer
        self.strings = False  # whether the items are texts and no events

    @property
    def text(self) -> str:
        self.settle()
        return "".join(self._parts)

    def told(self, error: Exception, spoken: bool) -> Exception:
        """The error, which knows whether something had been heard, and what."""
        if isinstance(error, ChatError):
            error.content_emitted = spoken
            if spoken:
                error.about(partial=self.text or None)
        return error

    def settle(self) -> None:
        """Join what was noted, so that a long answer takes no more room than its text."""
        pieces: list[str] = []
        for item in self.fresh:
            kind = cast("type[object]", type(item))
            if kind is Text and item.choice == 0:
                pieces.append(item.text)
            elif kind is str:
                pieces.append(item)
                self.strings = True
            elif kind is Reset and item.kind == "restart":
                self.forget()
                pieces.clear()
            elif kind is ToolCall:
                self.calls = True
            elif getattr(item, "choice", 0):
                self.choices = True
        self.fresh.clear()
        self._parts.append("".join(pieces))


class Attempt(Guard[Any]):
    """One subscription to one source; `failed` hears of any failure, `ended` of a silent end."""

    __slots__ = (
        "_complete",
        "_fresh",
        "_judge",
        "_on_commit",
        "_recorder",
        "_rule",
        "committed",
        "heard",
        "held",
        "seam",
    )

    def __init__(
        self,
        observer: abc.ObserverBase[Any],
        rule: Rule,
        heard: Heard,
        *,
        failed: Callable[[Exception], None],
        ended: Callable[[], None] | None = None,
        committed: Callable[[], None] | None = None,
        seam: Reset | None = None,
    ) -> None:
        finish = ended or self.complete

        def on_completed() -> None:
            if not self.committed and any(map(is_content, self.held)):
                self._commit()  # it ended well before the rule was met
            if self.committed:
                observer.on_completed()
            else:
                finish()

        super().__init__(observer.on_next, failed, on_completed)
        self.committed = False
        self.heard = heard
        self.held: list[Any] = []
        self.seam = seam
        self._fresh = heard.fresh
        self._rule = rule
        self._judge = rule()
        self._on_commit = committed
        self._recorder: Recorder | None = None
        self._complete = observer.on_completed

    def start(self, source: Observable[Any], scope: Scope) -> None:
        if scope.recorder is not None:
            source, self._recorder = scope.recorder.part(source, scope)
        self.over(source, scope)

    def lose(self) -> None:
        """Hang up, because another one is heard."""
        if self._recorder is not None and not self.is_stopped:
            self._recorder.lost()
        self.dispose()

    def on_next(self, item: Any) -> None:
        if self.committed:
            if not self.is_stopped:
                self._fresh.append(item)
                if len(self._fresh) > SETTLED:
                    self.heard.settle()
                self._on_next(item)
        elif not self.is_stopped:
            self._hold(item)

    def _hold(self, item: Any) -> None:
        if type(item) is Reset and item.kind == "restart":  # of what nobody has heard
            self.held.clear()
            self._judge = self._rule()
            return
        self.held.append(item)
        try:
            enough = self._judge(item)
        except Exception as bug:
            self.on_error(CallbackFailed.by(bug))
            return
        if enough or len(self.held) > HELD:
            self._commit()

    def _commit(self) -> None:
        self.committed = True
        if self._recorder is not None:
            self._recorder.committed()
        if self._on_commit is not None:
            self._on_commit()
        self._release()

    def complete(self) -> None:
        """End the whole stream with this attempt, although it had no content."""
        self._release()
        self._complete()

    def _release(self) -> None:
        held, self.held = self.held, []
        for item in held if self.seam is None else (self.seam, *held):
            self._fresh.append(item)
            self._on_next(item)


def some_streams(joining: str, streams: Sequence[object]) -> None:
    """Refuse to join nothing, or what is no stream, before anything is sent."""
    if not streams:
        raise UsageError(f"{joining}() needs at least one stream")
    for stream in streams:
        if isinstance(stream, list | tuple):
            raise UsageError(f"{joining}() takes streams, not a list: write {joining}(*streams)")
        a_stream(joining, stream)


def anything(error: Exception) -> bool:
    """The default of `when`: every failure of a service counts."""
    return True
