"""`python -m rxchat "question"`: one answer, as it comes."""

from __future__ import annotations

import argparse
import asyncio
import sys

from rxchat.cli import exits
from rxchat.cli.naming import add_provider_options, of_options
from rxchat.cli.pages import add_output_options, page_for, show
from rxchat.messages import system, user

__all__ = ["add", "answer"]


def add(parser: argparse.ArgumentParser) -> None:
    """What can be said to it."""
    parser.add_argument("question", help="what to ask; - reads it from standard input")
    add_provider_options(parser)
    parser.add_argument("--system", metavar="TEXT", help="what the model is to be")
    add_output_options(parser)
    parser.set_defaults(run=_run)


def _run(said: argparse.Namespace) -> int:
    return asyncio.run(answer(said))


async def answer(said: argparse.Namespace) -> int:
    """Stream the answer to standard output."""
    question = sys.stdin.read() if said.question == "-" else said.question
    told = [system(said.system)] if said.system else []
    await show(of_options(said)([*told, user(question)]), page_for(said))
    return exits.OK
