"""`python -m rxchat completion SHELL`: a script that completes the command line.

Strategy. The tree of argparse is read into words (`Words`), and each shell says the same words in
its own way. The script also makes `rxchat` a short name of `python -m rxchat`, unless there is a
command of that name, as no shell completes what stands behind `python -m`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

import attrs

from rxchat import providers
from rxchat.cli import exits

__all__ = ["SHELLS", "Words", "add", "words_of"]


@attrs.frozen
class Words:
    """What may follow one command: options with their help, and the words for what is no option."""

    name: str
    what: str
    options: Mapping[str, str]
    taking: Mapping[str, Sequence[str]]
    """What may stand after an option; nothing known is an empty row."""
    others: Sequence[str]


def add(parser: argparse.ArgumentParser) -> None:
    """What can be said to it."""
    parser.add_argument("shell", choices=[*SHELLS], help="the shell that reads the script")
    parser.set_defaults(run=_run)


def _run(said: argparse.Namespace) -> int:
    print(SHELLS[said.shell](words_of(said.commands)), end="")
    return exits.OK


def words_of(commands: Mapping[str, argparse.ArgumentParser]) -> list[Words]:
    """The words of every command."""
    return [_words(name, parser) for name, parser in commands.items()]


def _words(name: str, parser: argparse.ArgumentParser) -> Words:
    options: dict[str, str] = {}
    taking: dict[str, Sequence[str]] = {}
    others: list[str] = []
    for action in parser._actions:  # pyright: ignore[reportPrivateUsage]  # shown nowhere else
        values = _values(action)
        if not action.option_strings:
            others += values
        for option in action.option_strings:
            options[option] = action.help or ""
            if action.nargs != 0:
                taking[option] = values
    return Words(name, parser.description or "", options, taking, others)


def _values(action: argparse.Action) -> Sequence[str]:
    if action.metavar == "PROVIDER":
        return [*providers.services()]
    return [str(choice) for choice in action.choices or ()]


# The shells ---------------------------------------------------------------------------------------


def _bash(commands: Sequence[Words]) -> str:
    cases = "".join(_bash_case(words) for words in commands)
    names = " ".join(words.name for words in commands)
    return f"""\
type rxchat >/dev/null 2>&1 || rxchat() {{ python -m rxchat "$@"; }}
_rxchat() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} words=
  if [ "$COMP_CWORD" -eq 1 ]; then words="{names} --help"
  else case "${{COMP_WORDS[1]}}" in
{cases}  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _rxchat rxchat
"""


def _bash_case(words: Words) -> str:
    after = "".join(
        f'      {option}) words="{" ".join(values)}";;\n' for option, values in words.taking.items()
    )
    plain = " ".join((*words.options, *words.others))
    return f"""\
    {words.name}) case "$previous" in
{after}      *) words="{plain}";;
    esac;;
"""


def _zsh(commands: Sequence[Words]) -> str:
    names = " ".join(_quoted(f"{words.name}:{words.what}") for words in commands)
    cases = "".join(_zsh_case(words) for words in commands)
    return f"""\
#compdef rxchat
(( $+commands[rxchat] )) || rxchat() {{ python -m rxchat "$@" }}
_rxchat() {{
  if (( CURRENT == 2 )); then
    local -a commands=({names})
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words; (( CURRENT-- ))
  case $command in
{cases}  esac
}}
compdef _rxchat rxchat
"""


def _zsh_case(words: Words) -> str:
    rows: list[str] = []
    for option, what in words.options.items():
        row = f"{option}[{_plain(what)}]"
        if option in words.taking:
            values = words.taking[option]
            row += f":value:({' '.join(values)})" if values else ":value:_files"
        rows.append(_quoted(row))
    rows.append(_quoted(f"*:word:({' '.join(words.others)})"))
    return f"    {words.name}) _arguments {' '.join(rows)};;\n"


def _fish(commands: Sequence[Words]) -> str:
    lines = ["type -q rxchat; or function rxchat; python -m rxchat $argv; end"]
    lines.append("complete -c rxchat -e")
    lines += [
        f"complete -c rxchat -n __fish_use_subcommand -a {w.name} -d {_quoted(w.what)}"
        for w in commands
    ]
    for words in commands:
        within = f"complete -c rxchat -n '__fish_seen_subcommand_from {words.name}'"
        for option, what in words.options.items():
            how = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            values = words.taking.get(option)
            takes = "" if values is None else f" -r -a {_quoted(' '.join(values))}"
            lines.append(f"{within} {how}{takes} -d {_quoted(what)}")
        if words.others:
            lines.append(f"{within} -f -a {_quoted(' '.join(words.others))}")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Without what means something in a specification of zsh's."""
    return "".join(" " if char in "[]:\\" else char for char in text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "").replace("\n", " ") + "'"


SHELLS: dict[str, Callable[[Sequence[Words]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
