"""Tracking: what a look-up among connections says of a packet, and the tracker that knows none.

Place: asked by `pipelines.walk`; the fake switch of the tests brings a tracker that remembers. Must not know
flows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from model.flow import End
from pipelines import fields as f

Packet = Mapping[str, int]
"""Names of OVS fields to their values; a field that a packet does not have is 0, as OVS sees it."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A connection is to be remembered. `nat`: what a new one gets as one of its ends; `label`: what is
    written into its label, of which `mask` has the bits."""

    nat: tuple[End, int] | None = None
    label: int = 0
    mask: int = 0

    def over(self, label: int) -> int:
        """What becomes of a label."""
        return label & ~self.mask | self.label


class Tracker(Protocol):
    """The connections that a walk looks packets up among."""

    def track(self, zone: int, commit: Commit | None, packet: Packet) -> Packet:
        """The fields that connection tracking writes, `ct_state` among them; see `model.flow.Ct`."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """The tracker of a trace: it knows no connection, so that every packet begins one."""

    def track(self, zone: int, commit: Commit | None, packet: Packet) -> Packet:
        found = {"ct_state": f.CT_TRACKED | f.CT_NEW, "ct_zone": zone} | beginning(packet)
        if commit is None:
            return found
        found["ct_label"] = commit.over(0)
        if commit.nat is None:
            return found
        end, address = commit.nat
        return found | {_ENDS[end, packet.get("eth_type", 0) == f.IPV6]: address}


def beginning(packet: Packet) -> dict[str, int]:
    """The tuple and the label of a connection that this packet begins."""
    six, proto = packet.get("eth_type", 0) == f.IPV6, packet.get("ip_proto", 0)
    ends = (
        (("ipv6_src", f.CT_SRC6), ("ipv6_dst", f.CT_DST6))
        if six
        else (("ip_src", f.CT_SRC), ("ip_dst", f.CT_DST))
    )
    cleared = dict.fromkeys((field.name for field in TUPLE), 0)
    found = cleared | {field.name: packet.get(name, 0) for name, field in ends}
    ports = zip(_PORTS.get(proto, ()), (f.CT_SPORT, f.CT_DPORT), strict=False)
    found |= {field.name: packet.get(name, 0) for name, field in ports}
    return found | {f.CT_PROTO.name: proto, f.CT_LABEL.name: 0}


TUPLE: Final = (f.CT_SRC, f.CT_DST, f.CT_SRC6, f.CT_DST6, f.CT_PROTO, f.CT_SPORT, f.CT_DPORT)
_PORTS: Final = {
    f.TCP: ("tcp_src", "tcp_dst"),
    f.UDP: ("udp_src", "udp_dst"),
    f.ICMP: ("icmp_type", "icmp_code"),
    f.ICMPV6: ("icmpv6_type", "icmpv6_code"),
}
"""Of SCTP the userspace data path knows no ports."""
_ENDS: Final = {
    (End.SOURCE, False): "ip_src",
    (End.DESTINATION, False): "ip_dst",
    (End.SOURCE, True): "ipv6_src",
    (End.DESTINATION, True): "ipv6_dst",
}
