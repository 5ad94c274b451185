"""Connections as the userspace data path of Open vSwitch keeps them, as far as this pipeline uses them.

Place: under the fake switch. A zone knows connections by the tuples of both directions; what is at its limit
or cannot be told apart is let on untranslated and unremembered, as Open vSwitch does it. ICMP errors, which
carry a packet inside, have no form here and are errors about nothing: labs show others. Nor has the flag by
which a TCP packet answers: each of them may begin a connection. tests/contract/test_tracked.py asks a real
switch for the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from model.flow import End
from pipelines import fields as f
from pipelines.tracking import TUPLE, Commit, Packet

_PORTS = {f.TCP: ("tcp_src", "tcp_dst"), f.UDP: ("udp_src", "udp_dst")}
_KINDS = {f.ICMP: ("icmp_type", "icmp_code"), f.ICMPV6: ("icmpv6_type", "icmpv6_code")}
_ANSWERED = {f.ICMP: {8: 0, 13: 14, 15: 16}, f.ICMPV6: {128: 129}}
"""Kinds of ICMP that begin a connection, and what answers them; all others are invalid."""
_BACK = {
    proto: kinds | {answer: kind for kind, answer in kinds.items()} for proto, kinds in _ANSWERED.items()
}
PORTS = range(1024, 1 << 16)
"""Which source ports a connection may get whose own is taken."""


@dataclass(frozen=True)
class Tuple:
    """One direction; ports are 0 where the protocol has none, or the data path knows none (SCTP). Of ICMP
    they are type and code."""

    kind: int
    proto: int
    source: int
    target: int
    sport: int = 0
    dport: int = 0

    @property
    def back(self) -> Tuple:
        ports = (self.dport, self.sport)
        if self.proto in _BACK:
            ports = (_BACK[self.proto][self.sport], self.dport)
        return Tuple(self.kind, self.proto, self.target, self.source, *ports)

    @property
    def begins(self) -> bool:
        """Whether such a packet may be a connection's first."""
        return self.proto not in _ANSWERED or self.sport in _ANSWERED[self.proto]


@dataclass
class Connection:
    """`answers`: what its replies look like before they are translated back."""

    asked: Tuple
    answers: Tuple
    answered: bool = False
    label: int = 0


@dataclass
class Conntrack:
    """`limits`: how many connections a zone may have; a zone that is not named has no limit."""

    limits: dict[int, int] = field(default_factory=dict)
    zones: dict[int, list[Connection]] = field(default_factory=dict)

    def flush(self, zone: int) -> None:
        self.zones.pop(zone, None)

    def track(self, zone: int, commit: Commit | None, packet: Packet) -> Packet:
        """See `pipelines.tracking.Tracker`."""
        seen, known = _tuple(packet), self.zones.setdefault(zone, [])
        if seen is None:
            return _said(zone, f.CT_INVALID)
        for one in known:
            if seen in (one.asked, one.answers):
                return _known(zone, one, seen, commit)
        if not seen.begins:
            return _said(zone, f.CT_INVALID)
        state = _said(zone, f.CT_NEW, seen)
        if commit is None or len(known) >= self.limits.get(zone, 1 << 32):
            return state
        free = self._free(known, _translated(seen, commit.nat))
        if free is None:
            return state
        made = Connection(seen, free.back, label=commit.over(0))
        known.append(made)
        return state | _fields(free) | {f.CT_LABEL.name: made.label}

    @staticmethod
    def _free(known: list[Connection], wanted: Tuple) -> Tuple | None:
        taken = {one.answers for one in known} | {one.asked for one in known}
        if wanted.back not in taken:
            return wanted
        others = (replace(wanted, sport=port) for port in PORTS) if wanted.sport else ()
        return next((other for other in others if other.back not in taken), None)


def _known(zone: int, one: Connection, seen: Tuple, commit: Commit | None) -> Packet:
    """Forward it gets what the first packet got; back, the first packet's own ends."""
    if commit is not None:
        one.label = commit.over(one.label)
    if seen == one.asked:
        state, ends = (f.CT_ESTABLISHED if one.answered else f.CT_NEW), one.answers.back
    else:
        one.answered = True
        state, ends = f.CT_ESTABLISHED | f.CT_REPLY, one.asked.back
    return _said(zone, state, one.asked) | _fields(ends) | {f.CT_LABEL.name: one.label}


def _said(zone: int, state: int, asked: Tuple | None = None) -> dict[str, int]:
    """What stands in the fields of tracking; what is invalid has no tuple."""
    said = dict.fromkeys((field.name for field in (*TUPLE, f.CT_LABEL)), 0)
    said |= {f.CT_ZONE.name: zone, f.CT_STATE.name: f.CT_TRACKED | state}
    if asked is None:
        return said
    ends = (f.CT_SRC6, f.CT_DST6) if asked.kind == f.IPV6 else (f.CT_SRC, f.CT_DST)
    values = (asked.source, asked.target, asked.proto, asked.sport, asked.dport)
    fields = (*ends, f.CT_PROTO, f.CT_SPORT, f.CT_DPORT)
    return said | {field.name: value for field, value in zip(fields, values, strict=True)}


def _tuple(packet: Packet) -> Tuple | None:
    """None for what is never part of a connection."""
    kind, proto = packet.get("eth_type", 0), packet.get("ip_proto", 0)
    source, target = ("ipv6_src", "ipv6_dst") if kind == f.IPV6 else ("ip_src", "ip_dst")
    names = _PORTS.get(proto) or _KINDS.get(proto) or ("", "")
    sport, dport = (packet.get(name, 0) for name in names)
    if proto in _BACK and sport not in _BACK[proto]:
        return None
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
