"""Text in whole sentences, in whatever language the model speaks.

A stop ends a sentence, or does not: in `Dr. Who`, `3.14`, `example.com`, `J. R. R. Tolkien`,
`am 3. Oktober`. What comes before it and the first word after it decide; where they do not, a
sentence is rather too long than torn apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from reactivex import Observable

from rxchat.operators.texts.units import UNSPACED, units

__all__ = ["sentences"]

T = TypeVar("T")


def sentences(*, longest: int = 8_000) -> Callable[[Observable[T]], Observable[T]]:
    """A sentence at a time, with the blanks after it, as soon as it is sure that it has ended.

    Mostly that is with the first character of the next sentence; after an initial (`the U.S. The`)
    or a German ordinal, with its first word. It knows the full stops of many scripts, common
    abbreviations of a dozen languages, initials, decimals, addresses, ellipses, list numbers,
    closing quotes and brackets. Every end of a line ends a sentence, too, and within fenced code
    nothing else does. Thai has no full stops: there, lines are sentences.

    What is held is a sentence; of one that is longer than `longest` characters comes a part, to a
    blank if it has one.

    >>> import rxchat; from rxchat.operators.texts.sentences import sentences
    >>> rxchat.of("Dr. Who is 4", ".5 m. W", "ow! 是吗？是。").pipe(sentences()).to_list().run()
    ['Dr. Who is 4.5 m. ', 'Wow! ', '是吗？', '是。']
    """
    return units(lambda: _Sentences().end, near=_NEAR, sure=_SOLID, longest=longest)


def _words(table: str) -> frozenset[str]:
    return frozenset(table.split())


# No end before a number; before words most of them are words of their own: "No. I did not."
BEFORE_NUMBERS = _words("""
    no nos nr nrs num núm núms p pp pg pgs pag pág págs vol vols fig figs figg abb abs sec sect ch
    chap cap art arts eq eqs ex op tab taf bd bde kl kap lfd bl blz afl str jan feb mar apr jun jul
    aug sep sept oct okt nov dec dez déc fév févr avr juil ene abr ago dic gen mag giu lug set ott
    янв фев февр апр авг сент окт нояб дек стр рис гл п пп ст с č čl rys poz s ss nro hal ص
""")

# No end, whatever comes. With a capital: only so, for `5 ms.` and `the col.` are something else.
BEFORE_ANYTHING = _words("""
    Mr Mrs Ms Mx Dr Drs Prof Profs St Rev Hon Gov Gen Sen Capt Cmdr Col Lt Sgt Maj Messrs Mt Fr Hr
    dr prof vs viz cf approx esp e.g i.e eg ie al incl excl resp ca
    hrn dipl ing bspw bzw evtl ggf inkl exkl zzgl vgl sog geb z.b d.h u.a o.ä i.d.r z.t u.u
    mme mmes mlle mlles mgr p.ex c.-à-d sr sra srta sres dra dña ud uds EE.UU p.ej avda exmo exma
    sig sigg sig.ra dott dott.ssa avv egr p.es dhr mevr bijv o.a d.w.z
    t.ex bl.a d.v.s f.eks o.l hr fru np tzn tj tzw inż ul im np např tzv mudr judr örn bkz yrd doç
    г-н г-жа г гг ул им проф акад напр т.е т.к т.н тов ср δηλ π.χ د أ أ.د م डॉ प्रो
""")

# No end, like an initial, but before one of the words that begin sentences.
BEFORE_NAMES = _words("Inc Ltd Corp Co Bros Jr")
BEGINNINGS = _words("""
    The This That These Those There He It She We They You But And However When While What Why How If
    In On At As For After Before His Her Its Our Their My Your
    Der Die Das Dies Diese Er Sie Es Wir Ich Aber Und Le La Les Il Elle Ils Elles Nous Vous Mais
    El Los Las Pero Ella Ellos O Os Mas Он Она Они Это Но
""")

# They make an ordinal of a short number before them, in German: `am 3. Oktober`.
ORDERED = (
    *("Jan", "Feb", "März", "Apr", "Mai", "Jun", "Jul", "Aug", "Sep", "Okt", "Nov", "Dez"),
    *("Jahrhundert", "Jahrtausend", "Klasse", "Stock", "Platz", "Weltkrieg", "Auflage", "Kapitel"),
)

_SCRIPTS = (  # full stops that need no blank after them
    "。｡．！？।॥؟۔։\u037e።፧။។៕᠃᠉\u0700-\u0702\u07f9᙮᱾᱿꓿꘎꛳꛷\ua8ce\ua8cf꩝-꩟꫰꫱꯫‼⁇⁈⁉"
)
_STOP = re.compile(
    rf"""(?P<line>[\r\n])
       | (?P<mark>[.!?…{_SCRIPTS}]{{1,32}}+)
         (?P<close>(?: [\u00a0\u202f]?["'“”’«»‹›)\]}}」』）】》〉〕*_~`] | \[\^?\d{{0,3}}(?:\]|\Z)
                     | 【[^】\s]{{0,16}}(?:】|\Z) | [ \u00a0\u202f]»(?=\s|\Z) ){{0,16}}+)""",
    re.VERBOSE,
)
_NEAR = re.compile(rf"[\r\n.!?…{_SCRIPTS}]")
_SCRIPT = re.compile(f"[{_SCRIPTS}]")
_SOLID = re.compile(r"\S")
_AHEAD = re.compile(r"""(?P<blanks>\s*)(?P<open>["'“„‚”«»‹›(\[{¿¡*_~`]{0,8})(?P<word>\w{0,20})""")
_LAST_WORD = re.compile(r"[^\s\"'“„‚”«»‹›(\[{*_~`]*\Z")
_LABEL = re.compile(
    r"[\s>*_#+\-]*(?:\d{1,3}(?:\.\d{1,3})*|[IVX]{1,6}|[ivx]{1,6}|[A-Za-zА-Яа-яΑ-Ωα-ω])\Z"
)
_SPACED = re.compile(r"(?<!\w)[^\W\d_A-ZА-Я]\.\s\w\Z")  # `z. B.`
_MEASURE = re.compile(r"\d\s\w\Z")  # `4.5 m.`
_UNSPACED = re.compile(f"[{UNSPACED}]")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})[^`]*\Z")
_QUOTES = frozenset("\"'“”’«»‹›」』")

GOES_ON, UNSURE = -1, 0  # in the place of an end


class _Sentences:
    """Finds the ends of sentences, and knows whether they are in fenced code."""

    __slots__ = ("_fence",)

    def __init__(self) -> None:
        self._fence = ""

    def end(self, text: str, start: int, seen: int, stop: int) -> tuple[int, int]:
        while (found := _STOP.search(text, seen, stop)) is not None:
            ahead = _AHEAD.match(text, found.end(), stop)
            if ahead is None or ahead.end("blanks") == stop:
                return UNSURE, found.start()
            line = max(text.rfind(mark, found.start(), ahead.end("blanks")) for mark in "\r\n") + 1
            if line:
                end = self._line(text[start:line], line)
            else:
                end = GOES_ON if self._fence else _end(text, start, found, ahead)
            if end != GOES_ON:
                return end, end or found.start()
            seen = found.end()
        return UNSURE, stop

    def _line(self, line: str, end: int) -> int:
        if line.isspace():  # blank lines before the first sentence are a part of it
            return GOES_ON
        if not self._fence:
            opening = _FENCE.match(line)
            self._fence = opening[1] if opening else ""
        elif line.strip().startswith(self._fence) and not line.strip().strip(self._fence[0]):
            self._fence = ""
        return end


def _end(text: str, start: int, found: re.Match[str], ahead: re.Match[str]) -> int:
    mark, after = found["mark"], ahead.end("blanks")
    needs_blank = not _SCRIPT.search(mark)
    if not ahead["blanks"]:
        if mark == "．" and text[after].isdecimal():
            return GOES_ON
        if needs_blank and not _between_unspaced(text, start, found):
            return GOES_ON
        return _closed(text, start, found)
    if not needs_blank:
        return after
    asked = "!" in mark or "?" in mark
    if asked and _QUOTES.isdisjoint(found["close"]):
        return after
    if ahead.end("open") == ahead.endpos:
        return UNSURE
    if ahead["word"][:1].islower() and not (asked and ahead["open"]):
        return GOES_ON
    return after if asked or mark != "." else _after_full_stop(text, start, found.start(), ahead)


def _after_full_stop(text: str, start: int, place: int, ahead: re.Match[str]) -> int:
    """Judge a full stop and a blank, before what is no small letter."""
    end, word = ahead.end("blanks"), ahead["word"]
    tail = text[max(start, place - 40) : place]
    before = _LAST_WORD.findall(tail)[0]
    if before in BEFORE_ANYTHING or before[:1].lower() + before[1:] in BEFORE_ANYTHING:
        return GOES_ON
    if _LABEL.match(text, start, place):
        return GOES_ON
    if word[:1].isdigit():
        return GOES_ON if before.lower() in BEFORE_NUMBERS else end
    cut = ahead.end() == ahead.endpos  # more of the word may follow
    if before.isdecimal() and len(before) <= 2:
        if word.startswith(ORDERED):
            return GOES_ON
        return UNSURE if cut and any(name.startswith(word) for name in ORDERED) else end
    initial = before.replace("-", ".").rpartition(".")[2]
    is_initial = len(initial) == 1 and initial.lower() != initial.upper()
    is_initial = is_initial and not _MEASURE.search(tail)
    if word and before not in {"I", "a.m", "p.m"} and (is_initial or before in BEFORE_NAMES):
        if cut:
            return UNSURE
        return end if word in BEGINNINGS and not _SPACED.search(tail) else GOES_ON
    return end


def _between_unspaced(text: str, start: int, found: re.Match[str]) -> bool:
    """Whether a stop stands between letters that need no blanks, as in `你好!我`."""
    place = found.start()
    return (
        place > start
        and found["mark"][-1] in ".!?"
        and ".." not in found["mark"]
        and _UNSPACED.match(text, place - 1) is not None
        and _UNSPACED.match(text, found.end()) is not None
    )


def _closed(text: str, start: int, found: re.Match[str]) -> int:
    """The end of a stop and what it closes; quotes without blanks may open what follows."""
    for place in range(found.end("mark"), found.end()):
        mark = text[place]
        if mark in "“«‹":
            return place
        if mark in "\"'*_~`" and mark != text[place - 1]:
            before = re.findall(f"{re.escape(mark)}+", text[start:place])
            if len(before) % 2 == 0:
                return place
    return found.end()
