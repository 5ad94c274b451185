"""VF counts: what VFs have sent and received, as their PF's driver tells rtnetlink.

Place: under `tallies`. Must not believe a driver that counts nothing: Linux tells zeros for it, and for a
device that could not be asked (rtnl_fill_vfinfo of net/core/rtnetlink.c), as if nothing had passed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from ipam.devices import links

_MAC, _STATS = 1, 8  # IFLA_VF_MAC, IFLA_VF_STATS of linux/if_link.h
_RX_PACKETS, _TX_PACKETS, _RX_BYTES, _TX_BYTES = 0, 1, 2, 3
_NEEDED: Final = frozenset({_RX_PACKETS, _TX_PACKETS, _RX_BYTES, _TX_BYTES})

COUNTING: Final = frozenset({"mlx5_core", "mlx4_core", "ixgbe", "i40e", "ice"})
"""Drivers of PFs that have ndo_get_vf_stats (ixgbe since Linux 6.1): 64 bits, from the VF's side. They follow
their own narrower registers (ixgbe 32 and 36 bits, i40e and ice 48). Not: igb, bnxt_en. The RoCE packets of a
mlx5 VF are in it (mlx5_eswitch_get_vport_stats adds the ib_ counters to the eth_ ones)."""


@dataclass(frozen=True, slots=True)
class VfCount:
    """Since the VF was made, or as its driver has it: packets and layer-2 bytes."""

    sent: tuple[int, int]
    received: tuple[int, int]


def observe(netdev: str) -> dict[int, VfCount]:
    """Of a PF's netdev, by number of the VF. OSError if the kernel does not answer."""
    return parse(links.ask(netdev, links.WITH_VFS))


def parse(data: bytes) -> dict[int, VfCount]:
    """An answer with statistics. VFs of which something is missing are left out: a list of more than 64 KiB
    (some 200 VFs with statistics) is cut off by the kernel."""
    found = {}
    for told in links.vf_infos(data):
        mac = told.get(_MAC, b"")
        said = {
            kind: struct.unpack_from("=Q", value)[0]
            for kind, value in links.attributes(told.get(_STATS, b""))
            if len(value) >= 8
        }
        if len(mac) >= 4 and said.keys() >= _NEEDED:
            number = struct.unpack_from("=I", mac)[0]
            found[number] = VfCount(
                (said[_TX_PACKETS], said[_TX_BYTES]), (said[_RX_PACKETS], said[_RX_BYTES])
            )
    return found
