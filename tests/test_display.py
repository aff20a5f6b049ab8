"""What values look like in a notebook: safe, free of keys, and without consequences."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from os import environ
from typing import Any
from unittest.mock import Mock

import pytest

import rxchat
from rxchat import operators as ops
from rxchat import previews, providers, user
from rxchat.chat import Chat
from rxchat.events import Finish, Reasoning, Text, ToolCall, Usage
from rxchat.operators.gathering.collecting import Answer
from rxchat.provider import Provider
from rxchat.providers import anthropic, azure, bedrock, gemini, openai
from rxchat.providers.aws_keys import AWSKeys
from rxchat.signing import Signature, bearer
from rxchat.testing import LocalServer, Reply, Scripted

SECRET = "SECRET"
LONGER = "sk-live-0a1b2c3d4e5f6a7b8c9d"
ALL = providers.services()
SETTINGS = {"endpoint": "https://mine.example.com", "region": "eu-1", "project": "p1"}
every = pytest.mark.parametrize("provider", ALL.values(), ids=ALL)
keyed = pytest.mark.parametrize(
    "provider", [it for it in ALL.values() if it.auth], ids=[n for n, it in ALL.items() if it.auth]
)


def looks(value: Any) -> str:
    """All that a notebook, a terminal or a log may ever show of a value."""
    return "\n".join([repr(value), str(value), f"{value}", *value._repr_mimebundle_().values()])


def plain(value: Any) -> str:
    return value._repr_mimebundle_()["text/plain"]


def settled(provider: Provider) -> Provider:
    """The provider, with all that it needs except a key."""
    wanted = {name: value for name, value in SETTINGS.items() if name in provider.settings}
    if not provider.base_url.startswith("{endpoint}"):
        wanted.pop("endpoint", None)
    return provider.but(**wanted) if provider.model else provider.but(model="some", **wanted)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in ALL.values():
        for setting in (provider.auth, *provider.settings.values()):
            for variable in getattr(setting, "variables", ()):
                monkeypatch.delenv(variable, raising=False)


# A stream --------------------------------------------------------------------------------------


def test_a_stream_says_that_nothing_was_sent_how_to_run_it_and_what_it_would_send() -> None:
    told = plain(openai("Why is the sky blue?", key=SECRET, temperature=0.5, stop=["a", "b"]))
    assert told.startswith("openai, a stream\nCold: nothing is sent until you run it")
    for words in (
        "await stream",
        "async for item in stream",
        "show(stream)",
        "POST https://api.openai.com/v1/chat/completions",
        "model   gpt-5-mini",
        '"content": "Why is the sky blue?"',
    ):
        assert words in told
    assert told.endswith("\n  …")  # of a long body only the first lines


PIPED = {
    "pipe": lambda it: it.pipe(ops.retry(3), ops.text(), ops.map(str.upper)),
    "an indexed operator": lambda it: it.pipe(ops.map_indexed(lambda item, at: at)),
    "a fluent operator": lambda it: it.map(str).filter(bool),
    "a fluent indexed one": lambda it: it.map_indexed(lambda item, at: at),
    "adding": lambda it: it + rxchat.of(1),
    "a slice": lambda it: it[1:3],
    "one of two parts": lambda it: it.pipe(ops.partition(bool))[0],
    "a connectable": lambda it: it.pipe(ops.publish()),
    "a counted one": lambda it: it.publish().ref_count(),
    "shared": lambda it: it.pipe(ops.shared()),
}


@pytest.mark.parametrize("make", PIPED.values(), ids=PIPED)
def test_a_piped_stream_still_knows_what_it_would_send(make: Any) -> None:
    told = plain(make(openai("Why?", key=SECRET)))
    assert "POST https://api.openai.com/v1/chat/completions" in told
    assert '"content": "Why?"' in told


def test_a_stream_that_was_not_made_here_tells_of_nobody_elses_request() -> None:
    mine, other = rxchat.of(1, 2), openai("Why?", key=SECRET)
    assert "sends" not in plain(mine)
    assert "sends" not in plain(other.pipe(lambda _: mine))
    assert "sends" not in plain(mine)
    assert "sends" not in plain(rxchat.race(other, Scripted("Hi")("Why?")))
    assert mine.preview is None


async def test_connectables_and_groups_say_what_they_are() -> None:
    connectable = rxchat.of(1).pipe(ops.publish())
    assert repr(connectable) == ("<Connectable 'of': one run for all, which begins with connect()>")
    assert "until connect()" in plain(connectable)
    group = rxchat.stream.wrap(await rxchat.of(1).pipe(ops.group_by(str)), "of")
    assert repr(group) == "<Group 'of' of '1': a part of a stream that runs>"
    assert "A part of a stream that runs" in plain(group)


def test_what_would_be_sent_is_worked_out_only_when_somebody_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def worked_out(*_: object) -> str:
        raise AssertionError("somebody looks")

    monkeypatch.setattr(previews, "body_of", worked_out)
    stream = openai("Why?", key=SECRET).pipe(ops.retry(3), ops.text())
    with pytest.raises(AssertionError, match="somebody looks"):
        plain(stream)


async def test_looking_sends_nothing() -> None:
    async with LocalServer(Reply("Hello")) as server:
        mine = openai.but(base_url=server.url, key=SECRET)
        looks(mine), looks(mine("Hi")), looks(Chat(mine))
        assert server.exchanges == []


def test_a_long_prompt_and_a_picture_are_shown_in_brief() -> None:
    picture = rxchat.Image(data=b"\x00" * 1_000_000, media_type="image/png")
    told = plain(openai(user("word " * 1000, picture), key=SECRET))
    assert "… (5,000 characters)" in told
    assert "(1,333,358 characters)" in told
    assert len(told) < 2000


def test_a_body_as_deep_as_one_may_be_is_shown_in_brief() -> None:
    deep: dict[str, Any] = {}
    for _ in range(800):
        deep = {"deeper": deep}
    for value in (openai.but(key=SECRET, extra=deep), openai("Hi", key=SECRET, extra=deep)):
        assert plain(value).endswith("\n  …")


# A provider ------------------------------------------------------------------------------------


def test_a_provider_says_what_it_would_send_and_where_its_key_comes_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", LONGER)
    told = plain(gemini.but(headers={"x-team": "blue"}))
    for words in (
        "gemini, a provider",
        "POST https://generativelanguage.googleapis.com/",
        "x-team: blue",
        "x-goog-api-key: ***",
        "GOOGLE_API_KEY is not set, GEMINI_API_KEY is set",
        '"text": "Hi"',
    ):
        assert words in told


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        (openai, "missing: pass key=..., or set OPENAI_API_KEY"),
        (openai.but(key=SECRET), "given"),
        (openai.but(key=lambda: SECRET), "a function of yours, asked at every attempt"),
        (openai.but(headers={"Authorization": "Basic x"}), "in the header Authorization that you"),
        (openai.but(proxy="http://me:pw@proxy:1"), "http://***@proxy:1"),
        (openai, "organization  none, unless you pass organization=..., or set OPENAI_ORG_ID"),
        (openai.but(organization="mine"), "organization  given"),
        (azure, "endpoint  missing: pass endpoint=..., or set AZURE_OPENAI_ENDPOINT"),
        (azure, "POST {endpoint}/openai/v1/chat/completions"),
        (providers.litellm, "trouble  model is missing: pass model=..."),
        (providers.ollama, "none needed (OLLAMA_API_KEY is not set)"),
        (providers.acytoo, "gone     it does not answer any more: the service went offline"),
        (anthropic.but(key=SECRET, auth="bearer"), "Authorization: ***"),
        (anthropic.but(key=SECRET), "x-api-key: ***"),
        (anthropic.but(key=SECRET, auth="wrong"), "given"),
    ],
)
def test_a_provider_says_what_it_has_and_what_it_lacks(provider: Provider, words: str) -> None:
    assert words in plain(provider)


def test_a_setting_of_the_environment_is_told_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-1")
    assert "from AWS_REGION" in plain(bedrock)
    assert "bedrock-runtime.eu-1.amazonaws.com" in plain(bedrock)


# That no key is ever shown ---------------------------------------------------------------------


def dressed(provider: Provider, key: Any) -> Iterator[Any]:
    """The provider with a key wherever one might be put, and all that is made of it."""
    mine = settled(provider).but(
        headers={
            **dict.fromkeys(
                ("Cookie", "Proxy-Authorization", "X-Secret", "x-my-token"), "hidden-1"
            ),
            "X-Innocent": "Bearer hidden-2",
            "X-Another": f"sk-{'hidden3' * 4}",
        },
        proxy="http://me:hidden-4@proxy.example.com:3128",
        extra={"api_key": "hidden-5", "deep": [{"password": "hidden-6"}]},
    )
    if provider.auth is not None:
        mine = mine.but(key=key)
    yield mine
    yield from (mine("Hi"), mine("Hi").pipe(ops.retry(2), ops.text()), mine("Hi").publish())
    yield Chat(mine, history=["Hi"])


@every
@pytest.mark.filterwarnings("ignore::rxchat.provider.ServiceGone")
@pytest.mark.parametrize("key", [SECRET, LONGER])
def test_no_key_is_shown_wherever_it_was_put(provider: Provider, key: str) -> None:
    for value in dressed(provider, key):
        assert key not in looks(value)
        assert "hidden" not in looks(value)


@keyed
def test_no_key_of_the_environment_is_shown(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in provider.auth.variables:
        monkeypatch.setenv(variable, LONGER)
    mine = settled(provider)
    before = dict(environ)
    for value in (mine, mine("Hi"), mine(f"My key is {LONGER}", extra={"user": LONGER})):
        assert LONGER not in looks(value)
    assert dict(environ) == before


def test_no_key_of_another_service_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMEBODY_ELSES_API_KEY", "Zq8WvmRt5sYpQ2nL")
    monkeypatch.setenv("DB_PASSWORD", "postgres")  # a word as any other
    mine = openai.but(key=SECRET, headers={"X-Custom": "Zq8WvmRt5sYpQ2nL"})
    for value in (mine, mine("Is Zq8WvmRt5sYpQ2nL yours?"), Chat(mine, "Zq8WvmRt5sYpQ2nL")):
        assert "Zq8WvmRt5sYpQ2nL" not in looks(value)
    assert "about postgres" in plain(mine("Tell me about postgres."))


def test_no_key_in_a_conversation_is_shown() -> None:
    chat = Chat(openai.but(key=SECRET), history=[user(f"Is {SECRET} or {LONGER} my key?")])
    assert SECRET not in looks(chat)
    assert LONGER not in looks(chat)


@pytest.mark.parametrize(
    "name",
    [
        *("accessToken", "clientSecret", "privateKey", "xApiKey", "userPassword", "authToken"),
        *("private_key", "Subscription-Key", "passwd", "X-Auth", "secretAccessKey"),
    ],
)
def test_what_is_named_as_a_secret_is_none_to_be_shown(name: str) -> None:
    assert "hidden" not in plain(openai("Hi", key=SECRET, extra={"tools": [{name: "hidden"}]}))


def test_a_hostile_text_takes_no_time_to_look_at() -> None:
    plain(
        openai("sk-" * 100_000, key=SECRET)
    )  # minutes, if each were looked at from each other one


@pytest.mark.parametrize(
    "url",
    [f"https://x.example.com/v1/chat?key={SECRET}&a=1", f"https://me:{SECRET}@x.example.com/v1"],
)
def test_no_key_in_an_address_is_shown(url: str) -> None:
    request = openai.request("Hi", key=SECRET)
    there = type(request)(request.method, url, request.headers, request.body)
    assert SECRET not in repr(previews.way_of(there, previews.Veil(None, None)))


def test_a_path_with_the_key_in_it_is_shown_without() -> None:
    assert SECRET not in looks(
        openai.but(key=SECRET, base_url=f"https://x.example.com/{SECRET}/v1")
    )


@keyed
def test_looking_asks_no_function_for_a_key(provider: Provider) -> None:
    def key() -> str:
        raise AssertionError("it was asked")

    for value in dressed(provider, key):
        looks(value)


def test_looking_signs_nothing() -> None:
    def clock() -> float:
        raise AssertionError("it was signed")

    pair = {"access_key": "AKIA0123456789", "secret_key": LONGER, "session_token": "tok-0123456"}
    mine = settled(bedrock).but(key=pair)
    object.__setattr__(mine, "auth", AWSKeys(clock=clock))
    for value in (mine, mine("Hi"), mine(f"{LONGER} tok-0123456")):
        shown = looks(value)
        assert not any(part in shown for part in pair.values())


def test_what_is_no_key_is_shown_although_it_has_such_words() -> None:
    prompt = "Tell some basic facts about sk-learn-pipelines, a token economy, and the hf radio."
    told = plain(openai(prompt, key=LONGER, max_tokens=9))
    assert prompt in told
    assert '"max_completion_tokens": 9' in plain(openai.but(max_tokens=9))


def test_looking_asks_no_signature_of_yours() -> None:
    def signature(key: str) -> Signature:
        raise AssertionError("it was asked")

    mine = openai.but(key=SECRET)
    object.__setattr__(mine, "auth", providers.Key("MY_KEY", signature))
    assert "key           given" in plain(mine)
    object.__setattr__(mine, "auth", providers.Key("MY_KEY", bearer))
    assert "Authorization: ***" in plain(mine)


# That nothing in it can do harm ----------------------------------------------------------------


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


HOSTILE = (
    "</pre><script>alert(1)</script><img src=x onerror='alert(2)'>\"&\x1b]0;mine\x07\u202egnp\ud800"
)


SENDABLE = HOSTILE.removesuffix("\ud800")
ANSWER = (
    Reasoning(HOSTILE),
    Text(HOSTILE),
    ToolCall(0, "a", HOSTILE, HOSTILE),
    Usage(input=1, output=2),
    Finish("tool_calls"),
)
VALUES = {
    "provider": lambda: openai.but(key=SECRET, model=SENDABLE),
    "stream": lambda: openai(SENDABLE, key=SECRET, model=SENDABLE),
    "source": lambda: rxchat.source(lambda pump: pump.send(1), HOSTILE),
    "chat": lambda: Chat(openai, HOSTILE, history=[user(HOSTILE), rxchat.assistant(HOSTILE)]),
    "answer": lambda: Scripted(*ANSWER)("Hi").pipe(ops.collect()).run(),
}


@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)
def test_all_words_are_escaped_and_nothing_is_loaded_or_run(make: Any) -> None:
    bundle = make()._repr_mimebundle_()
    page = Page(bundle["text/html"])
    assert set(page.tags) <= {"div", "span", "b", "pre"}
    assert {name for name, _ in page.attributes} == {"class", "style"}
    # MathJax 3 is in JupyterLab, MathJax 2 in the pages that nbconvert makes of notebooks.
    assert dict(page.attributes[:1]) == {"class": "mathjax_ignore tex2jax_ignore"}
    styles = " ".join(str(style) for _, style in page.attributes)
    assert "url" not in styles
    assert "#" not in styles  # colours are the page's own, light or dark
    for words in (page.words, bundle["text/plain"]):
        assert words.encode()  # half a surrogate would be no UTF-8
        assert not set(words) & {"\x1b", "\x07", "\u202e"}
        assert "<script>" in words
    assert "<script>" not in bundle["text/html"]


# Where it is shown -----------------------------------------------------------------------------


def test_a_chat_shows_the_conversation_so_far() -> None:
    chat = Chat(Scripted("Hello!").then(ToolCall(0, "a", "weather", "{}")), "Be brief.")
    chat.ask("Hi").run()
    chat.ask("Rain?").run()
    assert plain(chat).splitlines() == [
        "chat with scripted, a conversation",
        "4 messages so far; ask(...) gives the stream of an answer.",
        "  system     Be brief.",
        "  user       Hi",
        "  assistant  Hello!",
        "  user       Rain?",
        "  assistant  [calls weather({})]",
    ]
    chat.history = tuple(user(str(number)) for number in range(100))
    assert "… 81 messages before that" in plain(chat)
    assert "\n  user  99" in plain(chat)


def test_code_keeps_its_tabs() -> None:
    code = Scripted("if sky:\n\tblue()")("Hi").pipe(ops.collect()).run()
    assert plain(code).endswith("\n  if sky:\n  \tblue()")


def test_a_chat_with_anything_shows_itself() -> None:
    for provider in (Mock(), partial(openai, key=SECRET), lambda said: openai(said)):
        assert "a conversation" in plain(Chat(provider))


def test_an_answer_shows_its_text_and_how_it_went() -> None:
    events = Reasoning("Hm."), Text("Hel"), Text("lo"), Usage(input=3, output=2), Finish()
    told = plain(Scripted(*events)("Hi").pipe(ops.collect()).run())
    for words in ("finish     stop", "3 characters", "3 in, 2 out", "\n  Hello"):
        assert words in told


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (Usage(), []),
        (Usage(input=0, output=5), ["  tokens  0 in, 5 out"]),
        (Usage(output=5), ["  tokens  5 out"]),  # what nobody tells is no 0
        (Usage(input=5), ["  tokens  5 in"]),
    ],
)
def test_an_answer_shows_the_tokens_that_were_told(usage: Usage, told: list[str]) -> None:
    shown = plain(Answer(rxchat.assistant("Hi"), usage=usage)).splitlines()
    assert [line for line in shown if "tokens" in line] == told


def test_ipython_takes_what_it_is_given() -> None:
    formatters = pytest.importorskip("IPython.core.formatters")
    data, _ = formatters.DisplayFormatter().format(openai("Hi", key=SECRET))
    assert "a stream" in data["text/html"]
    assert data["text/plain"].startswith("openai, a stream")


def test_no_notebook_is_needed_to_look() -> None:
    code = (
        "import sys; sys.modules['IPython'] = None; from rxchat.providers import openai\n"
        "loaded = set(sys.modules)\n"
        "print({'rxchat.stills', 'rxchat.previews', 'html'} & loaded)\n"
        "print(len(openai._repr_mimebundle_()), len(openai('Hi', key='x')._repr_mimebundle_()))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert told.stdout == "set()\n2 2\n"
