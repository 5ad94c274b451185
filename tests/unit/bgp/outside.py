"""The small cluster of `tests.unit.bgp.world` with ways out: a border, gateways, static routes, a peering.

Tenant 1 (red) has SNAT behind h2, then h1; tenant 2 (blue) has fabric. Floating IP and egress address are of
external network 3. The peering of both has key 4.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from immutables import Map

from bgp.codec import communities, nlri
from model.addresses import router_mac
from model.ids import HostName, Mac, TenantKey, Uid, Vni
from model.intent import Egress, External, FloatingIp, Peering, Side, StaticRoute
from model.route import Attributes, Distinguisher, PrefixRoute, Route
from model.snapshot import Snapshot
from tests.unit.bgp.world import ASN, BLUE_L3, FOREIGN, HERE, HOSTS, RED_L3, THERE, bind, world

RED_VRF, BLUE_VRF, NET, LINK = (TenantKey(n) for n in (1, 2, 3, 4))
NET_L3, LINK_L3 = Vni(10903), Vni(10904)
L3VNIS = {RED_VRF: RED_L3, BLUE_VRF: BLUE_L3, NET: NET_L3, LINK: LINK_L3}
FLOATING, EGRESS = ip_address("203.0.113.5"), ip_address("203.0.113.6")
BORDER_MAC = Mac(0x001122334455)
BEHIND = ip_network("172.16.0.0/16")


def outside() -> Snapshot:
    """THERE (on h2) is the target of the floating IP and, with HERE, next hop of the static route."""
    made = bind(world(), FOREIGN, "h3")
    red = replace(
        made.tenants[RED_VRF],
        egress=Egress.SNAT,
        external=NET,
        egress_addresses=(EGRESS,),
        gateways=(HostName("h2"), HostName("h1")),
    )
    blue = replace(made.tenants[BLUE_VRF], egress=Egress.FABRIC)
    hops = tuple(made.ports[key].addresses[0] for key in (HERE, THERE))
    route = StaticRoute(Uid("r1"), RED_VRF, "r1", BEHIND, hops)
    target = made.ports[THERE].addresses[0]
    floating = FloatingIp(Uid("f1"), RED_VRF, "f1", NET, FLOATING, THERE, target)
    sides = (
        Side(RED_VRF, (ip_network("10.0.0.0/30"), ip_network("fd00::/126"))),
        Side(BLUE_VRF, (ip_network(f"10.0.0.{FOREIGN}/32"),)),
    )
    border = replace(HOSTS["ext"], border=True)
    return replace(
        made,
        tenants=Map({RED_VRF: red, BLUE_VRF: blue}),
        hypervisors=made.hypervisors.set(border.name, border),
        static_routes=Map({route.uid: route}),
        externals=Map({NET: External(Uid("x1"), "net", NET, NET_L3, (ip_network("203.0.113.0/24"),))}),
        floating=Map({floating.uid: floating}),
        peerings=Map({LINK: Peering(LINK, LINK_L3, sides)}),
    )


def prefix_route(host: str, vrf: TenantKey, prefix: str, **fields: object) -> Route:
    """RT-5 as that host would send it; `fields` change its attributes."""
    rd = nlri.distinguisher(Distinguisher(HOSTS[host].router_id, vrf))
    mac = BORDER_MAC if host == "ext" else router_mac(HOSTS[host].router_id)
    made = Attributes(
        HOSTS[host].vtep,
        (communities.route_target(ASN, L3VNIS[vrf]),),
        router_mac=mac,
        encapsulations=(8,),
    )
    return Route(PrefixRoute(rd, ip_network(prefix), L3VNIS[vrf]), replace(made, **fields))  # type: ignore[arg-type]
