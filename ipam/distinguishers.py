"""Distinguishers: the number that tells a network's or VRF's routes apart, if it is not the key.

Place: a part of `ipam.networks` and `ipam.roots`. Keys and written numbers are claims of one kind, so that no
two networks, and no two VRFs, ever have the same route distinguisher on a host (RFC 7432 section 7.9, RFC
4364 section 4.2). Must not know hosts: the other half of a distinguisher is their router id.
"""

from __future__ import annotations

from collections.abc import Sequence

from ipam.pools import NETWORK_KEY, TENANT_KEY
from ipam.trial import Trial
from model.wanted import WantedNetwork, WantedTenant, refer


def reserve_numbers(trial: Trial, wanted: Sequence[WantedNetwork | WantedTenant]) -> None:
    """Claim what is written before any key is handed out. Says nothing of clashes: `number` does."""
    for want in wanted:
        if want.distinguisher:
            trial.draft.hold((_pool(want), want.distinguisher), refer(want))


def number(trial: Trial, want: WantedNetwork | WantedTenant, key: int, before: int) -> int | None:
    """What it shall have, 0 = its key; None (and a fault) if somebody else has it."""
    if want.distinguisher is None:
        return before
    wished = 0 if want.distinguisher == key else want.distinguisher
    what = f"route distinguisher number {wished}"
    if wished and not trial.hold(want, (_pool(want), wished), what, "spec.distinguisher"):
        return None
    if before and before != wished:
        trial.release(refer(want), ((_pool(want), before),))
    return wished


def _pool(want: WantedNetwork | WantedTenant) -> str:
    return NETWORK_KEY if isinstance(want, WantedNetwork) else TENANT_KEY
