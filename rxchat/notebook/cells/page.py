"""An answer as HTML: piece by piece while it comes, and whole for a notebook that is saved.

Many that show notebooks strip styles, so it reads well without them: thoughts and calls are
`<details>`, columns are a table. Colours are those of the reader's theme.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rxchat.cli.untrusted import one_line
from rxchat.notebook.cells.progress import Call, Part, Progress, Said
from rxchat.notebook.cells.safe_html import GrowingMarkdown, markdown, plain, quoted
from rxchat.notebook.numbers import footer
from rxchat.operators.asking.meters import Run

__all__ = ["GrowingPage", "columns", "foot", "headline", "in_words", "whole"]

MOST = 200_000  # characters of a text that are shown: servers of notebooks drop what is too much
GLIMPSE = 2000  # characters that are sent of what is sent anew while it grows
BRIEF = 80  # characters of a call, or of what it gave, that are in sight
LONGEST = 2000  # characters of an error
FAULT = "var(--jp-error-color1,#d3471c)"
RULE = "border-left:3px solid {};padding-left:.8em;margin:.6em 0"
WORDS = "white-space:pre-wrap;overflow-wrap:anywhere"
FAINT = "opacity:.7;font-size:.85em"


# Parts --------------------------------------------------------------------------------------------


def _part(part: Part, running: bool) -> str:
    """One part; while it grows, it is cut to what somebody may want to look at."""
    if isinstance(part, Call):
        return _card(part, running)
    match part.sort:
        case "text":
            return _prose(_glimpse(part.text, running))
        case "reasoning":
            return _thoughts(part.text, running)
        case "refusal":
            said = f"<strong>Refused</strong>{_prose(_glimpse(part.text, running))}"
            return f'<div style="{RULE.format(FAULT)}">{said}</div>'
        case "value":
            return _words(_glimpse(part.text, running))


def _thoughts(text: str, running: bool) -> str:
    said = f"{'Thinking' if running else 'Thoughts'} · {len(text):,} characters"
    return f"<details><summary>{said}</summary>{_words(_glimpse(text, running))}</details>"


def _card(call: Call, running: bool) -> str:
    """Name, arguments and result in a line; whole when it is opened."""
    arguments, result = call.arguments, call.result
    if result is None:
        outcome, told = ("…" if running else ""), ""
    else:
        failed = result.failed
        gave = f"{'✗' if failed else '→'} {_brief(result.text)}"
        outcome = f'<span style="color:{FAULT}">{quoted(gave)}</span>' if failed else quoted(gave)
        told = f"<p>{'It failed' if failed else 'It gave'}</p>{_words(result.text)}"
    brief = f"<code>{quoted(_brief(f'{call.name}({arguments})'))}</code> {outcome}"
    opened = f"<p>Called with</p>{_words(_glimpse(arguments, running))}{told}"
    style = RULE.format("currentColor")
    return f'<details style="{style}"><summary>{brief}</summary>{opened}</details>'


def _glimpse(text: str, running: bool) -> str:
    return f"… {text[-GLIMPSE:]}" if running and len(text) > GLIMPSE else text


def _brief(text: str) -> str:
    line = one_line(text[: 4 * BRIEF])
    return line if len(line) <= BRIEF else f"{line[: BRIEF - 1]}…"


def _prose(text: str) -> str:
    return markdown(text[:MOST]) + _small(_too_much(text))


def _words(text: str) -> str:
    return f'<pre style="{WORDS}">{quoted(text[:MOST])}</pre>{_small(_too_much(text))}'


def _too_much(text: str) -> str:
    """How much of it is not shown."""
    more = len(text) - MOST
    return f"… and {more:,} more characters" if more > 0 else ""


# Around them --------------------------------------------------------------------------------------


def headline(title: str) -> str:
    return f"<p><strong>{quoted(one_line(title))}</strong></p>" if title else ""


def foot(progress: Progress, run: Run | None) -> str:
    """What happened, what went wrong, and the numbers."""
    notes = "".join(_small(note) for note in progress.notes)
    return notes + _failure(progress.error) + _small(" · ".join(_numbers(progress, run)))


def _numbers(progress: Progress, run: Run | None) -> Iterator[str]:
    finish = progress.finishes.get(0)
    if progress.model:
        yield progress.model
    if run is not None and run.first is not None:
        yield footer(run)
    if progress.status in ("running", "stopped"):
        yield progress.status
    elif finish is not None and finish.reason != "stop":
        yield f"ended by {finish.reason.replace('_', ' ')}"


def _small(words: str) -> str:
    return f'<p style="{FAINT}">{quoted(one_line(words[:LONGEST]))}</p>' if words else ""


def _failure(error: Exception | None) -> str:
    if error is None:
        return ""
    name, words = quoted(type(error).__name__), quoted(str(error)[:LONGEST])
    return f'<p role="alert" style="{RULE.format(FAULT)}"><strong>{name}</strong> {words}</p>'


# The whole ----------------------------------------------------------------------------------------


def whole(progress: Progress, run: Run | None, title: str = "") -> str:
    """The page of an answer, as it stays."""
    return f"<div>{headline(title)}{_parts(progress)}{foot(progress, run)}</div>"


def _parts(progress: Progress) -> str:
    running = progress.status == "running"
    choices = progress.choices()
    first = "".join(_part(part, running) for part in choices[0])
    return first + _others(choices, running)


def _others(choices: Mapping[int, Sequence[Part]], running: bool) -> str:
    return "".join(
        f"<h4>Answer {choice + 1}</h4>" + "".join(_part(part, running) for part in parts)
        for choice, parts in sorted(choices.items())
        if choice
    )


def columns(pages: Mapping[str, str]) -> str:
    """Pages side by side."""
    width = f"width:{100 // len(pages)}%;overflow-wrap:anywhere"
    cell = f'style="text-align:left;vertical-align:top;{width}"'
    heads = "".join(f"<th {cell}>{quoted(one_line(label))}</th>" for label in pages)
    cells = "".join(f"<td {cell}>{page}</td>" for page in pages.values())
    table = 'style="width:100%;table-layout:fixed"'
    row = '<tr style="background:transparent">'  # in JupyterLab, pointing at rows colours them
    return (
        f"<table {table}><thead>{row}{heads}</tr></thead><tbody>{row}{cells}</tr></tbody></table>"
    )


def in_words(progress: Progress) -> str:
    """The answer where there is no HTML."""
    error = progress.error
    text = progress.text
    failure = f"{type(error).__name__}: {error}" if error else ""
    said = [text[:MOST], _too_much(text), failure]
    return plain("\n\n".join(filter(None, said)))


# While it grows -----------------------------------------------------------------------------------


class GrowingPage:
    """The page of an answer that grows: `settled` only gets longer, `tail` is what may change.

    After a restart `settled` begins anew.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._begin()

    def _begin(self) -> None:
        self.settled: list[str] = []
        self.tail = ""
        self._restarts = self._progress.restarts
        self._done = 0  # parts
        self._seen = 0  # characters of the part that grows
        self._markdown = GrowingMarkdown()

    def read(self) -> None:
        """Look again."""
        progress = self._progress
        if self._restarts != progress.restarts:
            self._begin()
        choices = progress.choices()
        parts, rest = choices[0], ""
        while self._done < len(parts):
            part, is_last = parts[self._done], self._done == len(parts) - 1
            if isinstance(part, Said) and part.sort == "text":
                rest = self._more(part)
                if is_last:
                    self.tail = rest + _others(choices, True)
                    return
                self.settled.append(rest)
            elif self._may_change(part, is_last):
                break
            else:
                self.settled.append(_part(part, False))
            self._next()
        growing = "".join(_part(part, True) for part in parts[self._done :])
        self.tail = growing + _others(choices, True)

    def _more(self, part: Said) -> str:
        """Settle what can be of a text; the rest."""
        text = part.text
        if fresh := text[self._seen : MOST]:
            self._markdown.add(fresh)
        self._seen = len(text)
        settled, rest = self._markdown.read()
        if settled:
            self.settled.append(settled)
        return rest + _small(_too_much(text))

    def _next(self) -> None:
        self._done += 1
        self._seen = 0
        self._markdown = GrowingMarkdown()

    def _may_change(self, part: Part, is_last: bool) -> bool:
        if isinstance(part, Said):
            return is_last
        return part.result is None and part.choice not in self._progress.finishes
