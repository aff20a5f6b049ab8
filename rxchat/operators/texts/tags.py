"""Thoughts that a model says as tagged text become `Reasoning`, wherever the text is cut.

Strategy. What is looked for depends on where the text is: outside a thought the tags that open one,
inside the tag that closes it. Only an end of the text that may still become such a tag is held
back: less than one tag of memory. No tag contains another, so the first that is complete counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import permutations
from typing import Any, Final, TypeAlias

from attrs import frozen
from reactivex import Observable, abc

from rxchat.errors import UsageError
from rxchat.events import Event, Finish, Reasoning, Refusal, Reset, Text, ToolCall
from rxchat.stream import Hop, lifted

__all__ = ["MARKS", "REASONING", "reasoning_tags", "split_tags"]

REASONING: Final[Mapping[str, str]] = {
    "<think>": "</think>",  # DeepSeek R1, Qwen, GLM, MiniMax, Nemotron, and most others
    "<thinking>": "</thinking>",  # Claude and Nova, if a prompt asks for it
    "<thought>": "</thought>",  # EXAONE, Gemini behind an OpenAI address
    "<reason>": "</reason>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",  # Seed-OSS
    "[THINK]": "[/THINK]",  # Magistral
    "◁think▷": "◁/think▷",  # Kimi
    "<|begin_of_thought|>": "<|end_of_thought|>",  # OpenThinker, Sky-T1
    "<|START_THINKING|>": "<|END_THINKING|>",  # Command A, R7B
    "<|channel|>analysis<|message|>": "<|end|>",  # gpt-oss: harmony, as it is without a parser
    "<|channel>thought": "<channel|>",  # Gemma 4
}
"""What `reasoning_tags` knows: how a thought begins, and how it ends."""

MARKS: Final = (
    *("<|begin_of_solution|>", "<|end_of_solution|>"),
    *("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    *("<|start|>assistant", "<|channel|>final<|message|>", "<|end|>", "<|return|>"),
)
"""What those models put around the answer itself: `reasoning_tags` leaves it out."""

Tag: TypeAlias = str | tuple[str, str]
Pieces: TypeAlias = list[tuple[type[Text] | type[Reasoning], str]]


def split_tags(
    *tags: Tag, begins_inside: bool = False
) -> Callable[[Observable[Event]], Observable[Event]]:
    """Make `Reasoning` of what stands between tags: `split_tags("think")` is for `<think>`.

    A tag is a name, or the pair of texts that open and close it: `("[THINK]", "[/THINK]")`. Names
    are taken in any case, `<Think>` too, but without attributes or blanks; pairs are taken to the
    letter. A thought ends with its own closing tag; any other tag inside is part of it. If it is
    not closed, all the rest is thought. A closing tag that closes nothing is text, unless you say
    `begins_inside`: then the answer begins in the middle of a thought, as with templates that say
    the opening tag themselves (DeepSeek R1); if the model repeats that tag, it is left out.

    An opening tag in Markdown code is text: in a fenced block, or between backticks on its line.
    A closing tag counts everywhere, because thoughts are untidy and the answer must not get lost.

    White space is dropped after an opening tag, and after the closing tag of a thought that the
    answer begins with. It stays before tags, and around a thought in the middle of the answer.

    Each of several answers is split for itself, and begins anew after its `Finish` and after a
    `Reset` that restarts. Less than a tag is held back, until it can be no tag any more; it comes
    out before a tool call or a refusal, and before the end.

    >>> from rxchat.testing import Scripted
    >>> from rxchat.operators import to_list
    >>> say = Scripted("<thi", "nk>Easy.</think>", "\\n\\nFour")
    >>> say("2 + 2?").pipe(split_tags("think"), to_list()).run()[:2]
    [Reasoning(text='Easy.', choice=0, opaque=None), Text(text='Four', choice=0, opaque=None)]
    """
    if not tags:
        raise UsageError('split_tags() takes the names of tags, as split_tags("think")')
    return _splitting(_Known.of(dict(map(_pair, tags))), begins_inside)


def reasoning_tags(
    *, begins_inside: bool = False
) -> Callable[[Observable[Event]], Observable[Event]]:
    """`split_tags` with the tags of well-known models; `rxchat.operators.texts.tags` has the table.

    Some of these models also mark where the answer itself begins and ends: those marks are left
    out. Tool calls that are still raw text stay as they are. Less than one tag is held back.

    >>> from rxchat.testing import Scripted
    >>> from rxchat.operators import to_list
    >>> say = Scripted("[THINK]Easy.[/THINK]Four")
    >>> say("2 + 2?").pipe(reasoning_tags(), to_list()).run()[:2]
    [Reasoning(text='Easy.', choice=0, opaque=None), Text(text='Four', choice=0, opaque=None)]
    """
    return _splitting(_Known.of(REASONING, MARKS), begins_inside)


_LETTERS: Final = re.compile(r"[^\s`~]+")


def _pair(tag: Any) -> tuple[str, str]:
    if isinstance(tag, str) and re.fullmatch(r"[A-Za-z][\w.:-]*", tag):
        return f"<{tag}>", f"</{tag}>"
    match tag:
        case (str(opens), str(closes)) if _LETTERS.fullmatch(opens) and _LETTERS.fullmatch(closes):
            return opens, closes
        case _:
            pass
    raise UsageError(
        "a tag is a name, as 'think', or a pair, as ('[THINK]', '[/THINK]'), "
        f"without blanks, backticks and tildes; not {tag!r}"
    )


# What is looked for ------------------------------------------------------------------------------


@frozen
class _Known:
    """Patterns for each place that a text can be in; the group `part` is a beginning at its end."""

    closing: Mapping[str, re.Pattern[str]]  # of each opening tag
    outside: re.Pattern[str]
    inside: re.Pattern[str]  # of a thought whose opening tag was not heard
    beginning: re.Pattern[str]  # the same, as long as it has said nothing

    @classmethod
    def of(cls, pairs: Mapping[str, str], marks: Iterable[str] = ()) -> _Known:
        opens, closes, marks = [*pairs], [*pairs.values()], [*marks]
        if same := {*opens} & {*closes}:
            raise UsageError(f"a thought cannot begin and end with the same {same.pop()!r}")
        for one, other in permutations({it.lower() for it in (*opens, *closes, *marks)}, 2):
            if one in other:
                raise UsageError(f"no tag may contain another, but {other!r} contains {one!r}")
        return cls(
            closing={opening.lower(): _sought([pairs[opening]]) for opening in opens},
            outside=_sought([*opens, *marks]),
            inside=_sought(closes),
            beginning=_sought([*opens, *closes]),
        )


def _sought(literals: Iterable[str]) -> re.Pattern[str]:
    """Find one of the texts, or else a beginning of one at the very end."""
    wholes, parts = list[str](), list[str]()
    for literal in dict.fromkeys(literals):
        # Unicode has letters whose lower case is in ASCII; tags are not made of them.
        any_case = "(?ai:{})" if re.fullmatch(r"</?[A-Za-z][^|]*>", literal) else "(?:{})"
        first, *middle, _ = map(re.escape, literal) if len(literal) > 1 else (literal, "")
        wholes.append(any_case.format(re.escape(literal)))
        parts.append(any_case.format("(?:".join((first, *middle)) + ")?" * len(middle)))
    return re.compile(rf"(?:{'|'.join(wholes)})|(?P<part>(?:{'|'.join(parts)})\Z)")


class _Code:
    """Whether a text is in Markdown code: it remembers what is open, and no text."""

    __slots__ = ("_blank", "_fence", "_fresh", "_kind", "_run", "_span")

    def __init__(self) -> None:
        self._fence: tuple[str, int] | None = None  # what has opened the block
        self._fresh = False  # it was opened on this line
        self._span = 0  # backticks that have opened a span of this line
        self._kind: str = ""  # of the marks at the end of the text, which may go on
        self._run = 0  # how many they are
        self._blank = True  # nothing else is on this line

    def see(self, text: str) -> None:
        if "`" not in text and "~" not in text and "\n" not in text and not self._run:
            self._blank = self._blank and not text.strip()
            return
        for found in _MARKDOWN.finditer(text):
            token: str = found[0]
            kind, run = token[0], len(token)
            if kind in "`~" and kind == self._kind:
                self._run += run
                continue
            self._settle()
            if kind == "\n":
                self.new_line()
            elif kind in "`~":
                self._kind, self._run = kind, run
            elif not token.isspace():
                self._blank = False

    def new_line(self) -> None:
        self._settle()
        self._span, self._blank, self._fresh = 0, True, False

    def inside(self) -> bool:
        self._settle()
        return self._fence is not None or self._span > 0

    def _settle(self) -> None:
        """Take the marks for what they are, now that there are no more of them."""
        kind, run = self._kind, self._run
        if not run:
            return
        first, self._blank = self._blank, False
        self._kind, self._run = "", 0
        if first and run >= 3:
            if self._fence is None:
                self._fence, self._fresh = (kind, run), True
            elif self._fence[0] == kind and run >= self._fence[1]:
                self._fence = None
            return
        if kind == "`" and self._fence and self._fresh and self._fence[0] == kind:
            self._span = self._fence[1]  # a span of its line after all
            self._fence = None
        if kind == "`" and self._fence is None:
            self._span = run if not self._span else 0 if self._span == run else self._span


_MARKDOWN: Final = re.compile(r"`+|~+|\n|[^`~\n]+")


# The operator ------------------------------------------------------------------------------------


class _Splitter:
    """The text of one answer, in pieces, to pieces of text and of thought."""

    __slots__ = ("_begins", "_code", "_held", "_kind", "_known", "_said", "_sought", "_trims")

    def __init__(self, known: _Known, begins_inside: bool) -> None:
        self._known = known
        self._kind: type[Text] | type[Reasoning] = Reasoning if begins_inside else Text
        self._sought = known.beginning if begins_inside else known.outside
        self._begins = begins_inside  # inside a thought, nothing of which was said yet
        self._trims = begins_inside  # white space
        self._said = False  # something of the answer
        self._held = ""
        self._code = _Code()

    def feed(self, text: str) -> Pieces:
        text, self._held = self._held + text, ""
        pieces: Pieces = []
        at = 0
        while at < len(text):
            sought = self._sought
            found = sought.search(text, at)
            upto = found.start() if found else len(text)
            self._say(text[at:upto], pieces)
            at = upto
            if found is None or self._sought is not sought:  # what was said has changed that
                continue
            at = found.end()
            if self._kind is Text and self._code.inside():
                self._say(found[0], pieces)
            elif found["part"] is not None:
                self._held = found[0]
            else:
                self._turn(found[0].lower())
        return pieces

    def close(self) -> Pieces:
        """Give what was held back: the text may go on, but not as that tag."""
        held, self._held = self._held, ""
        pieces: Pieces = []
        self._say(held, pieces)
        return pieces

    def _turn(self, tag: str) -> None:
        known = self._known
        closing = known.closing.get(tag)
        if self._kind is Reasoning and closing is None:
            self._kind, self._sought = Text, known.outside
            self._trims = not self._said
            self._code.new_line()
        elif closing is not None:
            self._kind, self._sought = Reasoning, closing
            self._trims = True
        self._begins = False

    def _say(self, text: str, pieces: Pieces) -> None:
        if self._trims:
            text = text.lstrip()
        if not text:
            return
        self._trims = False
        if self._begins:
            self._begins, self._sought = False, self._known.inside
        if self._kind is Text:
            self._said = self._said or not text.isspace()
            self._code.see(text)
        pieces.append((self._kind, text))


class _Splitting(Hop[Event]):
    """A splitter for each answer."""

    __slots__ = ("_begins_inside", "_emit", "_known", "_splitters")

    def __init__(
        self, observer: abc.ObserverBase[Event], known: _Known, begins_inside: bool
    ) -> None:
        super().__init__(observer)
        self._emit = observer.on_next
        self._known = known
        self._begins_inside = begins_inside
        self._splitters: dict[int, _Splitter] = {}

    def on_next(self, item: Event) -> None:
        kind = type(item)
        if isinstance(item, Text):
            self._split(item)
        elif isinstance(item, Finish | ToolCall | Refusal):
            self._flush(item.choice)
            if kind is Finish:
                self._splitters.pop(item.choice, None)
            self._emit(item)
        elif isinstance(item, str):
            self.observer.on_error(UsageError(_NO_EVENTS))
        else:
            if isinstance(item, Reset) and item.kind == "restart":
                self._splitters.clear()
            self._emit(item)

    def on_error(self, error: Exception) -> None:
        self._flush(*self._splitters)
        self.observer.on_error(error)

    def on_completed(self) -> None:
        self._flush(*self._splitters)
        self.observer.on_completed()

    def _split(self, item: Text) -> None:
        choice = item.choice
        splitter = self._splitters.get(choice)
        if splitter is None:
            splitter = self._splitters[choice] = _Splitter(self._known, self._begins_inside)
        pieces = splitter.feed(item.text)
        if item.opaque is None:
            for kind, text in pieces:
                self._emit(kind(text, choice))
            return
        *pieces, (last, rest) = (pieces + splitter.close()) or [(Text, "")]
        for kind, text in pieces:
            self._emit(kind(text, choice))
        self._emit(last(rest, choice, item.opaque))

    def _flush(self, *choices: int) -> None:
        for choice in choices:
            if splitter := self._splitters.get(choice):
                for kind, text in splitter.close():
                    self._emit(kind(text, choice))


_NO_EVENTS = (
    "thoughts become events, and this is a stream of str: "
    "put split_tags(...) or reasoning_tags() before ops.text()"
)


def _splitting(
    known: _Known, begins_inside: bool
) -> Callable[[Observable[Event]], Observable[Event]]:
    return lifted(lambda observer: _Splitting(observer, known, begins_inside))
