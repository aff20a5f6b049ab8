"""The four first providers: what they send, byte for byte, and what they refuse.

The tables are Part A of the wire facts.
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import warnings
from typing import Any

import attrs
import pytest

from rxchat import assistant, system, user
from rxchat.errors import ChatError, InvalidPrompt, UnknownModel, UnknownOption, UsageError
from rxchat.messages import Message, format_prompt, messages
from rxchat.provider import Ask, Provider, ServiceGone, _warned
from rxchat.providers import acytoo, chatanywhere, cromicle, flowgpt
from rxchat.request import Headers, Request, Route, Timeout
from rxchat.signing import bearer, header_key, md5_signature, sha256_hash

FOUR = [cromicle, acytoo, flowgpt, chatanywhere]
TALK = [system("Be brief."), user("Привет"), assistant("Здравствуйте!"), user("How are you? 🌍")]
FOLDED = (
    "System: Be brief.\nUser: Привет\nAssistant: Здравствуйте!\nUser: How are you? 🌍\nAssistant:"
)
RAW = [{"role": m.role, "content": m.content} for m in TALK]
JSON_HEADERS = {"accept": "*/*", "content-type": "application/json"}


def by_name(provider: Provider) -> str:
    return provider.name


# What goes on the wire --------------------------------------------------------------------------

ADDRESSES = {
    "cromicle": "https://cromicle.top/chat",
    "acytoo": "https://chat.acytoo.com/api/completions",
    "flowgpt": "https://prod-backend-k8s.flowgpt.com/v3/chat-anonymous",
    "chatanywhere": "https://chatanywhere.cn/v1/chat/gpt/",
}


@pytest.mark.parametrize("provider", FOUR, ids=by_name)
def test_the_request_is_a_post_to_the_services_address(provider: Provider) -> None:
    request = provider.request("Hi")
    assert (request.method, request.url) == ("POST", ADDRESSES[provider.name])
    assert provider.url == request.url


def test_cromicle_sends_one_text_with_its_hash() -> None:
    request = cromicle.request(TALK)
    assert request.headers == Headers(JSON_HEADERS)
    assert request.json == {
        "message": FOLDED,
        "token": "abc",
        "hash": "97204b2430f82006355faebf9661ca367e16577d53cdd62800d98a0a84400a35",
    }


def test_acytoo_sends_the_conversation_as_it_is() -> None:
    request = acytoo.request(TALK)
    assert request.headers == Headers(JSON_HEADERS)
    assert request.json == {
        "key": "",
        "model": "gpt-3.5-turbo",
        "messages": RAW,
        "temperature": 0.5,
        "password": "",
    }


def test_flowgpt_splits_the_conversation_and_signs_its_headers() -> None:
    request = flowgpt.request(TALK, model="gemini", temperature=0.2)
    assert request.json == {
        "model": "google-gemini",
        "nsfw": False,
        "question": "How are you? 🌍",
        "history": [
            {"role": "assistant", "content": "Hello, how can I help you today?"},
            {"role": "user", "content": "Привет"},
            {"role": "assistant", "content": "Здравствуйте!"},
        ],
        "system": "Be brief.",
        "temperature": 0.2,
        "promptId": "model-google-gemini",
        "documentIds": [],
        "chatFileDocumentIds": [],
        "generateImage": False,
        "generateAudio": False,
    }
    headers = dict(request.headers)
    stamp, nonce = headers.pop("x-timestamp"), headers.pop("x-nonce")
    assert re.fullmatch(r"\d{10}", stamp)
    assert re.fullmatch(r"[0-9a-f]{32}", nonce)
    assert re.fullmatch(r"f-[a-z0-9]{19}", headers.pop("x-flow-device-id"))
    expected = hashlib.md5(f"{stamp}-{nonce}-Bearer null".encode()).hexdigest()
    assert headers.pop("x-signature") == expected
    assert headers == {
        "User-Agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:122.0) Gecko/20100101 Firefox/122.0",
        "Accept": "*/*",
        "Accept-Language": "en-US;q=0.7,en;q=0.3",
        "Accept-Encoding": "gzip, deflate, br",
        "Referer": "https://flowgpt.com/",
        "Content-Type": "application/json",
        "Authorization": "Bearer null",
        "Origin": "https://flowgpt.com",
        "Connection": "keep-alive",
        "Sec-Fetch-Dest": "empty",
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Site": "same-site",
        "TE": "trailers",
    }


def test_flowgpt_has_a_system_text_of_its_own() -> None:
    request = flowgpt.request("Hi")
    assert (
        request.json["system"]
        == "You are helpful assistant. Follow the user's instructions carefully."
    )
    assert (request.json["model"], request.json["temperature"]) == ("gpt-3.5-turbo", 0.7)


def test_flowgpt_asks_the_last_question_although_a_system_message_follows() -> None:
    request = flowgpt.request([user("Why?"), system("Be brief."), system("In verse.")])
    assert request.json["question"] == "Why?"
    assert request.json["system"] == "Be brief.\nIn verse."


def test_chatanywhere_sends_the_conversation_under_an_id_of_its_own() -> None:
    request = chatanywhere.request(TALK)
    body = request.json
    assert re.fullmatch(r"s1_[A-Za-z0-9]{18}", body.pop("id"))
    assert body == {
        "list": RAW,
        "title": "How are you? 🌍",
        "prompt": "",
        "temperature": 0.5,
        "models": "61490748",
        "continuous": True,
    }
    assert dict(request.headers) == {
        "User-Agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/119.0",
        "Accept": "application/json, text/plain, */*",
        "Accept-Language": "de,en-US;q=0.7,en;q=0.3",
        "Accept-Encoding": "gzip, deflate, br",
        "Content-Type": "application/json",
        "Referer": "https://chatanywhere.cn/",
        "Origin": "https://chatanywhere.cn",
        "Sec-Fetch-Dest": "empty",
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Site": "same-origin",
        "Authorization": "",
        "Connection": "keep-alive",
        "TE": "trailers",
    }
    assert chatanywhere.request("Hi").json["id"] != chatanywhere.request("Hi").json["id"]


# Signing: the vectors of the wire facts ---------------------------------------------------------

HASHES = [
    ("asdap", "hello", "dda6ea4e1dc215f198084018b1df20cfeafe9fbdfe31d8a350d6917509158d8a"),
    ("abc", "Hello", "d40e8531b8d2ef442a6dea109d0d77e15abc8c3f23d6b73d6f5b75975b2f2b7f"),
    ("abc", "Hello, world!", "be3c4b673d226b46742593cd467f3532504905d2e30236d18228f17c3940eb3e"),
    ("abc", "Привет 🌍", "630555288e92ae3443b97b3658bf2aa76c6cefca36417603c4bff599da86ad7c"),
]


@pytest.mark.parametrize(("token", "message", "digest"), HASHES)
def test_the_message_hash(token: str, message: str, digest: str) -> None:
    signed = sha256_hash(token)(Request.post("http://x", {"message": message}))
    assert signed.json == {"message": message, "token": token, "hash": digest}


STAMPS = [
    (1724000000, "0123456789abcdef0123456789abcdef", "29e5608fb8b09bd300ad0cd1384088a8"),
    (1731054192.9, "f511cff4304785287c9d7b406838d408", "f577765f901a075757fb8ec2190132d2"),
]


@pytest.mark.parametrize(("now", "nonce", "digest"), STAMPS)
def test_the_stamped_nonce(now: float, nonce: str, digest: str) -> None:
    sign = md5_signature(clock=lambda: now, nonce=lambda: nonce)
    headers = sign(Request.post("http://x", {}, headers={"Authorization": "Bearer null"})).headers
    assert headers["X-Signature"] == digest
    assert headers["X-Timestamp"] == str(int(now))


KEYS = [
    (bearer("s3cret"), {"Authorization": "Bearer s3cret"}),
    (header_key("x-api-key", "s3cret"), {"X-Api-Key": "s3cret"}),
    (header_key("x-token", "s3cret"), {"X-Token": "s3cret"}),
]


@pytest.mark.parametrize(("signature", "headers"), KEYS)
def test_a_key_is_sent_and_never_shown(signature: Any, headers: dict[str, str]) -> None:
    form = attrs.evolve(acytoo.format, signature=signature)
    keyed = attrs.evolve(acytoo, format=form, working=True)
    signed = keyed.request("Hi")
    assert signed.headers == acytoo.request("Hi").headers | headers
    assert signed.body == acytoo.request("Hi").body
    for shown in (signature, signed, keyed, keyed.format, keyed("Hi")):
        assert "s3cret" not in repr(shown) + str(shown)


# A provider is a value --------------------------------------------------------------------------


@pytest.mark.parametrize("provider", FOUR, ids=by_name)
def test_a_provider_is_an_immutable_value(provider: Provider) -> None:
    same = provider.but(model=provider.model)
    assert same == provider
    assert hash(same) == hash(provider)
    assert provider.but(timeout=5) != provider
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        provider.model = "x"


FACTS = {
    # history, system, site, models
    "cromicle": (False, False, None, 1),
    "acytoo": (True, False, None, 1),
    "flowgpt": (True, True, "https://flowgpt.com/chat", 13),
    "chatanywhere": (True, False, None, 1),
}


@pytest.mark.parametrize("provider", FOUR, ids=by_name)
def test_a_provider_tells_its_facts(provider: Provider) -> None:
    assert FACTS[provider.name] == (
        provider.supports_history,
        provider.supports_system,
        provider.site,
        len(provider.models),
    )
    assert provider.model in provider.models
    assert not provider.working
    assert repr(provider) == f"<provider {provider.name}: {provider.url}, model 'gpt-3.5-turbo'>"


def test_another_base_url_comes_before_the_formats_own_path() -> None:
    moved = flowgpt.but(base_url="http://127.0.0.1:1234/api/")
    assert moved.url == "http://127.0.0.1:1234/api/v3/chat-anonymous"
    assert moved.request("Hi").url == moved.url


def test_what_but_changes_a_call_may_change_for_itself() -> None:
    route = Route(proxy="http://127.0.0.1:8080", timeout=Timeout(3, 3))
    changes: dict[str, Any] = {"proxy": "http://127.0.0.1:8080", "timeout": 3, "temperature": 1}
    for request in (acytoo.but(**changes).request("Hi"), acytoo.request("Hi", **changes)):
        assert request.route == route
        assert request.json["temperature"] == 1
    assert acytoo.request("Hi", headers={"Accept": "x"}).headers["accept"] == "x"


def test_aliases_stand_for_models() -> None:
    assert flowgpt.but(model="gemini-pro").model == "google-gemini"
    assert flowgpt.but(model="").model == "gpt-3.5-turbo"


REFUSED = [
    (flowgpt, {"temprature": 1}, UnknownOption, r"no option 'temprature'; there are .*temperature"),
    (cromicle, {"temperature": 1}, UnknownOption, "no option 'temperature'"),
    (flowgpt, {"model": "gpt-9"}, UnknownModel, r"unknown model 'gpt-9'; .*gpt-4-turbo.*gemini"),
    (cromicle, {"model": "gpt-4"}, UnknownModel, "cromicle has gpt-3.5-turbo"),
    (acytoo, {"base_url": "ftp://x"}, UsageError, "http:// or https://"),
    (acytoo, {"base_url": "localhost:80"}, UsageError, "http:// or https://"),
    (acytoo, {"base_url": None}, UsageError, "base_url"),
    (acytoo, {"base_url": "ftp://u:secret@x"}, UsageError, r"not 'ftp://\*\*\*@x'"),
    (acytoo, {"base_url": "http://u:secret@x"}, UsageError, r"without a user.*'http://\*\*\*@x'"),
    (acytoo, {"base_url": "u:secret@x:80"}, UsageError, r"not '\*\*\*@x:80'"),
    (acytoo, {"base_url": "http://x/?key=secret"}, UsageError, r"not 'http://x/\?\*\*\*'"),
    (acytoo, {"base_url": "http://x/#secret"}, UsageError, "without .* a fragment"),
    (acytoo, {"base_url": "http://u:secret@[x"}, UsageError, "base_url must be an http"),
    (acytoo, {"model": None}, UsageError, "model: must be a name, not None"),
    (flowgpt, {"model": 5}, UsageError, "model: must be a name, not 5"),
    (acytoo, {"temperature": "hot"}, UsageError, "temperature: must be a finite number"),
    (acytoo, {"temperature": float("nan")}, UsageError, "finite"),
    (acytoo, {"temperature": True}, UsageError, "finite"),
    (acytoo, {"timeout": 0}, UsageError, "more than 0 seconds"),
    (acytoo, {"timeout": "soon"}, UsageError, "timeout"),
    (acytoo, {"proxy": "socks5://u:secret@x"}, UsageError, r"'socks5://\*\*\*@x' must be an http"),
    (acytoo, {"proxy": "u:secret@x:80"}, UsageError, r"'\*\*\*@x:80' must be an http"),
    (acytoo, {"ssl": False}, UsageError, "always verified"),
    (acytoo, {"headers": {"a": "b\r\nc: d"}}, UsageError, "line break"),
]


@pytest.mark.parametrize(("provider", "options", "error", "words"), REFUSED)
def test_a_wrong_option_is_refused_before_anything_is_sent(
    provider: Provider, options: dict[str, Any], error: type[ChatError], words: str
) -> None:
    for use in (
        provider.but,
        lambda **o: provider("Hi", **o),
        lambda **o: provider.request("Hi", **o),
    ):
        with pytest.raises(error, match=words) as caught:
            use(**options)
        assert caught.value.provider == provider.name
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("base_url", ["x", "", "ftp://x", "http://", "https:///path"])
def test_a_provider_without_an_address_is_refused(base_url: str) -> None:
    with pytest.raises(UsageError, match="must be an http:// or https:// address"):
        Provider(name="new", format=acytoo.format, base_url=base_url, model="m")


@pytest.mark.parametrize(
    "bug", [KeyError("bug"), ValueError("bug"), TypeError("bug"), AttributeError("bug")], ids=repr
)
def test_a_bug_in_a_format_is_raised_as_it_is(bug: Exception) -> None:
    def body(ask: Ask) -> object:
        raise bug

    buggy = attrs.evolve(acytoo, format=attrs.evolve(acytoo.format, body=body))
    for use in (buggy.request, buggy):
        with pytest.raises(type(bug)) as caught:
            use("Hi")
        assert caught.value is bug


PROMPTS = ["Hi", user("Hi"), {"role": "user", "content": "Hi"}, ["Hi"], (user("Hi"),)]


@pytest.mark.parametrize("prompt", PROMPTS, ids=repr)
def test_a_prompt_may_be_said_in_many_ways(prompt: Any) -> None:
    assert messages(prompt) == (Message("user", "Hi"),)


BAD_PROMPTS = [
    (None, "a prompt is a string"),
    (5, "a prompt is a string"),
    (b"Hi", "not bytes"),
    ([], "the prompt is empty"),
    ([None], "not NoneType"),
    ({"role": "user"}, "'content'.* is missing"),
    ({"role": "user", "content": "Hi", "name": "Bob"}, "not .'name'"),
    ({"role": "robot", "content": "Hi"}, "unknown role 'robot'"),
    ({"role": "user", "content": None}, "content is text, not NoneType"),
    ("\ud800", "surrogates"),
]


@pytest.mark.parametrize(("prompt", "words"), BAD_PROMPTS, ids=repr)
@pytest.mark.parametrize("provider", FOUR, ids=by_name)
def test_a_prompt_that_cannot_be_read_is_refused(
    provider: Provider, prompt: Any, words: str
) -> None:
    with pytest.raises(InvalidPrompt, match=words):
        provider(prompt)


def test_flowgpt_needs_a_question() -> None:
    with pytest.raises(InvalidPrompt, match="only system messages"):
        flowgpt.request(system("Be brief."))


FOLDS = [
    ([user("Hello, how are you?")], False, "Hello, how are you?"),
    ([user("Hello, how are you?")], True, "User: Hello, how are you?\nAssistant:"),
    (TALK, False, FOLDED),
]


@pytest.mark.parametrize(("conversation", "always", "text"), FOLDS)
def test_a_conversation_folds_into_one_text(
    conversation: list[Message], always: bool, text: str
) -> None:
    assert format_prompt(conversation, always=always) == text


# Gone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", FOUR, ids=by_name)
def test_a_service_that_is_gone_warns_once(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rxchat.provider._warned", set())
    with pytest.warns(
        ServiceGone, match=rf"{provider.name} does not answer any more.*base_url="
    ) as seen:
        assert provider("Hi").name == provider("Hi").name == provider.name
    assert len(seen) == 1
    assert seen[0].filename == __file__


@pytest.mark.parametrize("provider", FOUR, ids=by_name)
def test_another_address_is_not_known_to_be_gone(provider: Provider) -> None:
    _warned.discard(provider.name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moved = provider.but(base_url="http://127.0.0.1:1")
        moved("Hi")
    assert moved.working


# The request as a value -------------------------------------------------------------------------


def test_a_request_shows_no_secrets() -> None:
    secrets = {"Authorization": "Bearer s3cret", "X-API-Key": "s3cret", "Cookie": "s3cret"}
    request = Request.post(
        "http://x",
        {"key": "s3cret"},
        headers=secrets,
        route=Route(proxy="http://me:s3cret@proxy:1", ssl=ssl.create_default_context()),
    )
    assert "s3cret" not in repr(request)
    assert "http://***@proxy:1" in repr(request)
    assert json.loads(request.body) == {"key": "s3cret"}


def test_headers_are_found_in_any_spelling_and_replaced_in_all() -> None:
    headers = Headers({"Content-Type": "a"}) | {"content-type": "b", "X-New": "c"}
    assert (headers["CONTENT-TYPE"], headers["x-new"], len(headers)) == ("b", "c", 2)
    assert headers == Headers({"X-NEW": "c", "Content-TYPE": "b"})
    assert hash(headers) == hash(Headers({"X-NEW": "c", "Content-TYPE": "b"}))
    assert headers != {"content-type": "b"}
    assert "nothing" not in headers
