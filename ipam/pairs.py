"""Pairs: addresses that ports may use besides their own, kept apart from everybody's own ones.

Place: beside `ipam.ports`. A pair may stand in several ports of a network (VRRP) but covers neither the
gateway nor another port's own address, so nothing that it covers is handed out. Must not write.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from ipam.claims import address_claim
from ipam.draft import Draft
from ipam.trial import Trial
from model.addresses import Address, Prefix, gateway
from model.errors import Conflict, Invalid
from model.intent import Network, Pair
from model.wanted import Kind, Reference, WantedPort, title

_FEW: Final = 64
"""Prefixes of up to so many addresses are looked up one by one, larger ones port by port."""


@dataclass(frozen=True, slots=True)
class Spans:
    """First and last numbers of what a network's pairs cover, sorted and apart, by IP version."""

    by_version: dict[int, list[tuple[int, int]]]

    def end_of(self, version: int, number: int) -> int | None:
        """The last number of the span that covers this one; None if none does."""
        spans = self.by_version.get(version, [])
        place = bisect_right(spans, number, key=itemgetter(0))
        return spans[place - 1][1] if place and number <= spans[place - 1][1] else None


def spans(draft: Draft, network: tuple[str, str], more: Iterable[Pair] = ()) -> Spans:
    """What the pairs of a network's ports cover, and `more`."""
    found: dict[int, set[tuple[int, int]]] = {}
    for prefix in (*(pair.prefix for _, pair in _stored(draft, network)), *(pair.prefix for pair in more)):
        found.setdefault(prefix.version, set()).add(_span(prefix))
    return Spans({version: _joined(each) for version, each in found.items()})


def _joined(found: set[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(found):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def check_pairs(trial: Trial, want: WantedPort, network: Network) -> bool:
    """Refuse written pairs that cover the gateway, another port's address, or another network."""
    sound = True
    own = Reference(Kind.PORT, want.name, want.tenant)
    for index, pair in enumerate(want.allowed or ()):
        path = f"spec.allowedAddresses[{index}]"
        ways = [gateway(s) for s in network.subnets if s.version == pair.prefix.version]
        if any(way in pair.prefix for way in ways):
            sound = False
            trial.refuse(
                Invalid,
                want,
                "pair-of-gateway",
                f"{pair.prefix} covers the gateway {ways[0]}",
                "Write the addresses that are meant, without the gateway's.",
                path,
            )
            continue
        holder = next(_holders(trial.draft, want, network, pair.prefix, own), None)
        if holder is not None:
            sound = False
            trial.refuse(
                Conflict,
                want,
                "pair-of-port",
                f"{pair.prefix} covers an own address of {title(holder)}",
                "Write only addresses that no other port has; give the other port another one first.",
                path,
            )
        sound = _check_elsewhere(trial, want, pair.prefix, path) and sound
    return sound


def check_written(trial: Trial, want: WantedPort, covered: Spans) -> bool:
    """Refuse written addresses that pairs of other ports cover, but for those that are written here too."""
    sound = True
    known = trial.draft.ports.get((want.tenant, want.name))
    kept = () if known is None else known.value.addresses
    for index, address in enumerate(want.addresses or ()):
        if address in kept or covered.end_of(address.version, int(address)) is None:
            continue
        for name, pair in _stored(trial.draft, (want.tenant, want.network)):
            other = Reference(Kind.PORT, name, want.tenant)
            if name == want.name or other in trial.asked or address not in _same(pair.prefix, address):
                continue
            sound = False
            trial.refuse(
                Conflict,
                want,
                "pair-of-port",
                f"{address} lies in {pair.prefix}, which {title(other)} may use besides its own",
                "Choose another address, or leave it out to get a free one.",
                f"spec.addresses[{index}]",
            )
            break
    return sound


def _stored(draft: Draft, network: tuple[str, str]) -> Iterator[tuple[str, Pair]]:
    tenant = network[0]
    for name in draft.paired(*network):
        for pair in draft.ports[tenant, name].value.allowed:
            yield name, pair


def _holders(
    draft: Draft, want: WantedPort, network: Network, prefix: Prefix, own: Reference
) -> Iterator[Reference]:
    """Other ports of the network whose own address lies in the prefix."""
    if prefix.num_addresses <= _FEW:
        for address in prefix:
            holder = draft.owners.get(address_claim(network, address))
            if holder is not None and holder != own:
                yield holder
        return
    for name in draft.members(want.tenant, want.network):
        held = draft.ports[want.tenant, name].value
        if name != want.name and any(a in _same(prefix, a) for a in held.addresses):
            yield Reference(Kind.PORT, name, want.tenant)


def _check_elsewhere(trial: Trial, want: WantedPort, prefix: Prefix, path: str) -> bool:
    """A pair in another network's subnet would draw that network's traffic here."""
    for name in trial.draft.networks_of(want.tenant):
        if name == want.network:
            continue
        for subnet in trial.draft.networks[want.tenant, name].value.subnets:
            if subnet.version == prefix.version and subnet.overlaps(prefix):
                trial.refuse(
                    Conflict,
                    want,
                    "pair-of-network",
                    f"{prefix} overlaps {subnet} of network {want.tenant}/{name}",
                    "Write addresses of the port's own network, or of none.",
                    path,
                )
                return False
    return True


def _span(prefix: Prefix) -> tuple[int, int]:
    first = int(prefix.network_address)
    return first, first + int(prefix.num_addresses) - 1


def _same(prefix: Prefix, address: Address) -> Prefix | tuple[()]:
    """The prefix, if the address can lie in it at all."""
    return prefix if prefix.version == address.version else ()
