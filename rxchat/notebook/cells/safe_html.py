"""Markdown from models to HTML that does nothing: it runs no script and asks nobody for anything.

Strategy. Markup comes only from the parser's tokens and from what is written here; all else is
escaped. Links lead to http, https and mailto only, and say where. A picture is not loaded, since
its address can carry a secret to whoever wrote the answer; it is text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any, cast

from rxchat.cli.untrusted import clean
from rxchat.errors import UsageError

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict

__all__ = ["GrowingMarkdown", "markdown", "plain", "quoted"]

LONGEST = 20_000  # characters of a paragraph with markup in it
BRACKETS = 500  # in such a paragraph: they take time by the square
BLOCK = 10_000  # characters of what is rendered again and again while it grows
_LONE = re.compile("[\ud800-\udfff]")  # half a character, which nobody can send
_LEADS_AWAY = re.compile(r"https?://[^/\\]|mailto:", re.IGNORECASE)


def plain(text: str) -> str:
    r"""The text as it can be shown and sent anywhere: no control character, no half of one.

    >>> plain("a\x1b[2Jb\ud800c\n")
    'a[2Jb\ufffdc\n'
    """
    return _LONE.sub("\ufffd", clean(text))


def quoted(text: str) -> str:
    """The text as HTML, as it is; what is cleaned here is safe in attributes, too."""
    return escape(plain(text), quote=True)


def markdown(text: str) -> str:
    """The HTML of a whole text.

    >>> markdown("*Hi* <b>[you](javascript:x)")
    '<p><em>Hi</em> &lt;b&gt;[you](javascript:x)</p>\\n'
    """
    return _render(_parse(plain(text)))


class GrowingMarkdown:
    """Markdown that grows: what nothing can change any more is rendered once.

    A block at the top is settled when another one has begun after it, on a line that is whole. A
    block that is too long is settled in pieces, so that looking again costs no more the longer it
    gets. A reference is found if it stands in the same piece; `markdown` of the whole text finds
    them all.
    """

    def __init__(self) -> None:
        _parser()  # if it is missing, you are told before anything is sent
        self._text = ""
        self._rest = ""
        self._fresh: list[str] = []

    def add(self, text: str) -> None:
        """Take what is new."""
        self._fresh.append(text)

    def read(self) -> tuple[str, str]:
        """The HTML of what has settled since you asked last, and of what may yet change."""
        if not self._fresh:
            return "", self._rest
        self._text += plain("".join(self._fresh))
        self._fresh.clear()
        tokens = _parse(self._text)
        place, line = _last_block(tokens, self._text.count("\n"))
        settled, block = _render(tokens[:place]), tokens[place:]
        self._text = self._text.split("\n", line)[-1]
        if len(self._text) > BLOCK:
            settled += self._cut(block, line)
            block = _parse(self._text)
        self._rest = _render(block)
        return settled, self._rest

    def _cut(self, block: Sequence[Token], begin: int) -> str:
        """Settle most of a block; the rest goes on as one of its own, opened as this one was."""
        lines = self._text.split("\n")
        items = [it.map[0] - begin for it in block if it.map and (it.type, it.level) == _ITEM]
        ends = (*items[-1:], len(lines) - 1, len(lines))
        rests = ((end, "\n".join(lines[end:])) for end in ends if end)
        end, rest = next((end, rest) for end, rest in rests if len(rest) <= BLOCK // 2)
        opened_by = _OPENED_BY.get(block[0].type, 0) if block else 0
        opening = "".join(f"{line}\n" for line in lines[:opened_by])
        self._text = (opening if len(opening) <= BLOCK // 4 else "") + rest
        return markdown("\n".join(lines[:end]))


_ITEM = ("list_item_open", 1)
_OPENED_BY = {"fence": 1, "table_open": 2}  # lines


def _last_block(tokens: Sequence[Token], whole_lines: int) -> tuple[int, int]:
    """Where the last block begins that will stay one: its place, and its line."""
    begins = [
        (place, token.map[0])
        for place, token in enumerate(tokens)
        if token.level == 0
        and token.map
        and token.nesting >= 0
        and token.map[0] + (token.type == "table_open") < whole_lines  # by its second line
    ]
    return begins[-1] if begins else (0, 0)


def _parse(text: str) -> Sequence[Token]:
    return _parser().parse(text)


def _render(tokens: Sequence[Token]) -> str:
    parser = _parser()
    return cast("str", parser.renderer.render(tokens, parser.options, {}))


@cache
def _parser() -> MarkdownIt:
    try:
        from markdown_it import MarkdownIt
    except ImportError:
        raise UsageError("live cells take `pip install 'rxchat[notebook]'`") from None
    parser = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False})
    parser.enable(["strikethrough", "table"])
    parser.core.ruler.at("inline", _read_paragraphs)
    parser.validateLink = _leads_away  # type: ignore[method-assign]  # as its documentation says
    for name, rule in _RULES.items():
        parser.add_render_rule(name, rule)
    return parser


def _read_paragraphs(state: StateCore) -> None:
    """What markup there is inside of them, but for those that would take too long."""
    from markdown_it.token import Token

    for token in state.tokens:
        if token.type == "inline":
            token.children = []
            if len(token.content) > LONGEST or token.content.count("[") > BRACKETS:
                token.children.append(Token("text", "", 0, content=token.content))
            else:
                state.md.inline.parse(token.content, state.md, state.env, token.children)


def _leads_away(url: str) -> bool:
    """Whether it is an address to follow; otherwise what looks like a link stays text."""
    return _LEADS_AWAY.match(url) is not None


_Tokens = Sequence["Token"]


def _link(_: RendererHTML, tokens: _Tokens, place: int, *__: Any) -> str:
    address = quoted(str(tokens[place].attrs["href"]))
    return f'<a href="{address}" title="{address}" target="_blank" rel="{_REL}">'


_REL = "noopener noreferrer nofollow"


def _picture(
    renderer: RendererHTML,
    tokens: _Tokens,
    place: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    token = tokens[place]
    words = renderer.renderInlineAsText(token.children, options, env)
    address = quoted(str(token.attrs["src"]))
    return f"<em>[picture: {quoted(words)}]</em> <code>{address}</code>"


def _code(_: RendererHTML, tokens: _Tokens, place: int, *__: Any) -> str:
    code = quoted(tokens[place].content)
    return f'<pre style="{_BOX}"><code style="background:none">{code}</code></pre>\n'


_BOX = (
    "margin:.7em 0;padding:.6em .9em;border-radius:6px;background:rgba(127,127,127,.12);"
    "overflow-x:auto"
)
_RULES: Mapping[str, Callable[..., str]] = {
    "link_open": _link,
    "image": _picture,
    "fence": _code,
    "code_block": _code,
}
