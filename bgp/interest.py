"""Interest: which received routes concern this host at all, told from raw bytes, before anything is decoded.

Place: made from the snapshot by `bgp.learn`, sent by the client, used by the speaker's relay. A hypervisor
with 8 tenants behind a reflector with 150,000 routes decodes those of its tenants only; the relay keeps the
others as bytes, so that they are there at once when a tenant comes. What it lets through is for the guard to
judge: it may be wider than what the guard accepts, never narrower. Must not hold values of routes.

A route concerns the host if it bears a route target that somebody here imports, or the VNI of a network or
VRF that is here: without the route target that is a mistake or an attack, and is to be seen as such.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bgp import wire
from bgp.codec import attributes, communities, nlri, update
from bgp.codec.malformed import Malformed
from model.ids import Vni
from model.segments import import_target
from model.snapshot import Snapshot
from model.targets import PLAIN, Rules

_PMSI_LABEL: Final = slice(2, 5)


@dataclass(frozen=True, slots=True)
class Interest:
    """`targets`: route targets, 8 octets each; `vnis`: 3 octets each, as labels carry them."""

    targets: frozenset[bytes] = frozenset()
    vnis: frozenset[bytes] = frozenset()

    def attributes(self, raw: bytes) -> bool:
        """Whether routes with these path attributes concern us. What can't be cut up does: it is to be
        counted as what it is."""
        try:
            fields = attributes.split(raw)
        except Malformed:
            return True
        for one in fields:
            if one.code == attributes.EXTENDED_COMMUNITIES:
                value = one.value
                size = communities.SIZE
                if len(value) % size or not self.targets.isdisjoint(
                    value[at : at + size] for at in range(0, len(value), size)
                ):
                    return True
            elif one.code == attributes.PMSI_TUNNEL and one.value[_PMSI_LABEL] in self.vnis:
                return True
        return False

    def label(self, raw: bytes) -> bool:
        """Whether a well-formed NLRI bears a VNI of ours."""
        return nlri.label(raw) in self.vnis


NOTHING: Final = Interest()


def interest_of(snapshot: Snapshot) -> Interest:
    """Of a host with this snapshot: all its networks' and VRFs' route targets and VNIs, and the ES-Import
    route targets of the segments that hosts are declared to be on (RFC 7432 section 7.6)."""
    if snapshot.cluster is None:
        return NOTHING
    asn, all_of_them = snapshot.cluster.asn, tuple(_ruled(snapshot))
    targets = frozenset[bytes]().union(*(rules.imported(asn, vni) for vni, rules in all_of_them))
    targets |= {import_target(one) for host in snapshot.hypervisors.values() for one in host.segments}
    return Interest(targets, frozenset(vni.to_bytes(3, "big") for vni, _ in all_of_them))


def _ruled(snapshot: Snapshot) -> Iterator[tuple[Vni, Rules]]:
    """VNI and rules of each network and VRF. Only tenants' and networks' rules can be written out."""
    yield from ((network.vni, network.rules) for network in snapshot.networks.values())
    yield from ((tenant.l3vni, tenant.rules) for tenant in snapshot.tenants.values() if tenant.l3vni)
    for vrfs in (snapshot.externals, snapshot.peerings):
        yield from ((vrf.l3vni, PLAIN) for vrf in vrfs.values() if vrf.l3vni)


def pack(interest: Interest | None) -> dict[str, list[str]] | None:
    """As the socket carries it; None stands for everything."""
    if interest is None:
        return None
    return {name: sorted(one.hex() for one in getattr(interest, name)) for name in ("targets", "vnis")}


def unpack(message: Any) -> Interest | None:
    """The inverse of `pack`; `wire.Broken` for anything else."""
    if message is None:
        return None
    if not isinstance(message, Mapping):
        raise wire.Broken("an interest is not an object")
    parts = []
    for name, size in (("targets", communities.SIZE), ("vnis", 3)):
        values = message.get(name)
        if not isinstance(values, list):
            raise wire.Broken(f"{name} of an interest are not a list")
        parts.append(frozenset(wire.octets(one) for one in values))
        if any(len(one) != size for one in parts[-1]):
            raise wire.Broken(f"{name} of an interest have {size} octets each")
    return Interest(*parts)


def is_readable(raw: bytes) -> bool:
    """Whether an NLRI has a key and a label."""
    try:
        nlri.check(raw)
    except Malformed:
        return False
    return True


def narrow(parts: update.Parts, reach: tuple[bytes, ...], unreach: tuple[bytes, ...]) -> bytes | None:
    """The body of an UPDATE that says no more than these of its NLRIs; None if that is nothing."""
    if not reach and not unreach and not parts.end_of_rib:
        return None
    hop, rest = (parts.next_hop, parts.rest) if reach else (b"", b"")
    return update.join(update.Parts(reach, hop, unreach, rest, parts.end_of_rib))
