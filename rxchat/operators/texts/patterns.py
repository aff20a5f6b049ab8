"""Ready patterns: what keys, addresses and numbers of people look like, and how to tell them.

An expression finds what may be one; where there is a checksum, or a parser, it has the last word.
None of them is perfect: they would rather cover up too much than show a secret, but leave dates,
times, versions and amounts alone. Phone numbers in particular are written in more ways than these.

No part of them can match one text in many ways: they are tried at every character.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from rxchat.operators.texts.finding import Pattern

__all__ = ["CARDS", "EMAILS", "IBANS", "IPS", "KEYS", "PHONES"]


def _luhn(digits: str) -> bool:
    """The checksum of ISO/IEC 7812."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _is_card(text: str) -> bool:
    """A card's number; what follows it may be its code."""
    digits = re.sub(r"\D", "", text)
    usual = digits[: 15 if digits[:2] in ("34", "37") else 16]
    return len(set(digits)) > 1 and (_luhn(digits) or _luhn(usual))


def _is_ip(text: str) -> bool:
    if not re.search(r"\d", text):  # as `a::b` in a program
        return False
    for candidate in (text, text.removesuffix(":")):
        try:
            ip_address(candidate)
        except ValueError:
            continue
        return True
    return False


def _is_iban(text: str) -> bool:
    """The checksum of ISO 13616; words in capitals may follow."""
    groups = text.split(" ")
    for count in range(len(groups), 0, -1):
        number = "".join(groups[:count])
        moved = number[4:] + number[:4]
        if len(number) >= 15 and int("".join(str(int(sign, 36)) for sign in moved)) % 97 == 1:
            return True
    return False


KEYS = Pattern(
    re.compile(
        r"""
        (?<![A-Za-z0-9])
        (?: sk-(?=[\w-]{0,99}\d)[\w-]{16,}                 # OpenAI, Anthropic, DeepSeek
          | (?:gsk_|r8_|hf_|nvapi-|xai-|pplx-|tgp_v1_|sbp_|npm_|glpat-|dop_v1_|pypi-)[\w-]{20,}
          | AIza[\w-]{35}                                   # Google
          | (?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}             # AWS
          | gh[opsur]_[A-Za-z0-9]{30,} | github_pat_\w{22,}
          | (?:xox[a-z]|xapp)-[A-Za-z0-9-]{10,}             # Slack
          | (?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,} | whsec_[\w+/=]{16,}
          | eyJ[\w-]{12,}(?:\.[\w-]+){0,4}                  # JSON web tokens
          | (?i:(?:aws_)?secret[_-]?(?:access[_-]?)?key)\W{1,8}[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])
          | (?i:bearer)[ ]{1,4}(?=[a-zA-Z._~+/=-]{0,64}\d)[\w.~+/=-]{15,}[\w~+/=-] )
        | -----BEGIN[ ](?:[A-Z]{1,12}[ ]){0,2}PRIVATE[ ]KEY-----
          (?:(?:\s|\\[nr]){0,4}+[A-Za-z0-9+/=]{16,80}+){0,90}+
          (?:(?:\s|\\[nr]){0,4}+[A-Za-z0-9+/=]{0,15}+(?:\s|\\[nr]){0,4}+
             -----END[ ](?:[A-Z]{1,12}[ ]){0,2}PRIVATE[ ]KEY-----)?+
        """,
        re.VERBOSE | re.ASCII,
    ),
    longest=8_192,
)
"""Keys of services, tokens, and private keys in PEM."""

EMAILS = Pattern(
    r"[\w%+](?:[\w.%+-]{0,63}+)@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}", longest=320
)
"""E-mail addresses, in any script."""

CARDS = Pattern(r"(?<![\d.,-])[2-6](?:[ \u00a0-]?\d){12,18}(?!\d)", longest=40, check=_is_card)
"""Numbers of payment cards: 13 to 19 digits with a right checksum, also in groups."""

PHONES = Pattern(
    re.compile(
        r"""
        (?<![\w.+/-]) (?!\d\d[ /.-]\d\d[ /.-](?:19|20)\d\d(?!\d))   # which is a date
        (?: (?:\+|00)[1-9](?:\)?[ \u00a0./-]{0,2}\(?\d){6,14} # international
          | (?:1[ .-])?(?:\([2-9]\d\d\)[ ]?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}  # North American
          | \(0[1-9]\d{0,4}\)[ ]?\d(?:[ /-]?\d){4,9}               # national
          | 0[1-9]\d{0,4}[ /-]\d(?:[ /-]?\d){5,9}
          | 0[1-9]\d{8,10} )
        (?!\d)
        """,
        re.VERBOSE,
    ),
    longest=80,
)
"""Phone numbers: international ones, and the national forms that are most usual."""

IPS = Pattern(
    r"(?<![\w.:])(?:(?:\d{1,3}\.){3}\d{1,3}"
    r"|(?:[\da-fA-F]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[\da-fA-F]{0,4}))(?!\w|\.\d)",
    longest=64,
    check=_is_ip,
)
"""Addresses of the internet, versions 4 and 6."""

IBANS = Pattern(r"(?<!\w)[A-Z]{2}\d\d(?: ?[A-Z0-9]){11,30}(?!\w)", longest=80, check=_is_iban)
"""Numbers of bank accounts, by their checksum."""
