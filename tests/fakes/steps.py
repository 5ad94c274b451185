"""Hypothesis strategies: chains of changes of anything that a snapshot holds, out of a small universe.

Place: the inputs of the property of increments. Keys collide on purpose, and change their meaning: a port its
network, a network its tenant.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import strategies as st

from model.addresses import router_mac
from model.change import Part
from model.guidance import Guidance
from model.ids import HostName, Mac, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import Binding, Egress, FloatingIp, Hypervisor, Relation, StaticRoute, Tenant
from model.inventory import Interface, Switch
from model.roll import Roll
from model.route import FloodVtep, RemoteAddress, Sighting
from model.seed import Seed, Sown
from model.serving import IFACE_ID
from tests.fakes import outward as out
from tests.fakes import peering, ruled, world
from tests.fakes.strategies import VTEPS, mac, subnets


def steps() -> st.SearchStrategy[world.Step]:
    """One change of anything that a snapshot holds, out of a small universe."""
    return st.one_of(*(_step(part, key, values) for part, key, values in universe()))


def _step(part: Part, key: Any, values: list[Any]) -> st.SearchStrategy[world.Step]:
    return st.sampled_from([*values, *values, None]).map(lambda value: world.Step(part, key, value))


def universe() -> list[tuple[Part, Any, list[Any]]]:
    """(part, key, values); a key may be there more than once."""
    made: list[tuple[Part, Any, list[Any]]] = [
        (Part.SWITCH, None, [Switch("netdev", tunnel, run) for tunnel in (100, 101) for run in ("a", "b")]),
        *((Part.TENANT, key, [world.tenant(key), world.tenant(key, l3vni=0), _open(key)]) for key in (1, 2)),
        (
            Part.HYPERVISOR,
            world.HERE,
            [world.hypervisor(world.HERE, v) for v in ("192.0.2.1", "192.0.2.9", "2001:db8::1")],
        ),
    ]
    answering = [
        Interface("rf-services", IFACE_ID, ofport, up=up) for ofport in (90, 91) for up in (True, False)
    ]
    made.append((Part.INTERFACE, IFACE_ID, answering))
    for name, vtep in VTEPS.items():
        found = [world.hypervisor(name, v) for v in (vtep, "192.0.2.8", f"2001:db8::{name[-1]}")]
        made.append((Part.HYPERVISOR, HostName(name), found))
    made.append((Part.GANG, 7, [Roll(7, f"t{key}", "job", ()) for key in (1, 2)]))
    made.append((Part.SEED, PortKey(11), [Sown(PortKey(11), Seed(data=data)) for data in ("a", "b")]))
    made += _ways_out()
    made += _peerings()
    made += ruled.universe()
    for net in (1, 2, 3):
        plain = world.network(net)
        forms = [plain, replace(plain, replicate=True), replace(plain, vni=Vni(7))]
        forms += [replace(plain, subnets=(ip_network("10.1.0.0/16"),)), replace(plain, routed=False)]
        apart = tuple(ip_network(subnet) for subnet in subnets(net))
        forms += [replace(plain, mtu=1500), replace(plain, mtu=1400, subnets=apart)]
        forms += [replace(plain, mtu=9000), replace(plain, dscp=46), replace(plain, dscp=0, replicate=True)]
        forms.append(replace(plain, guidance=Guidance(answers=False)))
        forms.append(world.network(net, owner=2, subnets=subnets(net)))
        made.append((Part.NETWORK, NetworkKey(net), forms))
        for last in (1, 2, 3):
            remotes = [
                world.remote(net, mac(net, last), v, a, router=r)
                for v in _ends()
                for a in _addresses()
                for r in (None, 2)
            ]
            made.append((Part.REMOTE, (NetworkKey(net), remotes[0].mac), remotes))
        spot = (NetworkKey(net), ip_address("10.0.0.100"))
        macs = (Mac(mac(net, 1)), Mac(world.VIRTUAL_MAC))
        seen = [Sighting(*spot, m, PortKey(key), n) for m in macs for key in (11, 12) for n in (1, 3)]
        made.append((Part.SIGHTING, spot, seen))
        told = [
            RemoteAddress(*spot, m, ip_address(v), n, r)
            for m in macs
            for v in _ends()
            for n in (1, 2, 3)
            for r in (None, router_mac(2))
        ]
        made.append((Part.CLAIMED, spot, told))
        for end in map(ip_address, _ends()):
            made.append((Part.FLOOD, (NetworkKey(net), end), [FloodVtep(NetworkKey(net), end)]))
    for key, prefixes in ((2, ["10.9.0.0/16"]), (3, ["10.9.0.0/16", "0.0.0.0/0", "2001:db8::1/128"])):
        forms = [world.egress_class(key, prefixes[:n]) for n in (1, 2, 3)]
        forms += [world.egress_class(key, prefixes[:1], relation) for relation in Relation]
        forms.append(replace(forms[0], since=1, former_relations=(*Relation,)))  # not in force yet
        made.append((Part.CLASS, key, forms))
    for uid, prefix in (("a", "10.50.0.0/16"), ("b", "10.50.0.0/16"), ("c", "0.0.0.0/0"), ("d", "fd50::/48")):
        mine = [world.static_route(uid, prefix, hops, owner=o) for hops in _addresses()[:3] for o in (1, 2)]
        mine.append(world.static_route(uid, prefix, ["10.0.0.1", "10.0.0.2", "10.0.0.100"]))
        made.append((Part.STATIC_ROUTE, Uid(f"route-{uid}"), mine))
        for vrf in (1, 2):
            far = [world.remote_prefix(prefix, ends, vrf=vrf) for ends in (_ends(), _ends()[:1])]
            made.append((Part.PREFIX, (TenantKey(vrf), ip_network(prefix)), far))
    return made + [each for key in (11, 12, 13, 21) for each in _of_port(PortKey(key))]


def _peerings() -> list[tuple[Part, Any, list[Any]]]:
    """Peerings, what other hosts announce in their VRFs, and borders."""
    made: list[tuple[Part, Any, list[Any]]] = []
    for name in ("hv2", "hv3"):
        plain = world.hypervisor(name, VTEPS[name], external=True)
        made.append((Part.HYPERVISOR, HostName(name), [plain, replace(plain, border=True)]))
    for key in (1, 2):
        forms = [replace(world.tenant(key), egress=egress) for egress in (Egress.FABRIC, Egress.NONE)]
        made.append((Part.TENANT, TenantKey(key), forms))
    for key, sides in ((19, ("10.0.0.0/31", "10.0.0.2/31")), (10, ("10.0.0.0/24", "10.0.0.2/32"))):
        halves = [peering.peering((one,), (other,), key=key) for one in sides for other in sides[::-1]]
        halves += [replace(halves[0], l3vni=Vni(0)), peering.peering(("::/0",), ("fd00::/126",), key=key)]
        made.append((Part.PEERING, TenantKey(key), halves))
        for address in ("10.0.0.1", "10.0.0.3", "fd00::3"):
            routes = [peering.host_route(address, vtep, key=key) for vtep in peering.VTEPS]
            made.append((Part.PREFIX, (TenantKey(key), ip_network(address)), routes))
    return made


def _of_port(key: PortKey) -> list[tuple[Part, Any, list[Any]]]:
    uid = Uid(f"port-{key}")
    ports = [
        world.port(key, net, mac(net, last), addresses, hosts)
        for net in (1, 2)
        for last in (1, 2)
        for addresses in _addresses()
        for hosts in ([world.HERE], [world.HERE, "hv2"], ["hv3"])
    ]
    ports += [replace(one, migration=world.HERE) for one in ports[::5]]
    ports += [replace(one, enabled=False) for one in ports[::6]]
    ports += [replace(one, allowed=world.PAIRS) for one in ports[::7]]
    ports += [replace(one, rate_in=5_000) for one in ports[::8]]
    ports += [replace(one, rate_out=8_000) for one in ports[::9]]
    ports += [replace(one, labels=each) for one in ports[::4] for each in ruled.LABELS]
    bindings = [Binding(key, HostName(h), 0, a) for h in (world.HERE, "hv2") for a in (True, False)]
    return [
        (Part.PORT, key, ports),
        (Part.BINDING, key, bindings),
        (Part.BINDING, key, bindings),
        (
            Part.INTERFACE,
            uid,
            [Interface("tap", uid, ofport, mtu) for ofport in (key, key + 1, -1, 100) for mtu in (0, 1500)],
        ),
        (Part.EPOCH, key, [1, 2]),
    ]


def _open(key: int) -> Tenant:
    return replace(world.tenant(key), egress=Egress.FABRIC)


def _ends() -> list[str]:
    return ["192.0.2.2", "192.0.2.3", "2001:db8::2"]


def _addresses() -> list[list[str]]:
    return [["10.0.0.1", "fd00::1"], ["10.0.0.2"], ["fd00::3"], []]


def _ways_out() -> list[tuple[Part, Any, list[Any]]]:
    """Floating IPs, translated tenants, an external network and what is learned of it."""
    tenants = [out.tenant(*hosts, egress=way) for hosts in ([], ["hv1"], ["hv2", "hv1"]) for way in Egress]
    made: list[tuple[Part, Any, list[Any]]] = [
        (Part.TENANT, 1, [*tenants, replace(tenants[2], egress_addresses=out.ADDRESSES[:1])]),
        (Part.EXTERNAL, out.EXTERNAL, [out.external(), out.external(0), out.external(6009)]),
        (Part.DOWN, ip_address("192.0.2.2"), [True]),
        (Part.HYPERVISOR, HostName("hv9"), [_border("192.0.2.9"), world.hypervisor("hv9", "192.0.2.9")]),
        (Part.ZONE, ("tenant", 1), [7, 8]),
        (
            Part.STATIC_ROUTE,
            Uid("s"),
            [StaticRoute(Uid("s"), TenantKey(1), "s", ip_network("10.7.0.0/16"), ())],
        ),
    ]
    for version, address in ((4, "203.0.113.5"), (6, "2001:db8:f::5")):
        whole = f"{address}/{32 if version == 4 else 128}"
        for text in ("0.0.0.0/0" if version == 4 else "::/0", whole):
            found = [out.prefix(out.EXTERNAL, text, *hosts) for hosts in (["hv2"], ["hv2", "hv9"])]
            made.append((Part.PREFIX, (out.EXTERNAL, ip_network(text)), found))
        uid = Uid(f"float-{version}")
        target = "10.0.0.1" if version == 4 else "fd00::1"
        one = FloatingIp(
            uid, TenantKey(1), "f", out.EXTERNAL, ip_address(address), PortKey(11), ip_address(target)
        )
        forms = [one, replace(one, port=PortKey(12)), replace(one, port=PortKey(0), target=None)]
        made.append((Part.FLOATING, uid, [*forms, replace(one, tenant=TenantKey(2))]))
    made += [(Part.ZONE, ("port", key), [key, key + 1]) for key in (11, 12)]
    return made


def _border(vtep: str) -> Hypervisor:
    return replace(world.hypervisor("hv9", vtep, external=True), border=True)
