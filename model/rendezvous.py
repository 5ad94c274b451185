"""Rendezvous: which member takes which slot, so that a member that goes moves its own slots only.

Place: used where several places are equally good: next hops of a prefix, VTEPs of a segment. Highest random
weight (Thaler and Ravishankar, 1998): each slot takes the member whose digest with it is highest. The same
everywhere and always. Must not use the built-in hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b


def assign(members: Sequence[str], scope: str, slots: int) -> tuple[int, ...]:
    """For each slot the index of its member. `members`: lasting names, no two equal; `scope`: what the slots
    belong to, so that not all of them are given out alike. ValueError without members."""
    if not members:
        raise ValueError(f"{scope}: nobody to give {slots} slots to")
    return tuple(
        max(range(len(members)), key=lambda index: (_weight(members[index], scope, slot), members[index]))
        for slot in range(slots)
    )


def _weight(member: str, scope: str, slot: int) -> bytes:
    return blake2b(f"{scope} {slot} {member}".encode(), digest_size=8).digest()
