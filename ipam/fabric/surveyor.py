"""Surveyor: the program that asks ports; `python -m ipam.fabric.surveyor [-C DEVICE] [-P PORT] SECONDS`.

Place: started by `reading`, which ends it when it hangs. From stdin a line for each port, its GUID and the
LID that it had last (0: unknown); to stdout a line for each that is known, as soon as it is: GUID, LID,
capacity of its table, entries up to the last one that is not zero; or the GUID alone: no answer. At the end
stands END. Must not print half a line that looks whole.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Final

from ipam.fabric.mad import LIDS
from ipam.fabric.survey import Found, Survey
from ipam.fabric.umad import Missing, UmadError, open_port
from model.fabric import Guid

END: Final = "end"
NO_LIBRARY: Final = 3
NO_PORT: Final = 4


def main() -> int:
    """0: asked, whatever came of it."""
    parser = argparse.ArgumentParser(prog="surveyor")
    parser.add_argument("-C", dest="device", default="")
    parser.add_argument("-P", dest="port", type=int, default=0)
    parser.add_argument("seconds", type=float)
    given = parser.parse_args()
    began = time.monotonic()
    wanted = parse_wanted(sys.stdin)
    try:
        wire = open_port(given.device, given.port)
    except UmadError as error:
        sys.stderr.write(f"{error}\n")
        return NO_LIBRARY if isinstance(error, Missing) else NO_PORT
    left = given.seconds - (time.monotonic() - began)
    try:
        for guid, found in Survey(wire, wire.home, time.monotonic).ask(wanted, left):
            sys.stdout.write(line(guid, found))
        sys.stdout.write(f"{END}\n")
        sys.stdout.flush()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return NO_PORT
    return 0


def line(guid: Guid, found: Found | None) -> str:
    """What is said of a port."""
    if found is None:
        return f"{guid:016x}\n"
    entries = list(found.table)
    while entries and not entries[-1]:
        entries.pop()
    words = (f"{guid:016x}", str(found.lid), str(len(found.table)), *(f"{entry:04x}" for entry in entries))
    return " ".join(words) + "\n"


def parse_wanted(lines: Iterable[str]) -> Mapping[Guid, int]:
    """GUIDs and LIDs, from stdin."""
    words = (text.split() for text in lines)
    return {Guid(int(guid, 16)): int(lid) for guid, lid in words}


def parse(text: str) -> Mapping[Guid, Found | None]:
    """All lines that are whole. ValueError: something else printed them."""
    told: dict[Guid, Found | None] = {}
    for row in text.split("\n")[:-1]:
        if row == END:
            break
        guid, *words = row.split(" ")
        if not words:
            told[Guid(int(guid, 16))] = None
            continue
        lid, capacity, entries = int(words[0]), int(words[1]), [int(word, 16) for word in words[2:]]
        if lid not in LIDS or len(entries) > capacity or any(entry >> 16 for entry in entries):
            raise ValueError("a port has a LID, and a table no more entries than its capacity")
        told[Guid(int(guid, 16))] = Found(lid, (*entries, *[0] * (capacity - len(entries))))
    return told


if __name__ == "__main__":
    sys.exit(main())
