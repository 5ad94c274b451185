"""Acl: the rules of one leaf as a policy file of Cumulus Linux's `cl-acltool`, in the form of iptables.

Place: writes down what `rules` says. Must not guess: a port that nobody named has no rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ipam.leaves.rules import DROPS, Drop, Socket

_CHAINS = (("INPUT", "-i"), ("FORWARD", "-i"), ("FORWARD", "-o"), ("OUTPUT", "-o"))


def acl(fabric: str, leaf: str, sockets: Sequence[Socket]) -> str:
    """The file of one leaf, for /etc/cumulus/acl/policy.d; `cl-acltool -i` installs it."""
    lines = [f"# Fabric {fabric}, leaf {leaf or '(not said)'}: no VXLAN and no BGP from or to VFs."]
    for section in ("iptables", "ip6tables"):
        lines += ["", f"[{section}]"]
        for each in sockets:
            place = f"{each.node}/{each.pf}"
            if each.port:
                lines += [f"# {each.rail}: {place}", *_of_port(each.port)]
            else:
                lines += [f"# {each.rail}: {place} HAS NO RULE: say --port {place}=NAME"]
    return "\n".join(lines) + "\n"


def _of_port(port: str) -> Iterator[str]:
    for chain, side in _CHAINS:
        for drop in DROPS:
            yield f"-A {chain} {side} {port} {_match(drop)} -j DROP"


def _match(drop: Drop) -> str:
    return f"-p {drop.protocol} --{'dport' if drop.side == 'destination' else 'sport'} {drop.port}"
