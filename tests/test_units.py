"""Lines, paragraphs, words, graphemes and sentences: whole ones, at any cut."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutting import cuts, one_by_one, run
from rxchat.errors import UsageError
from rxchat.events import Finish, Reset, Start, Text, ToolCall
from rxchat.operators.texts.sentences import sentences
from rxchat.operators.texts.units import graphemes, lines, paragraphs, words

SENTENCES = """
Hello. |How are you? |Fine!
Dr. Who met Mr. Smith and Mrs. Jones. |They talked.
J. R. R. Tolkien wrote it. |G. Washington did not.
Pi is 3.14. |Version 2.0.1 is out.
See example.com/a.b?c=1. |Then https://x.org/?q=What. |Done.
Use tools, e.g. Python, i.e. not Perl. |Right?
It is approx. Five of them vs. Six. |Yes.
See p. 5, No. 7 and Fig. 3. |No. |It is on Jan. 5.
Wait... |What? |well... maybe. |Hm… |Yes… no.
He said “Stop!” and “Go.” |Then he left.
(He did it.) |[So she said.] |"Really?" he asked. |"Yes."
**Bold.** |Then *that.* |_Done!_ |So.
In the U.S. |The law is new. |The U.S. Senate met.
She met J. K. Rowling in the U.K. |They ate. |So did I. |Right.
At 5 p.m. |John came. |At 6 a.m. he left.
Apple Inc. CEO spoke. |He left Apple Inc. |They cried.
Node.js is fine. |So is .NET. |And C#.
A fact.[1][2] |Another one.[^3] |Source【4†a】. |End.
What?! |No!!! |OK.
Great! |🎉 Next one. |👍 Good.
Jean-P. Sartre and J.-P. Sartre. |Fin.
I have 5. |He has 12. |In 1990. |Good.
Das ist z.B. Obst, z. B. Der Apfel, d.h. Essen. |Gut.
Am 3. Oktober, im 19. Jahrhundert. |Ende. |Nr. 5 lebt.
Ich habe 5. |Du hast 3. |Er sagte: »Halt!« |Dann ging er.
M. Dupont et Mme. Durand. |Il a dit : « Bonjour ! » |Puis rien.
El Sr. García vive en EE.UU. ¿Y usted? |¡Hola! |¿Qué tal?
Il sig. Rossi e la dott. Bianchi. |Ciao.
Het is bijv. Amsterdam. |Ja.
Se t.ex. Stockholm. |Ja.
To np. Kraków i ul. Długa. |Tak.
г. Москва, ул. Ленина, им. Пушкина. |Да. |Это А. С. Пушкин.
Ο κ. Παπαδόπουλος ήρθε. |Γιατί\u037e |Ναι.
你好。|我是小明！|是吗？|“好。”|他走了。|价格是3.14元。|好……不知道。
你好!|我是.|你呢?|好
这是**重点。**|然后。|**粗体**。
「はい。」|そうです。|東京｡|３．１４です。
안녕하세요. |저는 철수입니다. |네. |그래요?
यह है। |वह डॉ. शर्मा हैं। |क्या? |हाँ॥ |अंत
هل أنت هنا؟ |نعم. |هذا د. محمد. |انتهى.
یہ ہے۔ |وہ ہے۔
שלום. |מה שלומך? |טוב.
Բարև։ |Այո։
ሰላም። |ደህና።
ជំរាប។ |ខ្ញុំ។
မင်္ဂလာပါ။ |ဟုတ်။
Foo? |Bar! |baz. |It is 5 m. |Qux is 20 C. |Right.
Er rief: „Halt!“ |Dann «Nein.» |Ende.
他说：“走。”|“好。”|然后。|“再见”
""".strip().splitlines()

SENTENCES_IN_LINES = [
    "Title\n\n|First. |Second.\n|Third",
    "\n \nHello.\n\n|  - one\n|  - two. |Three\r\n|1. First\n|2. Second. |More\n|   b. Third\n",
    "## 3. Title\n|**1.** Bold\n|IV. Part\n|> 1.2. Quote. |End",
    "Look.\n\n|```python\n|a = 1. B\n\n|    print('Hi. You! No?')\n|```\n|So. |Yes.",
    "~~~\n|Aha. Bees. Cees.\n|```\n|Aha. Bees.\n|~~~\n|Aha. |Bees.",
    "Inline ```code``` here. |Next\n|One. |Two.",
    "Dr.\n|Who",
]

OTHERS = [
    (lines, "one\n|two\r\n|\n|\r|three\r|\r\n|fo\u2028ur\x85\x0b\x0c\n|five"),
    (lines, "\r"),
    (lines, "a\n"),
    (paragraphs, "\n\n One\ntwo.\n\n|Three\r\n \t\r\n\n|   four\n  five\r\r|six\n \n"),
    (paragraphs, "a\r\nb\r\n\r\n|c"),
    (words, "  Hello,  |world!\n\n|It's |fine-ish |10\u00a0000\u202f€ |e.g. |👩🏽‍🚀! "),
    (words, "你|好，|“世|界”。 |abc|中|(文)|x、y |「は|い」"),
    (words, "ส|วั|ส|ดี |ค|รั|บ|น้ำ |ok"),
    (words, "ខ្ញុំ |안녕하세요 |여러분 |नमस्ते |दुनिया |が|コー|ヒー"),
    (graphemes, "a|é|e\u0301\u0302|\r\n|\n|\r|👩\u200d👩\u200d👧\u200d👦|👍🏽|🇩🇪|🇫🇷|🇯|x|❤️|1️⃣"),
    (
        graphemes,
        "각|\u1100\u1161\u11a8|क्षि|ত্র|ந|னி|🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f|👩\u200d|a",
    ),
]

CASES = [
    *((sentences, text) for text in [*SENTENCES, *SENTENCES_IN_LINES]),
    *OTHERS,
]
EVERY = [sentences, lines, paragraphs, words, graphemes]
HARD = [
    *(
        "\r",
        "\n",
        "\r\n",
        " ",
        "  ",
        "\u00a0",
        "\t",
        "a",
        "B",
        "The",
        "I",
        "5",
        "12",
        "e",
        "\u0301",
        "Mai",
    ),
    *(
        ".",
        "..",
        "...",
        "…",
        "?",
        "!",
        "。",
        "？",
        "．",
        '"',
        "'",
        "”",
        "»",
        " »",
        "*",
        "**",
        "(",
        ")",
        "[",
        "[1",
        "]",
    ),
    *(
        "Dr",
        "z. B",
        "U.S",
        "Inc",
        "p.m",
        "No",
        "- ",
        "1.",
        "```",
        "~~~",
        "\n```\n",
        "中",
        "「",
        "」",
        "ー",
        "ก",
        "้",
        "ำ",
    ),
    *(
        "👩",
        "\u200d",
        "🏽",
        "🇩",
        "❤",
        "\ufe0f",
        "\u1100",
        "\u1161",
        "क",
        "्",
        "ខ",
        "្",
        "\u2028",
        "\x85",
        "\ud83d",
        "【",
        "】",
    ),
]
hard_texts = st.lists(st.sampled_from(HARD), max_size=25).map("".join)


def whole(operator: Any, text: str) -> list[str]:
    return run(operator, [text])


@pytest.mark.parametrize(("unit", "picture"), CASES)
def test_every_piece_is_one_whole_unit(unit: Any, picture: str) -> None:
    expected = picture.split("|")
    text = "".join(expected)
    assert whole(unit(), text) == expected
    assert run(unit(), one_by_one(text)) == expected


@pytest.mark.parametrize("unit", EVERY)
@given(data=st.data())
def test_the_same_units_come_at_any_cut_and_nothing_is_lost(unit: Any, data: Any) -> None:
    text = data.draw(hard_texts | st.sampled_from([case.replace("|", "") for _, case in CASES]))
    expected = whole(unit(), text)
    assert "".join(expected) == text
    assert all(expected)
    assert run(unit(), data.draw(cuts(text))) == expected
    assert run(unit(), one_by_one(text)) == expected


@pytest.mark.parametrize("unit", [sentences, lines, paragraphs])
@given(data=st.data(), longest=st.integers(1, 40))
def test_a_unit_that_is_too_long_comes_in_the_same_parts_at_any_cut(
    unit: Any, data: Any, longest: int
) -> None:
    text = data.draw(st.lists(st.sampled_from(HARD), max_size=80).map("".join))
    expected = whole(unit(longest=longest), text)
    assert "".join(expected) == text
    assert max(map(len, expected), default=0) <= longest
    assert run(unit(longest=longest), data.draw(cuts(text))) == expected
    assert run(unit(longest=longest), one_by_one(text)) == expected


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        (words, "x" * 5_000),
        (words, " " * 5_000),
        (words, "中" + "\u0301" * 2_500),
        (words, "(" * 2_500 + "中"),
        (graphemes, "e" + "\u0301" * 1_000 + "f"),
        (graphemes, "👩\u200d" * 500 + "🇩" * 301),
        (graphemes, "क्" * 500),
    ],
)
def test_what_has_no_end_comes_in_the_same_parts_at_any_cut(unit: Any, text: str) -> None:
    expected = whole(unit(), text)
    assert "".join(expected) == text
    assert run(unit(), one_by_one(text)) == expected
    assert run(unit(), [text[:777], text[777:]]) == expected


def test_a_part_ends_at_a_blank_if_there_is_one_and_tears_no_character() -> None:
    assert whole(sentences(longest=8), "one two three four") == ["one two ", "three ", "four"]
    assert whole(lines(longest=3), "abcdef\r\n") == ["abc", "def", "\r\n"]
    assert whole(lines(longest=4), "abc\r\nd") == ["abc", "\r\n", "d"]
    assert whole(lines(longest=4), "abce\u0301f") == ["abc", "e\u0301f"]


@pytest.mark.parametrize(
    ("unit", "moments"),
    [  # what is fed, and whether a unit comes at once
        (lines, [("a", ""), ("\n", "a\n"), ("b\r", ""), ("c", "b\r"), ("\r", ""), ("\n", "c\r\n")]),
        (paragraphs, [("a\n", ""), ("\n", ""), (" ", ""), ("b", "a\n\n")]),
        (
            words,
            [
                ("a", ""),
                (" ", ""),
                (" ", ""),
                ("b", "a  "),
                ("中", "b"),
                ("文", "中"),
                ("，", ""),
                ("c", "文，"),
            ],
        ),
        (
            graphemes,
            [("e", ""), ("\u0301", ""), ("a", "e\u0301"), ("🇩", "a"), ("🇪", ""), ("🇫", "🇩🇪")],
        ),
        (sentences, [("So. ", ""), ("B", "So. "), ("ut! ", ""), ("a", "But! ")]),
        (sentences, [("好。", ""), ("是", "好。"), ("？", ""), ("”", ""), ("他", "是？”")]),
        (sentences, [("So. “", ""), ("B", "So. ")]),
        (sentences, [("U.S. ", ""), ("The", ""), (" ", "U.S. ")]),
        (sentences, [("Am 3. ", ""), ("M", ""), ("o", "Am 3. ")]),
        (sentences, [("Title", ""), ("\n", ""), ("\n", ""), ("x", "Title\n\n")]),
    ],
)
def test_nothing_is_held_longer_than_it_must(unit: Any, moments: list[tuple[str, str]]) -> None:
    for count in range(1, len(moments) + 1):
        fed = [piece for piece, _ in moments[:count]]
        expected = [piece for _, piece in moments[:count] if piece]
        assert heard_before_the_end(unit(), fed) == expected


def heard_before_the_end(operator: Any, pieces: list[str]) -> list[str]:
    """What has come when a restart forgets the rest."""
    heard = run(operator, [*map(Text, pieces), Reset("restart")])
    return [item.text for item in heard if type(item) is Text]


@pytest.mark.parametrize("unit", EVERY)
def test_what_is_held_is_bounded(unit: Any) -> None:
    for endless in ("x", " ", ".", "\n", "(", "\u0301", "中", "*"):
        held = run(unit(), [Text(endless * 1_000)] * 80 + [Reset("restart")])
        came = sum(len(item.text) for item in held if type(item) is Text)
        assert 80_000 - came <= 65_536 + 128 + 1_000, endless


def test_answers_of_several_are_told_apart_and_events_pass() -> None:
    said = [Start(), Text("Ah. "), Text("Oh. Y", 1), Text("B"), ToolCall(0, "1", "f"), Text("C")]
    assert run(sentences(), [*said, Finish(), Finish(choice=1)]) == [
        *(Start(), Text("Oh. ", 1), Text("Ah. "), Text("B"), ToolCall(0, "1", "f")),
        *(Text("C"), Text("Y", 1), Finish(), Finish(choice=1)),
    ]


def test_after_a_restart_a_fence_is_forgotten() -> None:
    heard = run(sentences(), ["```\nfoo", Reset("restart"), "One. ", "Two."])
    assert heard == ["```\n", Reset("restart"), "One. ", "Two."]


@pytest.mark.parametrize("unit", [sentences, lines, paragraphs])
def test_a_length_that_is_none_is_refused(unit: Any) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        unit(longest=0)


def test_graphemes_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "regex", None)
    with pytest.raises(UsageError, match=r"pip install 'rxchat\[text\]'"):
        graphemes()
