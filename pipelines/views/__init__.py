"""Views: all that the features may see of one object, gathered from snapshot and index.

Place: between index and features; a file for each family of objects. A view is None where the object has no
flows now; the conditions stand in this folder and nowhere else. Must not make flows.
"""

from __future__ import annotations

from model.ids import ClassId, NetworkKey, PortKey, TenantKey, Uid
from model.snapshot import Snapshot
from pipelines.index import Index, ready
from pipelines.objects import Kind, Object
from pipelines.views.addressee import AddresseeView, addressee_view
from pipelines.views.addresses import AddressView, address_view
from pipelines.views.bridged import (
    ClassView,
    HostView,
    NetworkView,
    RemoteView,
    VtepView,
    class_view,
    network_view,
    remote_view,
    vtep_view,
)
from pipelines.views.narrow import NarrowView, narrow_view
from pipelines.views.outward import (
    EgressView,
    ExternalView,
    FloatingView,
    OutsideView,
    egress_view,
    external_view,
    floating_view,
    outside_view,
)
from pipelines.views.paths import PathView, path_view
from pipelines.views.peering import PeeredView, PeeringView, peered_view, peering_view
from pipelines.views.policy import (
    DrainingView,
    GroupView,
    JudgedView,
    MemberView,
    RuleView,
    draining_view,
    group_view,
    judged_view,
    member_view,
    rule_view,
)
from pipelines.views.ports import PortView, WaitingView, port_view, waiting_view
from pipelines.views.prefixes import PrefixView, prefix_view
from pipelines.views.routed import (
    RouteView,
    SenderView,
    SubnetsView,
    VrfView,
    route_view,
    sender_view,
    subnets_view,
    vrf_view,
)
from pipelines.views.terms import services_of

__all__ = [
    "AddressView",
    "AddresseeView",
    "ClassView",
    "DrainingView",
    "EgressView",
    "ExternalView",
    "FloatingView",
    "GroupView",
    "HostView",
    "JudgedView",
    "MemberView",
    "NarrowView",
    "NetworkView",
    "OutsideView",
    "PathView",
    "PeeredView",
    "PeeringView",
    "PortView",
    "PrefixView",
    "RemoteView",
    "RouteView",
    "RuleView",
    "SenderView",
    "SubnetsView",
    "View",
    "VrfView",
    "VtepView",
    "WaitingView",
    "view",
]

View = (
    HostView
    | ClassView
    | NetworkView
    | VtepView
    | PortView
    | WaitingView
    | AddressView
    | PathView
    | RemoteView
    | VrfView
    | SubnetsView
    | SenderView
    | RouteView
    | PrefixView
    | FloatingView
    | EgressView
    | ExternalView
    | OutsideView
    | PeeringView
    | PeeredView
    | NarrowView
    | RuleView
    | MemberView
    | AddresseeView
    | GroupView
    | JudgedView
    | DrainingView
)


def view(snapshot: Snapshot, index: Index, subject: Object) -> View | None:
    """What an object shows in this snapshot; None if it has no flows."""
    switch = snapshot.switch
    if switch is None or not ready(snapshot):
        return None
    match subject.kind:
        case Kind.HOST:
            return HostView(switch.tunnel, services_of(snapshot))
        case Kind.CLASS:
            return class_view(snapshot, index, ClassId(subject.major))
        case Kind.RULE:
            return rule_view(index, subject)
        case Kind.MEMBER:
            return member_view(snapshot, index, PortKey(subject.major))
        case Kind.ADDRESSEE:
            return addressee_view(snapshot, index, PortKey(subject.major))
        case Kind.GROUP:
            return group_view(index, subject)
        case Kind.JUDGED:
            return judged_view(snapshot, index, PortKey(subject.major))
        case Kind.DRAINING:
            return draining_view(snapshot, PortKey(subject.major))
        case Kind.NETWORK:
            return network_view(snapshot, index, switch, NetworkKey(subject.major))
        case Kind.VTEP:
            return vtep_view(snapshot, index, switch, subject)
        case Kind.PORT:
            return port_view(snapshot, index, PortKey(subject.major))
        case Kind.WAITING:
            return waiting_view(snapshot, PortKey(subject.major))
        case Kind.PATH:
            return path_view(snapshot, index, switch, subject)
        case Kind.ADDRESS:
            return address_view(snapshot, index, switch, subject)
        case Kind.REMOTE:
            return remote_view(snapshot, index, switch, subject)
        case Kind.VRF:
            return vrf_view(snapshot, index, TenantKey(subject.major))
        case Kind.SUBNETS:
            return subnets_view(snapshot, index, NetworkKey(subject.major))
        case Kind.SENDER:
            return sender_view(snapshot, index, switch, subject)
        case Kind.ROUTE:
            return route_view(snapshot, index, switch, subject)
        case Kind.PREFIX:
            return prefix_view(snapshot, index, switch, subject)
        case Kind.FLOATING:
            return floating_view(snapshot, index, Uid(subject.name))
        case Kind.EGRESS:
            return egress_view(snapshot, index, TenantKey(subject.major))
        case Kind.EXTERNAL:
            return external_view(snapshot, index, TenantKey(subject.major))
        case Kind.OUTSIDE:
            return outside_view(snapshot, index, switch, subject)
        case Kind.PEERING:
            return peering_view(snapshot, index, TenantKey(subject.major))
        case Kind.PEERED:
            return peered_view(snapshot, index, switch, subject)
        case Kind.NARROW:
            return narrow_view(snapshot, index, NetworkKey(subject.major))
