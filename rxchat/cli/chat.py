"""`python -m rxchat chat`: a conversation at the terminal.

Strategy. The line editor runs between event loops, and each answer in a loop of its own: so Ctrl-C
is the editor's while you type, hangs up while you are answered, and no connection of the last
question has gone stale when the next one is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

import attrs

from rxchat.chat import Chat
from rxchat.cli import exits
from rxchat.cli.naming import add_provider_options, label_of, named, of_options
from rxchat.cli.pages import add_output_options, console_for, page_for, show
from rxchat.cli.untrusted import clean
from rxchat.errors import BrokenLine, ChatError, UsageError
from rxchat.notebook.numbers import footer
from rxchat.operators.asking.meters import meter
from rxchat.provider import Provider
from rxchat.providers import services

__all__ = ["add"]


def add(parser: argparse.ArgumentParser) -> None:
    """What can be said to it."""
    add_provider_options(parser)
    parser.add_argument("--system", metavar="TEXT", help="what the model is to be")
    parser.add_argument("--load", metavar="FILE", help="go on with a chat that /save has saved")
    add_output_options(parser)
    parser.set_defaults(run=_run)


@attrs.define(eq=False)
class Conversation:
    """The chats there are, by their names, and the one that goes on."""

    said: argparse.Namespace
    chats: dict[str, Chat]
    here: str = "main"
    mine: set[Path] = attrs.field(factory=set[Path])
    """Files that this program has written or read: it may write them again."""
    failed: bool = False

    @property
    def chat(self) -> Chat:
        return self.chats[self.here]

    @property
    def provider(self) -> Provider:
        return cast(Provider, self.chat.provider)  # we gave it one

    def take(self, line: str) -> bool:
        """Do what a line says; False if it was the last one."""
        if not line.startswith("/") or line.startswith("//"):
            if line.strip():
                self.ask(line.removeprefix("/"))
            return True
        word, _, rest = line.partition(" ")
        if word in ("/quit", "/exit"):
            return False
        if word not in COMMANDS:
            raise UsageError(f"there is no {word}: /help tells what there is")
        COMMANDS[word][0](self, rest.strip())
        return True

    def ask(self, question: str) -> None:
        measure = meter()
        answer = self.chat.ask(question).pipe(measure)
        asyncio.run(show(answer, page_for(self.said)))
        console, run = console_for(self.said), measure.last
        if console is not None and run is not None:
            console.print(footer(run), style="dim")

    # The commands -------------------------------------------------------------------------------

    def help(self, _: str) -> None:
        for word, (_do, what) in COMMANDS.items():
            _tell(f"{word:<9} {what}")
        _tell("/quit     leave, as Ctrl-D does; // begins a question that begins with /")

    def model(self, spelt: str) -> None:
        """Another provider has an address of its own: ours is not for its key."""
        if spelt:
            name = re.split("[:@]", spelt)[0]
            other = named(spelt) if name in services() else self.provider.but(model=spelt)
            other("Hi")  # cold: a missing key is told now
            self.chat.provider = other
        _tell(label_of(self.provider))

    def system(self, text: str) -> None:
        if text:
            self.chat.system = None if text == "-" else text
        _tell(clean(self.chat.system or "nothing is said to the model beforehand"))

    def history(self, _: str) -> None:
        for message in self.chat.history:
            _tell(f"{message.role}: {clean(message.text)}")

    def save(self, name: str) -> None:
        path = _path(name)
        if path.exists() and path not in self.mine:
            raise UsageError(f"{name} is there already: say another name")
        self.chat.save(path)
        self.mine.add(path)
        _tell(f"saved {len(self.chat.history)} messages")

    def load(self, name: str) -> None:
        path = _path(name)
        self.chats[self.here] = chat = Chat.load(path, self.provider)
        self.mine.add(path)
        _tell(f"loaded {len(chat.history)} messages")

    def fork(self, name: str) -> None:
        if not name or name in self.chats:
            raise UsageError("say /fork NAME, with a name that no chat has yet")
        self.chats[name] = self.chat.fork()
        self.go(name)

    def go(self, name: str) -> None:
        if name not in self.chats:
            raise UsageError(f"say /go NAME, one of {', '.join(self.chats)}")
        self.here = name
        _tell(f"{clean(name)}: {label_of(self.provider)}, {len(self.chat.history)} messages")


COMMANDS: dict[str, tuple[Callable[[Conversation, str], None], str]] = {
    "/help": (Conversation.help, "this"),
    "/model": (
        Conversation.model,
        "which one answers, or another: MODEL or PROVIDER[:MODEL][@URL]",
    ),
    "/system": (Conversation.system, "what the model is told beforehand, or TEXT; - for nothing"),
    "/history": (Conversation.history, "all that was said"),
    "/save": (Conversation.save, "write this chat to FILE"),
    "/load": (Conversation.load, "go on with the chat in FILE"),
    "/fork": (Conversation.fork, "try something else under a NAME; /go main comes back"),
    "/go": (Conversation.go, "to the chat with this NAME"),
}


def _tell(line: str) -> None:
    """Only answers go to standard output."""
    print(line, file=sys.stderr)


def _path(name: str) -> Path:
    if not name:
        raise UsageError("say the name of a file")
    return Path(name).expanduser().resolve()


def _run(said: argparse.Namespace) -> int:
    provider = of_options(said)
    provider("Hi")  # cold, and not asked: a missing key is told before anything is typed
    talk = Conversation(said, {"main": Chat(provider, said.system)})
    if said.load:
        with _told_as_usage():
            talk.load(said.load)
        if said.system:
            talk.chat.system = said.system
    person = sys.stdin.isatty()
    if person:
        _edit_lines()
        exits.remark(f"{label_of(provider)}; /help tells what there is, Ctrl-D leaves")
    for line in _lines(talk, person=person):
        try:
            if not talk.take(line):
                break
        except KeyboardInterrupt:
            if not person:
                raise
            print("\n(hung up, and not remembered)", file=sys.stderr)
        except BrokenPipeError:
            raise
        except ChatError as error:
            exits.report(error, as_json=said.json)
            talk.failed = True
        except OSError as error:
            exits.remark(str(error))
            talk.failed = True
    return exits.FAILED if talk.failed and not person else exits.OK


@contextmanager
def _told_as_usage() -> Generator[None]:
    try:
        yield
    except (OSError, BrokenLine) as error:
        raise UsageError(str(error)) from None


def _lines(talk: Conversation, *, person: bool) -> Iterator[str]:
    """What is typed, line by line; Ctrl-C gives up the line, Ctrl-D all."""
    if not person:
        yield from (line.rstrip("\n") for line in sys.stdin)
        return
    while True:
        prompt = "you> " if talk.here == "main" else f"you ({clean(talk.here)})> "
        try:
            yield input(prompt)
        except EOFError:
            print(file=sys.stderr)
            return
        except KeyboardInterrupt:
            print(file=sys.stderr)


def _edit_lines() -> None:
    """Let `input` have history and editing, and complete the commands; not all systems can."""
    with suppress(ImportError):
        import readline

        readline.set_completer_delims(" ")
        readline.set_completer(_completed)
        readline.parse_and_bind("tab: complete")


def _completed(begun: str, state: int) -> str | None:
    words = [f"{word} " for word in COMMANDS if begun.startswith("/") and word.startswith(begun)]
    return words[state] if state < len(words) else None
