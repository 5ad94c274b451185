"""Judging: the guard's verdict, with what the table adds: how much room there is, and what is only counted.

Place: between `bgp.guard` and those who file routes (`bgp.learn`) or hold them (`bgp.moves`). Must not file.
What was there first stays: limits refuse what would be new.
"""

from __future__ import annotations

from typing import Final

from bgp import guard, tolerance
from bgp.guard import Claim, Verdict
from bgp.rights import PrefixClaim
from bgp.table import HELD, Ref, Table, limits_of
from bgp.verdict import NotImported, Refused
from bgp.work import Work
from model.intent import Guard
from model.route import Route
from model.vrfs import title

PEER_FULL: Final = "peer-full"
FULL: Final = frozenset({PEER_FULL, "tenant-full", "vrf-full"})
"""Codes of refusals for want of room: judged again when there is some."""
MOST_ALARMS: Final = 20


def judge(work: Work, route: Route) -> tuple[Verdict, Refused | None]:
    """The verdict, whatever room there is; with why the guard would refuse what it only counts."""
    verdict = guard.judge(work.snapshot, work.lookup, route)
    if not isinstance(verdict, Refused) or verdict.code not in tolerance.TOLERABLE:
        return verdict, None
    cluster = work.snapshot.cluster
    if cluster is None or cluster.policy.guard is not Guard.COUNT:
        return verdict, None
    claim = tolerance.claim(work.snapshot, work.lookup, route)
    return (verdict, None) if claim is None else (claim, verdict)


def judge_new(work: Work, ref: Ref, route: Route) -> tuple[Verdict, Refused | None]:
    """The same for what shall be filed: no more than there is room for, whoever says it."""
    verdict, doubt = judge(work, route)
    if isinstance(verdict, Refused | NotImported):
        return verdict, None
    full = _full(work, ref, route, verdict)
    return (verdict, doubt) if full is None else (full, None)


def _full(work: Work, ref: Ref, route: Route, claim: Claim) -> Refused | None:
    hop, limits = route.attributes.next_hop, work.limits
    if ref[1] != HELD and ref not in work.live and work.counts.get(ref[1], 0) >= limits.routes_per_peer:
        return Refused(
            PEER_FULL,
            f"{hop} announces it, but {limits.routes_per_peer} routes of peer {ref[1]} are kept already: "
            "look into who sends so many, or raise --peer-routes of ringfenced api",
        )
    if work.has_room(claim):
        return None
    if isinstance(claim, PrefixClaim) and not work.has_prefix_room(claim.vrf):
        return Refused(
            "vrf-full",
            f"{hop} announces more than the {limits.prefixes_per_vrf} prefixes that "
            "one VRF may have here; summarise them there",
        )
    name = title(work.snapshot, work.owner(claim))
    return Refused(
        "tenant-full",
        f"{hop} announces it, but {limits.routes_per_tenant} MACs, addresses and prefixes of {name} are kept "
        "already: look into who sends so many, or raise --tenant-routes of ringfenced api",
    )


def alarms(table: Table) -> tuple[str, ...]:
    """Which limits are reached, in words."""
    limits = limits_of(table)
    peers = [
        f"peer {peer} has reached its limit of {limits.routes_per_peer} routes"
        for peer in sorted(table.counts)
        if table.counts[peer] >= limits.routes_per_peer
    ]
    tenants = [
        f"{title(table.snapshot, key)} has reached its limit of {limits.routes_per_tenant} routes"
        for key in sorted(table.volumes)
        if table.volumes[key] >= limits.routes_per_tenant
    ]
    vrfs = [
        f"{title(table.snapshot, key)} has reached its limit of {limits.prefixes_per_vrf} prefixes"
        for key in sorted(table.sizes)
        if table.sizes[key] >= limits.prefixes_per_vrf
    ]
    found = (*peers, *tenants, *vrfs)
    lost = table.counters.get("refused-forgotten", 0) if table.forgotten else 0
    more = (f"{lost} refused routes are not listed: {limits.refused} are",) if lost else ()
    return (*found[: MOST_ALARMS - 1], *more)
