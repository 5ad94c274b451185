"""Trial: one planning run: a draft to allocate on, and every fault that was found on the way.

Place: inside `ipam.plan` and `ipam.deletion` only. All or nothing: a trial with faults becomes no plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ipam.contents import Claim, Contents, Record, Tombstone
from ipam.draft import Draft
from ipam.gangs.ledger import Ledger
from ipam.pools import CLASS_ID, POLICY_NUMBER, Pool, PoolKind, capacity
from ipam.steps import Plan, Step, Verb
from model.addresses import format_mac
from model.errors import Conflict, Exhausted, Fault, Invalid, NotFound, RingfenceError
from model.ids import HostName, Uid
from model.wanted import Reference, Wanted, fault, refer, title

COOL_DOWN_MS = 60_000
"""How long a number that was given up is not handed out by itself: longer than neighbours remember it (ARP
and ND caches, held EVPN withdraws)."""
LONG_COOL_DOWN_MS = 7 * 86_400_000
"""Of the id of an egress class and the number of a rule: what a host counted under it while its agent was
down must not get the name of another one."""
_LONG = frozenset({CLASS_ID, POLICY_NUMBER})

_ORDER: tuple[type[RingfenceError], ...] = (Invalid, NotFound, Conflict, Exhausted)
"""The error that is raised is the first of these that occurred; it carries the faults of all."""


class Trial:
    """`now`: Unix ms. `asked`: what this run is about, so that one mistake is reported once."""

    def __init__(
        self,
        contents: Contents,
        now: int,
        new_uid: Callable[[], Uid],
        asked: frozenset[Reference],
        wanted: Sequence[Wanted] = (),
    ) -> None:
        self._contents = contents
        self.draft = Draft(contents)
        self.now = now
        self.new_uid = new_uid
        self.asked = asked
        self._wanted = {refer(want): want for want in reversed(wanted)}
        self._faults: list[tuple[type[RingfenceError], Fault]] = []
        self._steps: list[Step] = []
        self._freed: dict[Claim, int] = {}
        for claim, until in contents.tombstones.items():
            if until <= now:
                self.draft.unbury(claim)

    def refuse(
        self,
        error: type[RingfenceError],
        wanted: Wanted | Reference,
        rule: str,
        message: str,
        remedy: str,
        path: str = "",
    ) -> None:
        """Note a fault and go on."""
        self._faults.append((error, fault(wanted, rule, message, remedy, path)))

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is settled so far."""
        return tuple(self._steps)

    def before(self) -> Draft:
        """Everything as it was, to be looked at."""
        return Draft(self._contents)

    @property
    def ledger(self) -> Ledger:
        """Who holds what of the fabrics; no plan changes that. Read-only."""
        return self._contents.ledger

    def written(self, reference: Reference) -> Wanted | Reference:
        """The object as it was written, so that a fault names its line; its name if it was not."""
        return self._wanted.get(reference, reference)

    def blame(self, *candidates: Reference) -> Wanted | Reference:
        """The first of those that clash that was written in this request."""
        return self.written(next((c for c in candidates if c in self._wanted), candidates[0]))

    def hold(self, wanted: Wanted, claim: Claim, what: str, path: str) -> bool:
        """Claim what was asked for by value; a fault names who has it."""
        holder = self.draft.hold(claim, refer(wanted))
        if holder is None:
            return True
        self.refuse(
            Conflict,
            wanted,
            "already-taken",
            f"{what} is held by {title(holder)}",
            f"Choose another, leave it out to get a free one, or delete {title(holder)} first.",
            path,
        )
        return False

    def allocate(
        self,
        wanted: Wanted,
        pool: Pool,
        what: str,
        path: str,
        skip: Callable[[int], int | None] | None = None,
        holder: Reference | None = None,
    ) -> int | None:
        """The lowest free number of the pool, claimed; None (and a fault) if there is none.

        `holder`: who gets it, if not the wanted object itself. `skip` gives the last number of the stretch
        that may not be handed out and that a number lies in.
        """
        value = self.draft.next_free(pool)
        while skip is not None and value is not None and (end := skip(value)) is not None:
            value = self.draft.next_free(pool, end + 1)
        if value is None:
            used, size = self.draft.used(pool), capacity(pool)
            self.refuse(
                Exhausted,
                wanted,
                "pool-exhausted",
                f"{what} has nothing left: {used} of {size} used or cooling down",
                _relief(pool),
                path,
            )
            return None
        self.draft.hold((pool.name, value), holder or refer(wanted))
        return value

    def release(self, reference: Reference, claims: Iterable[Claim]) -> None:
        """Give claims up and let those that came from a pool cool down."""
        for claim in claims:
            self.draft.free(claim, reference)
            if self.draft.pool(claim[0]) is not None:
                until = self.now + (LONG_COOL_DOWN_MS if claim[0] in _LONG else COOL_DOWN_MS)
                self.draft.bury(claim, until)
                self._freed[claim] = until

    def bound_to(self, host: HostName) -> bool:
        """Whether a port lives on that host now."""
        return host in self._contents.bound

    def settle(self, wanted: Wanted | Reference, before: Record | None, after: Record) -> None:
        """Take an object as it shall be; a step says what that means."""
        if before is None:
            verb = Verb.CREATE
        else:
            verb = Verb.UNCHANGED if before == after else Verb.CHANGE
        if verb is not Verb.UNCHANGED:
            self.draft.put(after)
        reference = wanted if isinstance(wanted, Reference) else refer(wanted)
        self._steps.append(Step(verb, reference, before, after))

    def drop(self, reference: Reference, before: Record) -> None:
        """Delete an object."""
        self.release(reference, self.draft.claims(before))
        self.draft.remove(reference)
        self._steps.append(Step(Verb.DELETE, reference, before, None))

    def finish(self) -> Plan:
        """The plan; raises the worst kind of error that occurred, with all faults, if any did."""
        for error in _ORDER:
            if any(kind is error for kind, _ in self._faults):
                raise error(*(f for _, f in self._faults))
        tombstones = tuple(
            Tombstone(scope, value, until)
            for (scope, value), until in self._freed.items()
            if (scope, value) not in self.draft.owners
        )
        return Plan(tuple(self._steps), tombstones, self.now)


def _relief(pool: Pool) -> str:
    match pool.kind:
        case PoolKind.IPV4 | PoolKind.IPV6:
            return "Delete ports that are not needed, or make a network with a larger subnet."
        case PoolKind.MAC:
            span = f"{format_mac(pool.first)}-{format_mac(pool.last)}"
            return f"Delete ports that are not needed, or widen the MAC pool ({span})."
        case PoolKind.KEY | PoolKind.VNI:
            return f"Delete what is not needed, or widen the pool ({pool.first}-{pool.last})."
