"""Order: how sets of values are put in a fixed order, so that equal sets are equal tuples.

Place: wherever values are parsed, planned or read from the store. Must not decide what is a duplicate.
"""

from __future__ import annotations

from model.addresses import Address, Prefix
from model.intent import Pair


def address_rank(address: Address) -> tuple[int, int]:
    """IPv4 first, then by number."""
    return address.version, int(address)


def prefix_rank(prefix: Prefix) -> tuple[int, int, int]:
    """IPv4 first, then by number, the shorter first."""
    return prefix.version, int(prefix.network_address), prefix.prefixlen


def pair_rank(pair: Pair) -> tuple[tuple[int, int, int], int]:
    """By prefix; those with the port's own MAC first."""
    return prefix_rank(pair.prefix), -1 if pair.mac is None else int(pair.mac)
