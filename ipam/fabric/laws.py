"""Laws: what opensm.conf may not say on a fabric whose tenants are to be kept apart.

Place: pure; read when the fabric's daemon begins, over the file that packaging/opensm shows. Must not read or
print a key: a fault names the setting only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from model.errors import Fault

_ORDINARY: Final = "0x0000000000000001"
_LEVELS: Final = frozenset({"1", "2", "3"})


def _key(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return 0


LAWS: Final[tuple[tuple[str, str, Callable[[str], bool], str], ...]] = (
    (
        "m_key",
        "0",
        lambda said: _key(said) != 0,
        "give it 16 random hex digits: without, any host writes tables",
    ),
    (
        "m_key_protection_level",
        "0",
        lambda said: said in _LEVELS,
        "set 1: at 0 ports tell the M_Key to who asks",
    ),
    ("m_key_lease_period", "0", lambda said: said.isdecimal() and said.strip("0") != "", "set 60 (seconds)"),
    ("sm_key", _ORDINARY, lambda said: _key(said) not in (0, 1), "give it 16 random hex digits"),
    ("sa_key", _ORDINARY, lambda said: _key(said) not in (0, 1), "give it 16 random hex digits"),
    (
        "part_enforce",
        "both",
        lambda said: said == "both",
        "set both: switches shall drop foreign packets as well",
    ),
    (
        "no_partition_enforcement",
        "FALSE",
        lambda said: said == "FALSE",
        "leave it out: part_enforce is newer",
    ),
    ("allow_both_pkeys", "FALSE", lambda said: said == "FALSE", "set FALSE: a port has one membership"),
    ("console", "off", lambda said: said in ("off", "local"), "set off: it asks nobody for a password"),
)
"""Setting, OpenSM's own default, whether what is said will do, remedy."""


def settings(text: str) -> Mapping[str, str]:
    """Names and values of an opensm.conf; the last mention counts, as for OpenSM."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, *value = line.partition("#")[0].split(maxsplit=1)[:2] or [""]
        if name:
            found[name] = value[0].strip() if value else ""
    return found


def faults(said: Mapping[str, str], partitions: str) -> tuple[Fault, ...]:
    """What is wrong with these settings; `partitions`: where the file is that Ringfence writes."""
    out = [
        Fault("opensm.conf", "opensm-open", f"{name} is not safe", remedy, path=name)
        for name, usual, good, remedy in LAWS
        if not good(said.get(name, usual))
    ]
    if said.get("partition_config_file", "/etc/opensm/partitions.conf") != partitions:
        remedy = f"set it to {partitions}, or name the other one to ringfenced fabric"
        out.append(
            Fault("opensm.conf", "opensm-file", "it reads another file", remedy, path="partition_config_file")
        )
    return tuple(out)
