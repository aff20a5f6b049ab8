"""A conversation remembers what ended well, and nothing else; saved and loaded it is the same."""

from __future__ import annotations

import asyncio
import json
import math
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from rxchat import Image, Message, assistant, image, system, tool, user
from rxchat import operators as ops
from rxchat.chat import Chat
from rxchat.errors import (
    BrokenLine,
    CallbackFailed,
    ConnectionLost,
    InvalidPrompt,
    MissingKey,
    RateLimited,
    Truncated,
    UnknownOption,
    UsageError,
)
from rxchat.events import Finish, Opaque, Other, Reasoning, Refusal, Reset, Start, Text, ToolCall
from rxchat.operators.tools.running import run_tools, with_tools
from rxchat.providers import anthropic, openai
from rxchat.testing import LocalServer, Reply, Scripted, run_virtual

LOST = ConnectionLost("lost")
CALL = ToolCall(0, "a", "weather", '{"city": "Oslo"}')


def texts(chat: Chat) -> list[str]:
    return [message.text for message in chat.history]


def asked(provider: Scripted) -> list[list[str]]:
    return [[message.text for message in prompt] for prompt in provider.prompts]


async def hear(stream: rxchat.Stream[Any]) -> list[Any]:
    return [item async for item in stream]


# What ends well is remembered -----------------------------------------------------------------


def test_each_question_is_asked_with_all_that_was_said() -> None:
    model = Scripted("Hel", "lo!").then("Because.")
    chat = Chat(model, system="Be brief.")
    assert chat.ask("Hi").run().reason == "stop"
    chat.ask("Why?").run()
    assert asked(model) == [["Be brief.", "Hi"], ["Be brief.", "Hi", "Hello!", "Why?"]]
    assert chat.history == (user("Hi"), assistant("Hello!"), user("Why?"), assistant("Because."))


def test_all_events_pass_unchanged_and_their_reply_is_remembered() -> None:
    seal = Opaque("anthropic", {"signature": "abc"})
    script = (Start("m"), Reasoning("Hm."), Reasoning("", opaque=seal), "Yes", CALL, Finish())
    chat, model = Chat(Scripted(*script)), Scripted(*script)
    heard = run_virtual(hear(chat.ask("Hi")))
    assert heard == run_virtual(hear(model("Hi")))
    assert chat.history == (user("Hi"), rxchat.reply(heard))


def test_nothing_is_asked_before_somebody_listens() -> None:
    model = Scripted("a")
    chat = Chat(model)
    chat.ask("Hi")
    assert (model.prompts, chat.history) == ([], ())


def test_each_subscription_is_a_turn_of_its_own() -> None:
    chat = Chat(Scripted("a").then("b"))
    stream = chat.ask("Hi")
    stream.run(), stream.run()
    assert texts(chat) == ["Hi", "a", "Hi", "b"]


PICTURE = image("https://example.com/cat.png")


@pytest.mark.parametrize(
    ("said", "messages"),
    [
        (("Hi",), (user("Hi"),)),
        ((user("Hi"),), (user("Hi"),)),
        (({"role": "user", "content": "Hi"},), (user("Hi"),)),
        (("Who?", PICTURE), (user("Who?", PICTURE),)),
        ((PICTURE,), (user(PICTURE),)),
        ((["a", user("b")],), (user("a"), user("b"))),
        (([user("a"), assistant("Sure:")],), (user("a"), assistant("Sure:"))),
    ],
)
def test_a_question_is_a_text_parts_or_messages(said: Any, messages: Any) -> None:
    chat = Chat(Scripted("Yes."))
    chat.ask(*said).run()
    assert chat.history == (*messages, assistant("Yes."))


def test_options_go_with_every_question_and_those_of_a_question_go_before() -> None:
    seen: list[dict[str, Any]] = []

    def model(said: Any, **options: Any) -> rxchat.Stream[Any]:
        seen.append(options)
        return Scripted("a")(said)

    chat = Chat(model, temperature=1, seed=3)
    chat.ask("Hi", temperature=0).run()
    chat.fork().ask("Hi").run()
    assert seen == [{"temperature": 0, "seed": 3}, {"temperature": 1, "seed": 3}]


def test_another_provider_may_go_on() -> None:
    first, second = Scripted("a"), Scripted("b")
    chat = Chat(first)
    made_before = chat.ask("2")
    chat.ask("1").run()
    chat.provider, chat.system = second, "New."
    made_before.run()
    assert asked(second) == [["New.", "1", "a", "2"]]


def test_the_history_may_be_set() -> None:
    chat = Chat(Scripted("a"), history=[user("Hi"), assistant("Hello")])
    chat.ask("b").run()
    chat.history = chat.history[:-2]
    assert texts(chat) == ["Hi", "Hello"]
    chat.history = ()
    with pytest.raises(InvalidPrompt):
        chat.history = 3


# What does not is not --------------------------------------------------------------------------


@pytest.mark.parametrize("script", [(LOST,), ("Hel", LOST), ("Hel", Reset(), "x", LOST)])
def test_an_error_leaves_it_untouched(script: Any) -> None:
    chat = Chat(Scripted(*script).then("Hello"))
    with pytest.raises(ConnectionLost):
        chat.ask("Hi").run()
    assert chat.history == ()
    chat.ask("Hi").run()
    assert texts(chat) == ["Hi", "Hello"]


def test_an_error_after_the_finish_leaves_it_untouched() -> None:
    def model(said: Any) -> rxchat.Stream[Any]:
        return rxchat.concat(Scripted("Hello")(said), Scripted(LOST)(said))

    chat = Chat(model)
    with pytest.raises(ConnectionLost):
        chat.ask("Hi").run()
    assert chat.history == ()


def test_who_hears_the_end_may_ask_at_once() -> None:
    chat = Chat(Scripted("Hel", LOST).then("Hello"))
    again = chat.ask("Hi").pipe(ops.catch(lambda _, stream: stream))
    ended: list[list[str]] = []

    async def main() -> None:
        subscription = again.subscribe(on_completed=lambda: ended.append(texts(chat)))
        await subscription.wait_closed()

    run_virtual(main())
    assert ended == [["Hi", "Hello"]]


def test_hanging_up_leaves_it_untouched_and_free() -> None:
    model = Scripted("Hel", 1, "lo")
    chat = Chat(model)

    async def main() -> None:
        assert await hear(chat.ask("Hi").pipe(ops.take(1))) == [Text("Hel")]
        async for _ in chat.ask("Hi"):
            break
        subscription = chat.ask("Hi").subscribe()
        await asyncio.sleep(0.5)
        assert "being answered" in repr(chat)
        subscription.dispose()
        await subscription.wait_closed()
        assert (chat.history, model.live) == ((), 0)
        await chat.ask("Hi")

    run_virtual(main())
    assert texts(chat) == ["Hi", "Hello"]
    assert (model.hung_up, model.live) == (3, 0)


def test_who_hangs_up_at_the_finish_has_heard_it_all() -> None:
    chat = Chat(Scripted("Hello", Finish()))

    async def main() -> None:
        await hear(chat.ask("Hi").pipe(ops.take(2)))

    run_virtual(main())
    assert texts(chat) == ["Hi", "Hello"]


def test_a_bug_of_the_consumer_leaves_it_untouched_and_free() -> None:
    chat = Chat(Scripted("a", 1, "b"))

    def bug(_: object) -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        run_virtual(hear(chat.ask("Hi").pipe(ops.do_action(bug))))
    assert chat.history == ()
    run_virtual(hear(chat.ask("Hi")))
    assert texts(chat) == ["Hi", "ab"]


def test_the_end_of_the_loop_frees_it() -> None:
    chat = Chat(Scripted("a", math.inf).then("b"))

    async def main() -> None:
        subscription = chat.ask("Hi").subscribe()
        await asyncio.sleep(0)
        assert subscription is not None

    asyncio.run(main())
    loop = asyncio.new_event_loop()

    async def lose() -> None:
        chat.ask("Hi").subscribe()

    chat.provider = lambda said: rxchat.wrap(rxchat.Stream(lambda *_: None))  # never says a word
    loop.run_until_complete(lose())
    loop.close()
    chat.provider = Scripted("b")
    chat.ask("Hi").run()
    assert texts(chat) == ["Hi", "b"]


def test_two_questions_at_once_are_refused_and_forks_are_not() -> None:
    chat = Chat(Scripted("a", 1, "b"))

    async def main() -> None:
        with pytest.raises(UsageError, match=r"fork\(\)"):
            await rxchat.merge(chat.ask("1"), chat.ask("2"))
        assert chat.history == ()
        fork = chat.fork()
        await asyncio.gather(chat.ask("1"), fork.ask("2"))
        assert texts(chat) == ["1", "ab"]
        assert texts(fork) == ["2", "ab"]
        await rxchat.concat(chat.ask("3"), chat.ask("4"))
        assert texts(chat) == ["1", "ab", "3", "ab", "4", "ab"]

    run_virtual(main())


# Wrong questions -------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [(3,), ([],), ([user("a")], "b"), ("a", 3)])
def test_what_is_no_question_raises_at_once(said: Any) -> None:
    with pytest.raises(InvalidPrompt):
        Chat(Scripted()).ask(*said)


def test_what_is_wrong_raises_where_you_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UnknownOption):
        Chat(openai, key="k").ask("Hi", temprature=1)
    with pytest.raises(MissingKey):
        Chat(openai).ask("Hi")
    with pytest.raises(InvalidPrompt, match="answers no call"):
        Chat(openai, key="k").ask(tool("18 °C", "x"))
    with pytest.raises(UsageError, match="needs a provider"):
        Chat("openai")
    with pytest.raises(UsageError, match="is a text"):
        Chat(openai, system=system("Hi"))
    with pytest.raises(UsageError, match="gives a stream"):
        Chat(lambda said: said).ask("Hi")


def test_a_bug_of_the_provider_is_one_in_a_turn_that_is_made_later() -> None:
    chat = Chat(Scripted("a"))
    later = chat.ask("Hi")
    chat.provider = lambda said: 1 / 0
    with pytest.raises(CallbackFailed, match="ZeroDivisionError"):
        later.run()
    chat.provider = lambda said: None
    with pytest.raises(UsageError, match="gives a stream"):
        later.run()
    chat.provider = Scripted("a")
    later.run()


# Together with others --------------------------------------------------------------------------


def test_what_is_tried_again_is_remembered_once() -> None:
    busy = RateLimited("busy", retry_after=1)
    chat = Chat(Scripted(busy).then(busy).then("Hello"))

    async def main() -> None:
        await chat.ask("Hi").pipe(ops.retry(3))

    run_virtual(main())
    assert texts(chat) == ["Hi", "Hello"]


def test_after_a_restart_only_the_last_attempt_is_remembered() -> None:
    inside = Chat(
        lambda said: (
            Scripted("Hel", LOST)
            .then("Hello")(said)
            .pipe(ops.retry(after_commit="restart", backoff=lambda _: 0))
        )
    )
    outside = Chat(Scripted("Hel", LOST).then("Hello"))
    again = outside.ask("Hi").pipe(ops.retry(after_commit="restart", backoff=lambda _: 0))
    assert Reset in {type(event) for event in run_virtual(hear(inside.ask("Hi")))}
    run_virtual(hear(again))
    assert texts(inside) == texts(outside) == ["Hi", "Hello"]


def test_after_a_resume_both_halves_are_remembered() -> None:
    def seamless(said: Any) -> rxchat.Stream[Any]:
        return rxchat.fallback(
            Scripted("Hel", LOST)(said),
            lambda partial: Scripted("lo")([*said, assistant(partial)]),
            after_commit="resume",
        )

    chat = Chat(seamless)
    chat.ask("Hi").run()
    assert texts(chat) == ["Hi", "Hello"]


def test_of_two_chats_the_one_that_answers_remembers() -> None:
    one, other = Chat(Scripted(LOST)), Chat(Scripted("Hello"))
    rxchat.fallback(one.ask("Hi"), other.ask("Hi")).run()
    assert (texts(one), texts(other)) == ([], ["Hi", "Hello"])


def test_the_calls_of_an_answer_are_answered_by_the_next_question() -> None:
    model = Scripted(CALL).then("Mild.")
    chat = Chat(model)
    chat.ask("Oslo?").run()
    result = [tool("18 °C", call) for call in chat.history[-1].tool_calls]
    chat.ask(result).run()
    assert chat.history == (user("Oslo?"), assistant(CALL), *result, assistant("Mild."))


def weather(city: str) -> str:
    return f"18 °C in {city}"


def test_a_provider_that_runs_tools_makes_one_turn_of_all() -> None:
    model = Scripted(CALL).then("Mild.").then(CALL).then(LOST)
    chat = Chat(lambda said: with_tools(lambda s, tools: model(s), said, [weather]))
    chat.ask("Oslo?").run()
    result = tool("18 °C in Oslo", CALL)
    turn = (user("Oslo?"), assistant(CALL), result, assistant("Mild."))
    assert chat.history == turn
    with pytest.raises(ConnectionLost):
        chat.ask("And now?").run()
    assert chat.history == turn


def test_a_chat_that_is_asked_by_tools_says_how_to_do_it() -> None:
    chat = Chat(Scripted(CALL))
    with pytest.raises(UsageError, match="with_tools"):
        chat.ask("Oslo?").pipe(run_tools([weather], again=chat.ask)).run()


@pytest.mark.parametrize("prefix", ["", "/v1"], ids=["anthropic", "openai"])
async def test_the_second_request_has_the_first_turn(prefix: str) -> None:
    provider = openai if prefix else anthropic
    async with LocalServer() as server:
        server.plan(Reply("Hel", "lo!"), Reply("Bec", then="cut"), Reply("Sky."))
        chat = Chat(provider.but(base_url=server.url + prefix, key="k"), system="Be brief.")
        await chat.ask("Hi")
        with pytest.raises(Truncated):
            await chat.ask("Lost?")
        await chat.ask("Why?")
        body = server.exchanges[2].json
    spoken = [turn for turn in body["messages"] if turn["role"] != "system"]
    assert [turn["role"] for turn in spoken] == ["user", "assistant", "user"]
    told = json.dumps(body)
    assert all(said in told for said in ("Be brief.", "Hi", "Hello!", "Why?"))
    assert "Lost?" not in told
    assert texts(chat) == ["Hi", "Hello!", "Why?", "Sky."]


# Any order of turns ----------------------------------------------------------------------------

ENDS: dict[str, tuple[Any, ...]] = {
    "well": (),
    "lost": (LOST,),
    "left": (1, "never heard"),
}


@given(
    st.lists(st.tuples(st.sampled_from(sorted(ENDS)), st.lists(st.sampled_from("ab"), min_size=1)))
)
def test_the_history_is_what_ended_well_in_order(turns: list[tuple[str, list[str]]]) -> None:
    scripts = [(*pieces, *ENDS[end]) for end, pieces in turns]
    model = Scripted(*scripts[0]) if scripts else Scripted()
    for script in scripts[1:]:
        model.then(*script)
    chat, expected = Chat(model), list[str]()

    async def main() -> None:
        for number, (end, pieces) in enumerate(turns):
            before = chat.history
            stream = chat.ask(str(number))
            try:
                await (stream.pipe(ops.take(len(pieces))) if end == "left" else stream)
            except ConnectionLost:
                assert end == "lost"
            if end == "well":
                expected.extend((str(number), "".join(pieces)))
            else:
                assert chat.history is before
            assert texts(chat) == expected

    run_virtual(main())


# Saved and loaded ------------------------------------------------------------------------------

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
opaques = st.none() | st.builds(Opaque, st.text(), json_values)
choices = st.integers(0, 3)
images = st.builds(Image, data=st.binary(min_size=1), media_type=st.just("image/png")) | st.builds(
    Image, url=st.text(min_size=1).filter(lambda url: not url.startswith("data:"))
)
spoken = [st.builds(kind, st.text(), choices, opaques) for kind in (Text, Reasoning, Refusal)]
calls = st.builds(ToolCall, choices, st.text(), st.text(), st.text(), choices, opaques)
others = st.builds(Other, st.text(), json_values, opaques, choices)
messages = st.one_of(
    st.builds(Message, st.sampled_from(["system", "developer", "user"]), st.text()),
    st.builds(Message, st.just("user"), st.lists(spoken[0] | images)),
    st.builds(Message, st.just("assistant"), st.lists(st.one_of(*spoken, calls, others))),
    st.builds(Message, st.just("tool"), st.text(), st.text(), st.text(), st.booleans()),
)


@given(st.none() | st.text(), st.lists(messages))
def test_what_is_saved_is_loaded(told: str | None, history: list[Message]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat.jsonl"
        Chat(Scripted(), told, history=history).save(path)
        chat = Chat.load(path, Scripted())
        lines = path.read_bytes().splitlines()
    assert (chat.system, chat.history) == (told, tuple(history))
    assert [type(line) for line in map(json.loads, lines)] == [dict] * (len(history) + 1)


def test_a_file_is_a_readable_line_for_each_message(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    history = [
        user("Grüße 👩‍👧\u2028", Image(data=b"hi", media_type="image/png")),
        assistant(Reasoning("Hm."), CALL),
        tool("no\nway", CALL, failed=True),
        assistant("Lone \ud83d"),
    ]
    Chat(openai, "Sei kurz.", history=history, key="sk-secret").save(path)
    assert path.read_text("utf-8") == (
        '{"rxchat": 1, "system": "Sei kurz."}\n'
        '{"role": "user", "content": [{"type": "text", "text": "Grüße 👩‍👧\u2028"}, '
        '{"type": "image", "data": "aGk=", "media_type": "image/png"}]}\n'
        '{"role": "assistant", "content": [{"type": "reasoning", "text": "Hm."}, '
        '{"type": "tool_call", "id": "a", "name": "weather", '
        '"arguments": "{\\"city\\": \\"Oslo\\"}"}]}\n'
        '{"role": "tool", "content": "no\\nway", "call": "a", "name": "weather", "failed": true}\n'
        '{"role": "assistant", "content": "Lone \\ud83d"}\n'
    )
    assert Chat.load(path, openai).history == tuple(history)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n\r\n").rstrip())
    assert Chat.load(path, openai).history == tuple(history)


def test_a_loaded_chat_goes_on(tmp_path: Path) -> None:
    chat = Chat(Scripted("Hello"), "Be brief.")
    chat.ask("Hi").run()
    chat.save(tmp_path / "chat.jsonl")
    model = Scripted("Because.")
    Chat.load(tmp_path / "chat.jsonl", model).ask("Why?").run()
    assert asked(model) == [["Be brief.", "Hi", "Hello", "Why?"]]


HEADER = '{"rxchat": 1, "system": null}'


@pytest.mark.parametrize(
    ("lines", "number", "why"),
    [
        ("", 1, "Expecting value"),
        ('{"role": "user", "content": "Hi"}', 1, "it begins with"),
        ('{"rxchat": 2, "system": null}', 1, "version 2"),
        ('{"rxchat": 1, "system": 3}', 1, "it begins with"),
        (f'{HEADER}\n{{"role": "user", "con', 2, "Unterminated"),
        (f'{HEADER}\n\n{{"role": "user"}}', 3, "content"),
        (f"{HEADER}\n[]", 2, "an object is expected"),
        (f'{HEADER}\n{{"role": "nobody", "content": "Hi"}}', 2, "unknown role"),
        (f'{HEADER}\n{{"role": 3, "content": "Hi"}}', 2, "'role'"),
        (f'{HEADER}\n{{"role": "tool", "content": "Hi", "failed": 1}}', 2, "'failed'"),
        (f'{HEADER}\n{{"role": "user", "content": "Hi", "more": 1}}', 2, "'more' is unknown"),
        (f'{HEADER}\n{{"role": "user", "content": [{{"type": "sound"}}]}}', 2, "'sound'"),
        (f'{HEADER}\n{{"role": "user", "content": [{{"type": []}}]}}', 2, "type of a part"),
        (f'{HEADER}\n{{"role": "user", "content": [{{"type": "text"}}]}}', 2, "text"),
        (f'{HEADER}\n{{"role": "user", "content": [{{"type": "image"}}]}}', 2, "url or data"),
        (f'{HEADER}\n{{"role": "user", "content": [{{"type": "tool_call"}}]}}', 2, "made of"),
        (f"{HEADER}\n" + "[" * 100_000, 2, "recursion"),
    ],
)
def test_a_broken_line_is_named(lines: str, number: int, why: str, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(lines)
    with pytest.raises(BrokenLine, match=f"line {number} of") as broken:
        Chat.load(path, Scripted())
    assert broken.value.line == number
    assert why in str(broken.value)


def test_a_line_that_is_no_text_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_bytes(HEADER.encode() + b'\n{"role": "user", "content": "\xff"}\n')
    with pytest.raises(BrokenLine, match="line 2 of"):
        Chat.load(path, Scripted())


def test_what_cannot_be_saved_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text("before")
    for data in (b"bytes", math.nan, {1, 2}):
        chat = Chat(Scripted(), history=[assistant(Text("Hi", opaque=Opaque("x", data)))])
        with pytest.raises(UsageError, match="cannot be saved"):
            chat.save(path)
    assert path.read_text() == "before"
    assert [*tmp_path.iterdir()] == [path]


def test_a_failure_in_the_middle_of_writing_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text("before")

    def full(_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("rxchat.chat.fsync", full)
    with pytest.raises(OSError, match="no space"):
        Chat(Scripted()).save(path)
    assert path.read_text() == "before"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.skipif(os.name == "nt", reason="of POSIX")
def test_a_private_file_stays_private_and_a_link_a_link(tmp_path: Path) -> None:
    path, link = tmp_path / "chat.jsonl", tmp_path / "link"
    path.touch(0o600)
    link.symlink_to(path)
    Chat(Scripted(), "Hi").save(link)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert link.is_symlink()
    assert Chat.load(path, Scripted()).system == "Hi"


# How it looks ----------------------------------------------------------------------------------


def test_a_chat_has_an_identity_and_a_short_name() -> None:
    chat = Chat(openai, history=["Hi"], key="sk-secret")
    assert chat != chat.fork()
    assert repr(chat) == "<chat with openai: 1 message>"
    assert repr(Chat(lambda said: Scripted()(said))) == "<chat with <lambda>: 0 messages>"


def test_a_provider_that_gives_texts_is_refused_and_leaves_no_trace() -> None:
    chat = Chat(lambda said: Scripted("Hel", "lo")(said).pipe(ops.text()))
    with pytest.raises(UsageError, match=r"put ops\.text\(\) behind its ask\(\)"):
        chat.ask("Hi").run()
    assert chat.history == ()
