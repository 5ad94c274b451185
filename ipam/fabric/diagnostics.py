"""Diagnostics: what ports and the subnet manager themselves say, asked with infiniband-diags.

Place: reads for `opensm`. Programs of others are run, one for each question (decision 0033); nothing is
changed. Must not guess at an answer: what can't be parsed is no answer.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TypeVar

from ipam.fabric.managers import Seen, parse_known, parse_master, parse_offering
from ipam.fabric.tables import parse_table
from model.fabric import Guid

_T = TypeVar("_T")
_AT_ONCE: Final = 4
"""Questions under way: each holds an agent of the local port, and the wire takes few at a time."""
_LIMIT: Final = 10.0
"""Seconds for a program; they try a port three times for a second each."""
_MOST: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """`device`: arguments that choose the local port, such as ("-C", "mlx5_0", "-P", "1").

    `environment`: added to this process' own. `directory`: where the programs run.
    """

    device: tuple[str, ...] = ()
    directory: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)

    def table(self, guid: Guid) -> tuple[int, ...] | None:
        """A port's table of partition keys, from the port; None = no answer."""
        return _parsed(parse_table, self._ask("smpquery", *self.device, "-G", "pkeys", f"0x{guid:016x}"))

    def tables(self, guids: Iterable[Guid]) -> dict[Guid, tuple[int, ...] | None]:
        """Those of many ports."""
        asked = sorted(set(guids))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip(asked, pool.map(self.table, asked), strict=True))

    def managers(self) -> tuple[Seen, ...] | None:
        """The master that this port obeys, all that it knows, and those who answer at ports that say they
        have one, each once: a master may take long to know another. None = no answer from the master.
        """
        master = _parsed(parse_master, self._ask("sminfo", *self.device))
        known = _parsed(parse_known, self._ask("saquery", *self.device, "SMIR"))
        lids = _parsed(parse_offering, self._ask("saquery", *self.device, "-s"))
        if master is None or known is None or lids is None:
            return None
        asked = (_parsed(parse_master, self._ask("sminfo", *self.device, str(lid))) for lid in lids)
        # What one says of itself is newer than what the master has heard.
        heard = {each.guid: each for each in (*known, *(each for each in asked if each is not None), master)}
        return tuple(heard[guid] for guid in sorted(heard))

    def _ask(self, *command: str) -> str | None:
        """What it prints; None if it fails, hangs, says too much or is missing."""
        environment = {**os.environ, "LC_ALL": "C", **self.environment}
        try:
            with subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd=self.directory,
                start_new_session=True,
            ) as process:
                try:
                    out, _ = process.communicate(timeout=_LIMIT)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    return None
        except OSError:
            return None
        if process.returncode or len(out) > _MOST:
            return None
        return out.decode("ascii", "replace")


def _parsed(parse: Callable[[str], _T], text: str | None) -> _T | None:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError:
        return None
