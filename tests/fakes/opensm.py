"""What OpenSM 3.3 makes of a partitions.conf, with its guesses: the other side of `ipam.fabric.grammar`.

Written from what opensm(8) says and from what OpenSM does in tests/integration/product/test_opensm.py: names
may be cut short, the second mention of a port counts, unknown memberships are limited, a bad line is passed
over. Knows no multicast groups and no ports but those that are named.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LINE = 4094
DEFAULT = 0x7FFF
WORDS = ("ALL", "ALL_CAS", "ALL_SWITCHES", "ALL_ROUTERS", "SELF")


@dataclass
class Read:
    """PKey -> port (a word or a GUID) -> whether it is a full member; PKey -> flags."""

    members: dict[int, dict[str | int, bool]] = field(default_factory=dict)
    flags: dict[int, set[str]] = field(default_factory=dict)


@dataclass
class _Open:
    pkey: int
    full: bool = False


def number(text: str) -> int | None:
    """strtoul with base 0; None where it would leave something over."""
    try:
        return int(text, 8) if text[:1] == "0" and text[1:].isdigit() else int(text, 0)
    except ValueError:
        return None


def read(text: str) -> Read:
    """All that it would configure."""
    found = Read()
    opened: _Open | None = None
    for whole in text.splitlines(keepends=True):
        for line in [whole[i : i + LINE] for i in range(0, len(whole), LINE)]:
            rest = line.split("#")[0]
            while rest.strip(" \t\n"):
                statement, semicolon, rest = rest.partition(";")
                try:
                    opened = _statement(found, opened, statement)
                except ValueError:
                    break
                if semicolon:
                    opened = None
    return found


def _statement(found: Read, opened: _Open | None, text: str) -> _Open:
    if opened is None:
        head, colon, text = text.partition(":")
        if not colon:
            raise ValueError(text)
        first, *flags = head.split(",")
        name, equals, key = (part.strip(" \t\n") for part in first.partition("="))
        if not equals and name[:1].isdigit():
            key = name
        pkey = number(key)
        if pkey is None:
            raise ValueError(head)
        opened = _Open(pkey & DEFAULT)
        found.members.setdefault(opened.pkey, {})
        for flag in flags:
            word, _, value = (part.strip(" \t\n") for part in flag.partition("="))
            if "defmember".startswith(word) and word:
                opened.full = "full".startswith(value)
            else:
                found.flags.setdefault(opened.pkey, set()).add(word)
    for part in text.split(","):
        who, equals, how = (piece.strip(" \t\n") for piece in part.partition("="))
        if not who:
            continue
        full = "full".startswith(how) if equals else opened.full
        word = next((word for word in WORDS if word.startswith(who)), None)
        guid = number(who)
        if word is None and not guid:
            raise ValueError(part)
        found.members[opened.pkey][word or int(guid or 0)] = full
    return opened
