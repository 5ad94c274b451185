"""Guidance: planning of what a network tells its ports: what is written replaces what was, field by field.

Place: used by `ipam.networks`. Must not write anything.
"""

from __future__ import annotations

from ipam.contents import NetworkRecord
from ipam.trial import Trial
from model.addresses import Prefix
from model.errors import Invalid
from model.guidance import USUAL, Guidance
from model.wanted import WantedGuidance, WantedNetwork


def guided(before: Guidance, want: WantedGuidance) -> Guidance:
    """What holds then."""
    return Guidance(
        answers=before.answers if want.answers is None else want.answers,
        resolvers=before.resolvers if want.resolvers is None else want.resolvers,
        domain=before.domain if want.domain is None else want.domain,
        search=before.search if want.search is None else want.search,
        routes=before.routes if want.routes is None else want.routes,
        lease=before.lease if want.lease is None else want.lease,
        names=before.names if want.names is None else want.names,
    )


def check_guidance(trial: Trial, want: WantedNetwork, before: NetworkRecord | None) -> bool:
    """Next hops are in the network, and no prefix has two; a default route is the gateway's own."""
    stands = USUAL if before is None else before.value.guidance
    subnets = want.subnets
    if subnets is None:
        subnets = () if before is None else before.value.subnets
    sound, known = True, set[Prefix]()
    for index, (prefix, hop) in enumerate(guided(stands, want.guidance).routes):
        path = f"spec.guestRoutes[{index}]"
        home = next((subnet for subnet in subnets if subnet.version == hop.version and hop in subnet), None)
        if home is None or hop.version != prefix.version:
            shown = ", ".join(str(s) for s in subnets if s.version == prefix.version) or "none"
            message = f"next hop {hop} is not in the network's subnets of its family ({shown})"
            advice = "Write an address of the network; what lies beyond the gateway is a Route of the tenant."
            trial.refuse(Invalid, want, "guest-route-next-hop", message, advice, path)
            sound = False
        if prefix in known:
            advice = "Keep one of them: guests share no load between next hops."
            trial.refuse(Invalid, want, "guest-route-twice", f"{prefix} stands twice", advice, path)
            sound = False
        known.add(prefix)
    return sound
