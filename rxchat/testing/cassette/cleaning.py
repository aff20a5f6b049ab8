"""Takes keys out of what a cassette keeps, however they are spelled and wherever they are cut.

Strategy. Secrets are learned from headers and addresses, and then looked for everywhere. In a
request a secret becomes `***`. In an answer it becomes as many `x` as it has bytes: so lengths,
cuts, quotes and the base64 around it stay right, and what is played decodes as what was heard.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from urllib.parse import unquote, urlsplit
from zlib import crc32

import attrs

from rxchat.request import AWS_EVENT_STREAM, SECRET, SHORTEST_KEY, Secret

__all__ = ["GAP", "Cleaner"]

GAP = "***"
"""What stands in a recorded request for what was taken out."""

BEGINNING = 12  # characters of a secret that give it away if the rest is cut off
_SECRET = re.compile(SECRET.pattern, re.IGNORECASE)
_PRIVATE = re.compile("organi[sz]ation|project|account|device|signature|nonce", re.IGNORECASE)
# Answers count tokens in headers, in such words or in bare numbers.
_COUNT = re.compile(r"ratelimit|rate-limit", re.IGNORECASE)
_IN_QUERY = re.compile(
    rf"(?i)([?&;][^=&;#]*(?:{SECRET.pattern}|sig|{_PRIVATE.pattern})[^=&;#]*=)([^&;#]*)"
)
_IN_SIGNATURE = re.compile(r"(?:Credential|Signature)=([^/,\s]+)")
_IN_COOKIES = re.compile(r"(?:^|; )[^=;]+=([^;]+)")


@attrs.define(eq=False)
class Cleaner:
    """Learns secrets, and removes them."""

    hidden: frozenset[str]
    """More names of headers, in lower case."""
    _spellings: dict[str, list[_Spelling]] = attrs.field(factory=dict[str, "list[_Spelling]"])

    def learn(self, headers: Mapping[str, str], url: str) -> None:
        """Find out what is secret in a request."""
        for name, value in headers.items():
            if self._removes(name, value):
                self._learn(_secrets_in(name, value))
        password = urlsplit(url).password or ""
        in_query = [value for _, value in _IN_QUERY.findall(url)]
        self._learn((password, unquote(password), *in_query, *map(unquote, in_query)))

    def learn_from_answer(self, headers: Mapping[str, str]) -> None:
        """Find out what is secret in the headers of an answer."""
        for name, value in headers.items():
            if self._removes_from_answer(name, value):
                cookie = "cookie" in name.lower()
                self._learn(_IN_COOKIES.findall(value)[:1] if cookie else [value])

    def request_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers of a request, without secrets."""
        return {
            name: GAP if self._removes(name, value) else self.text(str(value))
            for name, value in headers.items()
            if name.lower() != "content-length"  # of the body with the secrets in it
        }

    def answer_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers of an answer, without secrets."""
        return {
            name: GAP if self._removes_from_answer(name, value) else self.text(value)
            for name, value in headers.items()
        }

    def url(self, url: str) -> str:
        """An address without secrets."""
        authority = urlsplit(url).netloc
        _, at, host = authority.rpartition("@")
        shown = url.replace(authority, f"{GAP}@{host}", 1) if at else url
        return self.text(_IN_QUERY.sub(rf"\1{GAP}", shown))

    def text(self, text: str) -> str:
        """Words of a request, or of an error, without secrets."""
        return self.body(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")

    def body(self, body: bytes) -> bytes:
        """The body of a request, without secrets."""
        return self._without(body, lambda size, mask: GAP.encode())

    def answer(self, reads: list[bytes], content_type: str) -> list[bytes]:
        """The body of an answer without secrets, in pieces as long as they were."""
        body = b"".join(reads)
        cleaned = self._without(body, lambda size, mask: (mask * size)[:size])
        if AWS_EVENT_STREAM in content_type:
            cleaned = _with_checksums(cleaned, body)
        pieces, at = list[bytes](), 0
        for read in reads:
            pieces.append(cleaned[at : at + len(read)])
            at += len(read)
        return pieces

    def _removes(self, name: str, value: str) -> bool:
        named = _SECRET.search(name) or _PRIVATE.search(name) or name.lower() in self.hidden
        return bool(named) or isinstance(value, Secret)

    def _removes_from_answer(self, name: str, value: str) -> bool:
        if name.lower() in self.hidden:
            return True
        return self._removes(name, value) and not (_COUNT.search(name) or value.isdigit())

    def _learn(self, secrets: Iterable[str]) -> None:
        for secret in secrets:
            if len(secret) >= SHORTEST_KEY and secret not in self._spellings:
                self._spellings[secret] = list(_spellings(secret))

    def _without(self, data: bytes, fill: Callable[[int, bytes], bytes]) -> bytes:
        for secret in sorted(self._spellings, key=len, reverse=True):
            for spelling in self._spellings[secret]:
                pieces, at = list[bytes](), 0
                for start, end in spelling.places(data):
                    pieces += data[at:start], fill(end - start, spelling.mask)
                    at = end
                data = b"".join((*pieces, data[at:]))
        return data


def _secrets_in(name: str, value: str) -> list[str]:
    """What of a header's value is secret wherever else it stands."""
    if not (_SECRET.search(name) or isinstance(value, Secret)):
        return [value]
    last = value.rpartition(" ")[2]
    found = [last, *_IN_SIGNATURE.findall(value)]
    if "cookie" in name.lower():
        found += _IN_COOKIES.findall(value)
    if value.lower().startswith("basic "):
        user = b64decode(last + "==").decode("utf-8", "replace")
        found += user, user.partition(":")[2]
    return found


# Spellings ----------------------------------------------------------------------------------------


@attrs.frozen
class _Spelling:
    """One way to write a secret: how it begins, how it goes on, and what may stand for it."""

    head: re.Pattern[bytes]
    rest: list[re.Pattern[bytes]]
    mask: bytes

    @classmethod
    def of(cls, text: str, mask: bytes) -> _Spelling:
        head = b"".join(_spelled(char).pattern for char in text[:BEGINNING])
        return cls(re.compile(head), [_spelled(char) for char in text[BEGINNING:]], mask)

    def places(self, data: bytes) -> Iterator[tuple[int, int]]:
        """From where to where it stands, also if its end is missing."""
        at = 0
        while found := self.head.search(data, at):
            at = found.end()
            for char in self.rest:
                if not (more := char.match(data, at)):
                    break
                at = more.end()
            yield found.start(), at


def _spellings(secret: str) -> Iterator[_Spelling]:
    """As it is, and in base64, where it looks different at each of three places."""
    yield _Spelling.of(secret, b"x")
    raw = secret.encode("utf-8", "surrogateescape")
    for before in range(3):
        encoded, mask = (_in_base64(before, data) for data in (raw, b"x" * len(raw)))
        for text in {encoded, encoded.translate(bytes.maketrans(b"+/", b"-_"))}:
            if len(text) >= SHORTEST_KEY:
                yield _Spelling.of(text.decode(), mask)


def _in_base64(before: int, data: bytes) -> bytes:
    """What these bytes alone say in the base64 of something that they stand in."""
    encoded = b64encode(bytes(before) + data)
    return encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]


@cache
def _spelled(char: str) -> re.Pattern[bytes]:
    """A character as it is, or as JSON or an address may escape it, also more than once."""
    raw = char.encode("utf-8", "surrogateescape")
    plain = rb"\\+" if char == "\\" else rb"\\*" * (char in '"/') + re.escape(raw)
    in_json = rb"\\+u%04x" % ord(char)
    in_address = b"".join(b"%%(?:25)*%02x" % byte for byte in raw)
    return re.compile(rb"(?:%b|(?i:%b|%b))" % (plain, in_json, in_address))


def _with_checksums(cleaned: bytes, body: bytes) -> bytes:
    """Amazon's frames, with new checksums at the end of those that have changed."""
    frames, at = bytearray(cleaned), 0
    while size := int.from_bytes(frames[at : at + 4]):
        end = at + size
        if size < 16 or end > len(frames):
            break
        if bytes(frames[at:end]) != body[at:end]:
            frames[end - 4 : end] = crc32(frames[at : end - 4]).to_bytes(4)
        at = end
    return bytes(frames)
