"""Symmetric IRB: may this VTEP route to a port, and under which MAC (RFC 9135 section 5)?

Place: the part of `bgp.guard` that judges L3VNI and router MAC of an RT-2 whose port and host it has found
sound.
"""

from __future__ import annotations

from bgp.verdict import Case, Refused, l3vni_of, targets_tenant, title
from model.addresses import GATEWAY_MAC, format_mac, is_router_mac, is_unicast, router_mac
from model.ids import Mac
from model.route import MacRoute
from model.snapshot import Snapshot


def judge_router(snapshot: Snapshot, case: Case, body: MacRoute) -> Mac | Refused | None:
    """The MAC under which the VTEP routes to the address; None if it can only be bridged to (RFC 9135 section
    5.2).
    """
    claimed, l3vni = case.route.attributes.router_mac, l3vni_of(snapshot, case.network)
    if GATEWAY_MAC in (claimed, body.mac):
        text = f"{case.who()} claims {format_mac(GATEWAY_MAC)}: no host has it as its own"
        return Refused("gateway-mac", text)
    if body.vni2 is None:
        return None
    if body.vni2 != l3vni:
        name = title(snapshot, case.network.key)
        return Refused(
            "l3vni-foreign",
            f"{case.who()} gives L3VNI {body.vni2} with a route of network {name}, whose tenant has "
            f"{l3vni or 'none'}; correct the sender's, or look into who sends this",
        )
    if case.host.external:
        return _judge_foreign_router(snapshot, case)
    own = router_mac(case.host.router_id)
    if claimed != own or not targets_tenant(snapshot, case.route, case.network):
        return Refused(
            "router-mac",
            f"{case.who()} routes for network {title(snapshot, case.network.key)} under "
            f"{'no MAC' if claimed is None else format_mac(claimed)}; "
            f"with L3VNI {l3vni} it must send {format_mac(own)} and the L3VNI's route target: look into it",
        )
    return own


def _judge_foreign_router(snapshot: Snapshot, case: Case) -> Mac | Refused | None:
    """Others choose their router MAC themselves; it must be nobody else's."""
    claimed = case.route.attributes.router_mac
    if claimed is None or not targets_tenant(snapshot, case.route, case.network):
        return None
    if not is_unicast(claimed) or is_router_mac(claimed):
        return Refused(
            "router-mac",
            f"{case.who()} routes under {format_mac(claimed)}, which is no unicast MAC or one of ours; "
            "give it another router MAC",
        )
    return claimed
