"""Connections as the userspace data path of Open vSwitch keeps them, as far as this pipeline uses them.

Place: under the fake switch. A zone knows connections by the tuples of both directions; what is at its limit
or cannot be told apart is let on untranslated, as Open vSwitch does it. ICMP errors, which carry a packet
inside, have no form here: labs show those.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from model.flow import End
from pipelines import fields as f
from pipelines.tracking import Commit, Packet

TCP = 6
_PORTS = {TCP: ("tcp_src", "tcp_dst"), f.UDP: ("udp_src", "udp_dst")}
PORTS = range(1024, 1 << 16)
"""Which source ports a connection may get whose own is taken."""


@dataclass(frozen=True)
class Tuple:
    """One direction; ports are 0 where the protocol has none."""

    kind: int
    proto: int
    source: int
    target: int
    sport: int = 0
    dport: int = 0

    @property
    def back(self) -> Tuple:
        return Tuple(self.kind, self.proto, self.target, self.source, self.dport, self.sport)


@dataclass
class Connection:
    """`answers`: what its replies look like before they are translated back."""

    asked: Tuple
    answers: Tuple
    answered: bool = False


@dataclass
class Conntrack:
    """`limits`: how many connections a zone may have; a zone that is not named has no limit."""

    limits: dict[int, int] = field(default_factory=dict)
    zones: dict[int, list[Connection]] = field(default_factory=dict)

    def flush(self, zone: int) -> None:
        self.zones.pop(zone, None)

    def track(self, zone: int, commit: Commit | None, packet: Packet) -> Packet:
        """See `pipelines.walk.Tracker`."""
        seen, known = _tuple(packet), self.zones.setdefault(zone, [])
        for one in known:
            if seen in (one.asked, one.answers):
                return {"ct_zone": zone} | _known(one, seen)
        state = {"ct_zone": zone, "ct_state": f.CT_TRACKED | f.CT_NEW}
        if commit is None or len(known) >= self.limits.get(zone, 1 << 32):
            return state
        wanted = _translated(seen, commit.nat)
        free = self._free(known, wanted)
        if free is None:
            return state
        known.append(Connection(seen, free.back))
        return state | _fields(free)

    @staticmethod
    def _free(known: list[Connection], wanted: Tuple) -> Tuple | None:
        taken = {one.answers for one in known} | {one.asked for one in known}
        if wanted.back not in taken:
            return wanted
        others = (replace(wanted, sport=port) for port in PORTS) if wanted.sport else ()
        return next((other for other in others if other.back not in taken), None)


def _known(one: Connection, seen: Tuple) -> dict[str, int]:
    """Forward it gets what the first packet got; back, the first packet's own ends."""
    if seen == one.asked:
        state = f.CT_ESTABLISHED if one.answered else f.CT_NEW
        return {"ct_state": f.CT_TRACKED | state} | _fields(one.answers.back)
    one.answered = True
    return {"ct_state": f.CT_TRACKED | f.CT_ESTABLISHED | f.CT_REPLY} | _fields(one.asked.back)


def _tuple(packet: Packet) -> Tuple:
    kind, proto = packet.get("eth_type", 0), packet.get("ip_proto", 0)
    source, target = ("ipv6_src", "ipv6_dst") if kind == f.IPV6 else ("ip_src", "ip_dst")
    sport, dport = (packet.get(name, 0) for name in _PORTS.get(proto, ("", "")))
    return Tuple(kind, proto, packet.get(source, 0), packet.get(target, 0), sport, dport)


def _translated(seen: Tuple, nat: tuple[End, int] | None) -> Tuple:
    if nat is None:
        return seen
    end, address = nat
    return replace(seen, source=address) if end is End.SOURCE else replace(seen, target=address)


def _fields(seen: Tuple) -> dict[str, int]:
    source, target = ("ipv6_src", "ipv6_dst") if seen.kind == f.IPV6 else ("ip_src", "ip_dst")
    made = {source: seen.source, target: seen.target}
    ports = _PORTS.get(seen.proto)
    return made if ports is None else made | {ports[0]: seen.sport, ports[1]: seen.dport}
