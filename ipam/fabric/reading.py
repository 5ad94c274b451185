"""Reading: the tables of many ports at once, from a process that asks them all over one wire.

Place: under `diagnostics`; `surveyor` is that process, so that a library that hangs, or takes its process
down, costs a reading and not the daemon. Must not report a port of which no whole line came.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Final

from ipam.fabric import programs
from ipam.fabric.surveyor import NO_LIBRARY, parse
from model.fabric import Guid

_PATIENCE: Final = 8.0
_EACH: Final = 0.004
"""Seconds for a survey, and for each port of it: ten times of what a fabric that answers needs."""
_GRACE: Final = 3.0
"""Seconds that the process has beside those of its survey, to begin and to end."""
_ROOT: Final = str(Path(__file__).resolve().parents[2])


def read(
    guids: Iterable[Guid],
    lids: MutableMapping[Guid, int],
    device: Iterable[str],
    environment: Mapping[str, str],
    directory: str,
) -> dict[Guid, tuple[int, ...] | None] | None:
    """Tables by port; None for a port that did not answer, or of which another one stands where it was.

    None for all of it: libibumad is not installed. `lids`: where ports were last time; kept up to date.
    `device`: arguments as for smpquery, -C and -P.
    """
    asked = tuple(guids)
    if not asked:
        return {}
    seconds = _PATIENCE + _EACH * len(asked)
    command = (sys.executable, "-P", "-m", "ipam.fabric.surveyor", *device, f"{seconds:.3f}")
    path = os.pathsep.join(word for word in (_ROOT, os.environ.get("PYTHONPATH", "")) if word)
    text = "".join(f"{guid:016x} {lids.get(guid, 0)}\n" for guid in asked)
    told = programs.run(command, text, {"PYTHONPATH": path, **environment}, directory, seconds + _GRACE)
    if told is None or told.code == NO_LIBRARY:
        return None
    try:
        found = parse(told.text)
    except ValueError:
        found = {}
    tables: dict[Guid, tuple[int, ...] | None] = {}
    for guid in asked:
        said = found.get(guid)
        if said is None:
            lids.pop(guid, None)
            tables[guid] = None
        else:
            lids[guid], tables[guid] = said.lid, said.table
    return tables
