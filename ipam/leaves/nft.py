"""Nft: the rules of one leaf for nftables, for switches whose ports are interfaces of Linux.

Place: writes down what `rules` says; loaded by `nft -f`. By interface, not by address: a tenant may send any
source; in both families, for a frame between two ports of a bridge passes no rule of the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from ipam.leaves.rules import DROPS, Drop, Socket

TABLE: Final = "ringfence_rails"
PORT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}")
"""An interface of Linux: 15 octets at most (linux/if.h)."""
_PRIORITY: Final = -150
"""Before the switch's own filter rules."""
_HOOKS: Final = (("input", ("iifname",)), ("forward", ("iifname", "oifname")), ("output", ("oifname",)))


def nft(fabric: str, leaf: str, sockets: Sequence[Socket]) -> str:
    """The file of one leaf: loading it again replaces what it said before, and nothing else."""
    lines = [
        f"# Fabric {fabric}, leaf {leaf or '(not said)'}: no VXLAN and no BGP from or to VFs.",
        *_named(sockets),
    ]
    names = ", ".join(f'"{name}"' for name in dict.fromkeys(each.port for each in sockets if each.port))
    for family in ("inet", "bridge"):
        table = f"table {family} {TABLE}"
        lines += [table, f"delete {table}", f"{table} {{", "\tset ports {", "\t\ttype ifname"]
        lines += [f"\t\telements = {{ {names} }}"] if names else []
        lines += ["\t}"]
        for hook, sides in _HOOKS:
            lines += [f"\tchain {hook} {{"]
            lines += [f"\t\ttype filter hook {hook} priority {_PRIORITY}; policy accept;"]
            lines += [f"\t\t{side} @ports jump barred" for side in sides]
            lines += ["\t}"]
        lines += ["\tchain barred {", *(f"\t\t{_match(drop)} counter drop" for drop in DROPS), "\t}", "}"]
    return "\n".join(lines) + "\n"


def _match(drop: Drop) -> str:
    return f"{drop.protocol} {'dport' if drop.side == 'destination' else 'sport'} {drop.port}"


def _named(sockets: Iterable[Socket]) -> list[str]:
    """Which port is whose; those that have no name are in no rule."""
    return [
        f"# {each.rail}: {each.node}/{each.pf} at {each.port}"
        if each.port
        else f"# {each.rail}: {each.node}/{each.pf} HAS NO RULE: say --port {each.node}/{each.pf}=NAME"
        for each in sockets
    ]
