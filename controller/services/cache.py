"""Cache: what was believed of answers from outside, for as long as it holds.

Place: between the resolver and what it asks outside. One for each tenant, so that neither what is kept nor
what is thrown out tells a tenant what another asked for. The clock is handed in.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from model.ids import TenantKey
from services.naming.forwarding import Kept
from services.naming.outcome import Question

MOST: Final = 2000
"""Answers of a tenant; the one that was not used for longest goes first."""
LARGEST: Final = 4096
"""Octets of an answer that is kept."""


@dataclass(frozen=True, slots=True)
class _Entry:
    kept: Kept
    since: float


class Cache:
    """Answers by tenant and question."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._of: dict[TenantKey, OrderedDict[Question, _Entry]] = {}

    def get(self, tenant: TenantKey, question: Question, now: float) -> tuple[Kept, int] | None:
        """What is kept and for how many whole seconds it has been; None if nothing holds any more."""
        own = self._of.get(tenant)
        entry = own.get(question) if own else None
        if own is None or entry is None:
            return None
        age = now - entry.since
        if age >= entry.kept.life:
            del own[question]
            return None
        own.move_to_end(question)
        return entry.kept, int(age)

    def put(self, tenant: TenantKey, question: Question, kept: Kept, now: float) -> None:
        """Keep it, in place of what was known; not if it is too large, or holds for no time."""
        own = self._of.setdefault(tenant, OrderedDict())
        own.pop(question, None)
        if kept.life <= 0 or kept.size > LARGEST:
            return
        own[question] = _Entry(kept, now)
        while len(own) > self._most:
            own.popitem(last=False)

    def forget(self, tenant: TenantKey) -> None:
        """Of a tenant that is gone."""
        self._of.pop(tenant, None)

    def held(self, tenant: TenantKey) -> int:
        """How many answers."""
        return len(self._of.get(tenant, ()))
