"""Connections: flushes, bounds and lists the conntrack zones of the local data path.

Place: called by the agent's hands on the switch. Speaks to ovs-vswitchd over its control socket (the commands
of ovs-appctl dpctl, which work on the kernel's conntrack and on that of the userspace data path alike). Must
not decide which zones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.southbound import unixctl

_ORIGINAL: Final = re.compile(r"(?P<protocol>[^,(]+),orig=\((?P<tuple>[^)]*)\)")
_LABEL: Final = re.compile(r",labels=0x([0-9a-f]{1,32})\b")
_COUNT: Final = re.compile(r"\bzone=(\d+),limit=\d+,count=(\d+)")


@dataclass(frozen=True, slots=True)
class Connection:
    """`label`: ct_label, 128 bits. `words`: protocol and original tuple, for people."""

    label: int
    words: str


def flush(rundir: Path, zone: int) -> None:
    """Forget all connections of a zone. Unavailable or Invalid if ovs-vswitchd does not do it.

    Open vSwitch 3.1 takes no name of a data path here, against its manual: the host has to have one only.
    """
    unixctl.call(rundir, "dpctl/flush-conntrack", f"zone={zone}")


def limit(rundir: Path, datapath: str, limits: Iterable[tuple[int, int]]) -> None:
    """Bound the connections of zones, or unbound those whose limit is 0."""
    listed = tuple(limits)
    bounded = [f"zone={zone},limit={most}" for zone, most in listed if most]
    free = ",".join(str(zone) for zone, most in listed if not most)
    if bounded:
        unixctl.call(rundir, "dpctl/ct-set-limits", _name(datapath), *bounded)
    if free:
        unixctl.call(rundir, "dpctl/ct-del-limits", _name(datapath), f"zone={free}")


def count(rundir: Path, zone: int) -> int:
    """How many connections a bounded zone has; 0 if that is not counted."""
    found = dict(_COUNT.findall(unixctl.call(rundir, "dpctl/ct-get-limits", f"zone={zone}")))
    return int(found.get(str(zone), 0))


def labelled(rundir: Path, zone: int) -> tuple[Connection, ...]:
    """The connections of a zone that bear a label, in the data path's order. It costs by how many there are,
    and Open vSwitch does nothing else meanwhile: ask for `count` first."""
    return tuple(parse(unixctl.call(rundir, "dpctl/dump-conntrack", f"zone={zone}")))


def parse(text: str) -> Iterable[Connection]:
    """Of the lines that Open vSwitch lists (lib/ct-dpif.c, ct_dpif_format_entry)."""
    for line in text.splitlines():
        original, label = _ORIGINAL.match(line), _LABEL.search(line)
        if original is not None and label is not None:
            yield Connection(int(label[1], 16), _words(original["protocol"], original["tuple"]))


def _words(protocol: str, listed: str) -> str:
    known = dict(part.partition("=")[::2] for part in listed.split(","))
    source, target = known.get("src", "?"), known.get("dst", "?")
    if "dport" in known:
        source, target = (_at(a, known.get(p, "?")) for a, p in ((source, "sport"), (target, "dport")))
    kind = f" type {known['type']} code {known.get('code', '?')}" if "type" in known else ""
    return f"{protocol} {source} > {target}{kind}"


def _at(address: str, port: str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _name(datapath: str) -> str:
    """Of the data path of that kind."""
    return f"{datapath}@ovs-{datapath}"
