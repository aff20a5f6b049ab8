"""HTML that does nothing: what a page of untrusted words may be made of."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from rxchat.stills import LITERAL

STYLED = ("div", "details", "pre", "p", "span", "td", "th", "tr", "table")
BARE = ("h1", "h2", "h3", "h4", "h5", "h6", "ul", "li", "em", "strong", "s", "blockquote")
ALLOWED = {
    "a": {"href", "title", "target", "rel"},
    "ol": {"start"},
    **{tag: {"style", "role"} for tag in STYLED},
    "div": {"style", "class"},
    "code": {"style"},
    **{tag: set() for tag in (*BARE, "hr", "br", "summary", "thead", "tbody")},
}
OURS = re.compile(r"[a-z-]+:[^;\"<>]+(;[a-z-]+:[^;\"<>]+)*")
VOID = {"hr", "br"}


class Inspector(HTMLParser):
    """Objects to whatever could do something."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.links: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        given = dict(attrs)
        assert set(given) <= ALLOWED[tag], (tag, given)
        assert len(given) == len(attrs)
        if tag == "a":
            assert re.match(r"https?://|mailto:", given["href"] or "", re.IGNORECASE), given
            assert given["title"] == given["href"]
            assert given["target"] == "_blank"
            assert given["rel"] == "noopener noreferrer nofollow"
            self.links.append(given["href"] or "")
        assert given.get("class", LITERAL) == LITERAL
        if "style" in given:
            assert OURS.fullmatch(given["style"] or ""), given
            assert "url" not in (given["style"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def inspected(html: str) -> Inspector:
    """The HTML, if it is harmless and whole."""
    inspector = Inspector()
    inspector.feed(html)
    inspector.close()
    assert inspector.open == []
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", html)
    return inspector
