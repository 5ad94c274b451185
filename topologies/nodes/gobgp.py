"""GobgpNode: GoBGP in a node, a client of the lab's reflectors: it decodes what others say, and says what it
is told. It forwards nothing.

Place: at the edge of a fabric, outside of our product. Must not be configured by anything of ours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from topologies.cell import Cell
from topologies.directory import LabDirectory
from topologies.nodes.node import LabNode

UPLINK = "up0"
_API = "127.0.0.1:50051"
_TOOL_TIMEOUT = 60.0


class GobgpNode(LabNode):
    """`address` is its underlay address with prefix length, on the uplink `up0`."""

    def __init__(self, name: str, cell: Cell, lab: LabDirectory, address: str) -> None:
        super().__init__(name, cell, lab)
        self.cidr = address
        self._file = self.directory / "gobgp.json"
        command = ["gobgpd", "-t", "json", "-f", str(self._file), "--api-hosts", _API]
        self.daemon("gobgpd", command, ready=lambda: self.attempt(["gobgp", "global"]).ok)

    @property
    def address(self) -> str:
        """The underlay address without prefix length."""
        return self.cidr.partition("/")[0]

    def start(self, asn: int, reflectors: Sequence[str]) -> None:
        """Address the uplink and start gobgpd."""
        self.run(f"ip link set lo up\nip address replace {self.cidr} dev {UPLINK}\nip link set {UPLINK} up")
        families = [{"config": {"afi-safi-name": "l2vpn-evpn"}}]
        neighbors = [
            {"config": {"neighbor-address": peer, "peer-as": asn}, "afi-safis": families}
            for peer in reflectors
        ]
        own = {"config": {"as": asn, "router-id": self.address}}
        self._file.write_text(json.dumps({"global": own, "neighbors": neighbors}))
        self.daemons["gobgpd"].start()

    def say(self, route: str) -> None:
        """Originate an EVPN route, in the words of `gobgp global rib add`."""
        self.run(["gobgp", "global", "rib", "add", *route.split(), "-a", "evpn"], timeout=_TOOL_TIMEOUT)

    def take_back(self, route: str) -> None:
        """Withdraw what `say` said, in the same words."""
        self.run(["gobgp", "global", "rib", "del", *route.split(), "-a", "evpn"], timeout=_TOOL_TIMEOUT)

    def paths(self) -> list[dict[str, Any]]:
        """All EVPN paths, as it decodes them."""
        text = self.run(["gobgp", "-j", "global", "rib", "-a", "evpn"], timeout=_TOOL_TIMEOUT)
        found = json.loads(text) if text.strip() else {}
        return [path for paths in (found or {}).values() for path in paths]

    def version(self) -> str:
        """As the program says it: `gobgp version 3.10.0`."""
        return self.run(["gobgp", "--version"]).split()[-1]
