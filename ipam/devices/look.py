"""Look: everything that this host's kernel says of its NICs and GPUs, as one Sighting.

Place: the agent calls it now and then, in a thread of its own: a driver may take its time. Must not change
anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from ipam.devices import links, sysfs
from ipam.devices.links import VfLink
from model.hardware import format_pci
from model.sighting import MOST_FINDINGS, MOST_TEXT, Oddity, SeenPf, Sighting

ROOT: Final = Path("/sys")

_VLANS: Final = 0xFFF

Links = Callable[[str], tuple[VfLink, ...]]
Modes = Callable[[Iterable[str]], dict[str, str]]


def look(root: Path, ask_links: Links, ask_modes: Modes) -> Sighting:
    """The tree at `root`, with what `ask_links` and `ask_modes` add to its PFs that can have VFs."""
    seen = sysfs.observe(root)
    able = [pf for pf in seen.pfs if pf.total]
    oddities = list(seen.oddities)
    modes: dict[str, str] = {}
    if able:
        try:
            modes = ask_modes([format_pci(pf.pci) for pf in able])
        except OSError as error:
            oddities.append(_odd("devlink-missing", "devlink", error))
    pfs = []
    for pf in seen.pfs:
        if pf.vfs and pf.netdev:
            try:
                pf = _with_links(pf, ask_links(pf.netdev))
            except OSError as error:
                oddities.append(_odd("netlink-failed", pf.netdev, error))
        pfs.append(replace(pf, eswitch=modes.get(format_pci(pf.pci), "")))
    oddities.sort(key=lambda each: (each.rule, each.where, each.message))
    return Sighting(tuple(pfs), seen.gpus, tuple(oddities[:MOST_FINDINGS]))


def observe(root: Path = ROOT) -> Sighting:
    """What this host has. Netlink tells of this network namespace."""

    # Here, not above: pyroute2 takes a fifth of a second, and hosts without VFs never need it.
    def modes(addresses: Iterable[str]) -> dict[str, str]:
        from ipam.devices import eswitch  # noqa: PLC0415 - see above

        return eswitch.observe(addresses)

    return look(root, links.observe, modes)


def _with_links(pf: SeenPf, told: tuple[VfLink, ...]) -> SeenPf:
    known = {link.index: link for link in told}
    vfs = tuple(
        replace(
            vf,
            mac=link.mac,
            node_guid=link.node_guid,
            port_guid=link.port_guid,
            vlan=link.vlan[0] & _VLANS if link.vlan is not None else 0,
        )
        if (link := known.get(vf.index)) is not None
        else vf
        for vf in pf.vfs
    )
    return replace(pf, vfs=vfs)


def _odd(rule: str, where: str, error: OSError) -> Oddity:
    return Oddity(rule, where[:MOST_TEXT], (error.strerror or str(error))[:MOST_TEXT])
