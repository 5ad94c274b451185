"""Census: the ports of a tenant as the bits of numbers, so that thousands of selectors are asked in a moment.

Place: made for `ipam.burdens` when policies are weighed, and thrown away. One look at each port, and one
operation on whole numbers for each requirement, however many ports and labels there are. Must not know what
selectors are for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from model.labels import Labels, Operator, Requirement, Selector
from model.policy import Selection, borne


@dataclass(frozen=True, slots=True)
class Counted:
    """What policies see of a port. Labels without the names, which all have besides."""

    name: str
    labels: Labels
    network: str
    network_labels: Labels
    addresses: int


@dataclass(frozen=True, slots=True)
class _Bearers:
    """Who has which labels: places by key and value. `asked`: what requirements take, as bits."""

    size: int
    places: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    asked: dict[Requirement, int] = field(default_factory=dict)

    def enter(self, places: Iterable[int], borne: Labels) -> None:
        for key, value in borne:
            self.places.setdefault(key, {}).setdefault(value, []).extend(places)

    def taken(self, selector: Selector) -> int:
        found = everybody = (1 << self.size) - 1
        for one in selector.requirements:
            if one not in self.asked:
                self.asked[one] = self._taken(one, everybody)
            found &= self.asked[one]
        return found

    def _taken(self, one: Requirement, everybody: int) -> int:
        values = self.places.get(one.key, {})
        match one.operator:
            case Operator.IN:
                return self._bits(values.get(value, ()) for value in one.values)
            case Operator.NOT_IN:
                return everybody & ~self._bits(values.get(value, ()) for value in one.values)
            case Operator.EXISTS:
                return self._bits(values.values())
            case Operator.DOES_NOT_EXIST:
                return everybody & ~self._bits(values.values())

    def _bits(self, places: Iterable[Iterable[int]]) -> int:
        found = bytearray(self.size // 8 + 1)
        for some in places:
            for at in some:
                found[at >> 3] |= 1 << (at & 7)
        return int.from_bytes(found, "little")


class Census:
    """`looks`: how many requirements were held against ports."""

    def __init__(self, ports: Iterable[Counted]) -> None:
        counted = tuple(ports)
        self._own, self._networks = _Bearers(len(counted)), _Bearers(len(counted))
        by_number: dict[int, list[int]] = {}
        homes: dict[tuple[str, Labels], list[int]] = {}
        for at, one in enumerate(counted):
            self._own.enter((at,), borne(one.name, one.labels))
            homes.setdefault((one.network, one.network_labels), []).append(at)
            by_number.setdefault(one.addresses, []).append(at)
        for home, places in homes.items():
            self._networks.enter(places, borne(*home))
        self._by_number = {number: self._own._bits((places,)) for number, places in by_number.items()}

    @property
    def looks(self) -> int:
        return len(self._own.asked) + len(self._networks.asked)

    def taken(self, selections: Iterable[Selection]) -> int:
        """The ports that any of them takes, as bits. Of tenants they must say nothing: all are of one."""
        found = 0
        for one in selections:
            found |= self._own.taken(one.ports) & self._networks.taken(one.networks)
        return found

    def ports(self, taken: int) -> int:
        """How many these are."""
        return taken.bit_count()

    def addresses(self, taken: int) -> int:
        """How many addresses these have."""
        return sum(number * (taken & some).bit_count() for number, some in self._by_number.items())
