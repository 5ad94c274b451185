"""Naming: names for the numbers in flows: registers, ports, VNIs, VTEPs, objects; of one host's snapshot.

Place: pure; under `ringfence trace` and `ringfence flows`. What has no name any more is shown by its number.
Must not decide anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from controller.agent import receipts
from model.addresses import GATEWAY_MAC, Address, format_mac, is_router_mac
from model.flow import Field
from model.ids import EVERYTHING_ELSE, SAME_NETWORK, ClassId, HostName, NetworkKey, PortKey, TenantKey, Uid
from model.intent import Hypervisor
from model.snapshot import Snapshot
from pipelines import fields as f
from pipelines import render, tables
from pipelines.objects import Kind, Object
from pipelines.policy.seated import UNROUTED, rulings
from pipelines.walk import CONTROLLER

_REGISTERS: Final = {register.field.name: register.name for register in f.REGISTERS}
_TABLES: Final = {table.number: table.name for table in tables.TABLES}
_MACS: Final = frozenset({"eth_src", "eth_dst", "arp_sha", "arp_tha", "nd_sll", "nd_tll"})


@dataclass(frozen=True, slots=True)
class Names:
    """The names that one host knows. `ofports`: local interfaces by OpenFlow port; `keys`: of their ports.
    `vnis`: the network, or the VRF, of each VNI. `vteps`: hosts by VTEP.
    """

    snapshot: Snapshot
    ofports: Mapping[int, str]
    keys: Mapping[int, PortKey]
    vnis: Mapping[int, tuple[NetworkKey | None, TenantKey | None]]
    vteps: Mapping[Address, HostName]

    def table(self, number: int) -> str:
        """The name of a table."""
        return _TABLES.get(number, str(number))

    def field(self, name: str) -> str:
        """The name of a field; that of a register is what it means."""
        return _REGISTERS.get(name, name)

    def number(self, field: Field, number: int) -> str:
        """A field's number in words: `network` red/net, `tun_dst` 192.0.2.2 (hv2)."""
        plain = render.value(field, number)
        match field.name:
            case "in_port":
                return self.port(number)
            case "tun_id":
                return self._with(plain, self.vni(number))
            case "tun_src" | "tun_dst":
                return self._with(plain, self.vtep(IPv4Address(number)))
            case "tun_ipv6_src" | "tun_ipv6_dst":
                return self._with(plain, self.vtep(IPv6Address(number)))
            case name if name in _MACS:
                return self._with(plain, self.mac(number))
        return self._register(_REGISTERS.get(field.name, ""), number) or plain

    def port(self, number: int) -> str:
        """An OpenFlow port."""
        if number == CONTROLLER:
            return "the agent"
        switch = self.snapshot.switch
        if switch is not None and number == switch.tunnel:
            return "the tunnel"
        return self.ofports.get(number, f"port number {number}")

    def mac(self, mac: int) -> str:
        """What is known of a MAC without its network; empty if nothing."""
        if mac == GATEWAY_MAC:
            return "the gateway"
        if is_router_mac(mac):
            router = mac & 0xFFFFFFFF
            return next((f"router {h.name}" for h in self._hosts() if h.router_id == router), "a router")
        return ""

    def key_at(self, ofport: int) -> PortKey | None:
        """The port behind an OpenFlow port."""
        return self.keys.get(ofport)

    def behind(self, vni: int) -> tuple[NetworkKey | None, TenantKey | None]:
        """The network, or the VRF, of a VNI."""
        return self.vnis.get(vni, (None, None))

    def vtep(self, address: Address) -> str:
        """The host of a VTEP; empty if none is declared with it."""
        return str(self.vteps.get(address, ""))

    def vni(self, vni: int) -> str:
        """The network or tenant of a VNI; empty if none that this host knows has it."""
        network, vrf = self.behind(vni)
        if network is not None:
            return self.network(network)
        return self.owned(vrf) if vrf is not None else ""

    def owner(self, cookie: int) -> str:
        """What a cookie stands for."""
        return receipts.owner(cookie, self.snapshot)

    def object(self, subject: Object) -> str:
        """What owns a flow."""
        net = NetworkKey(subject.major)
        match subject.kind:
            case Kind.HOST:
                return "host"
            case Kind.CLASS:
                return f"egress class {self._class(subject.major)}"
            case Kind.NETWORK:
                return f"network {self.network(net)}"
            case Kind.VTEP:
                return f"VTEP of {subject.name} in network {self.network(net)}"
            case Kind.PORT:
                return f"port {self.port_of(PortKey(subject.major))}"
            case Kind.REMOTE:
                return f"remote {self.remote(net, subject.minor)}"
            case Kind.ROUTE:
                return f"route to {self.remote(net, subject.minor)}"
            case Kind.VRF:
                return f"tenant {self.vrf(TenantKey(subject.major))}"
            case Kind.SUBNETS:
                return f"subnets of network {self.network(net)}"
            case Kind.SENDER:
                return f"VTEP of {subject.name} for {self.owned(TenantKey(subject.major))}"
            case Kind.WAITING:
                return f"port {self.port_of(PortKey(subject.major))}, which is moving here"
            case Kind.ADDRESS:
                return f"shared address {subject.name} of network {self.network(net)}"
            case Kind.PREFIX:
                return f"prefix {subject.name} of {self.owned(TenantKey(subject.major))}"
            case Kind.OUTSIDE:
                return f"prefix {subject.name} of {self.owned(TenantKey(subject.major))}"
            case Kind.FLOATING:
                return self.floating(Uid(subject.name))
            case Kind.EGRESS:
                return f"egress address of tenant {self.vrf(TenantKey(subject.major))}"
            case Kind.EXTERNAL | Kind.PEERING:
                return self.owned(TenantKey(subject.major))
            case Kind.RULE:
                return self.rule(subject.major)
            case Kind.MEMBER:
                return f"port {self.port_of(PortKey(subject.major))} as a peer of rules"
            case Kind.ADDRESSEE:
                return f"port {self.port_of(PortKey(subject.major))} as one that others send to"
            case Kind.GROUP:
                return f"ports that the same rules judge, group {subject.major:#x}"
            case Kind.JUDGED:
                return f"policy of port {self.port_of(PortKey(subject.major))}"
            case Kind.PEERED:
                return f"address {subject.name} of {self.owned(TenantKey(subject.major))}"
        return f"{Kind(subject.kind).name.lower()} {subject.name or subject.major}"

    def rule(self, number: int) -> str:
        """A rule of a policy by the number that the store gave it."""
        found = (one for one in rulings(self.snapshot) if one.number == number)
        return next((str(one.entry.place) for one in found), f"a rule that is no more, number {number}")

    def floating(self, uid: Uid) -> str:
        """A floating IP, with its port."""
        found = self.snapshot.floating.get(uid)
        if found is None:
            return f"floating IP {uid}"
        return f"floating IP {found.address} of port {self.port_of(found.port)}"

    def owned(self, key: TenantKey) -> str:
        """A VRF by what it is: a tenant, an external network, a peering."""
        name = self.vrf(key)
        return f"tenant {name}" if key in self.snapshot.tenants else name

    def remote(self, network: NetworkKey, mac: int) -> str:
        """A MAC elsewhere, with the port that the store knows under it."""
        found = (p.name for p in self.snapshot.ports_of(network) if p.mac == mac)
        port = next(found, "")
        return f"{'port ' + port if port else 'MAC'} {format_mac(mac)} of network {self.network(network)}"

    def tenant(self, key: NetworkKey) -> str:
        """The tenant of a network."""
        network = self.snapshot.networks.get(key)
        return self.vrf(network.tenant) if network else "?"

    def vrf(self, key: TenantKey) -> str:
        """A tenant, an external network or a peering by its key."""
        tenant, external = self.snapshot.tenants.get(key), self.snapshot.externals.get(key)
        if tenant is not None:
            return tenant.name
        if external is not None:
            return f"external {external.name}"
        peering = self.snapshot.peerings.get(key)
        if peering is None:
            return f"with key {key}"
        return f"peering of {' and '.join(self.vrf(side.tenant) for side in peering.sides)}"

    def network(self, key: NetworkKey) -> str:
        """tenant/network."""
        network = self.snapshot.networks.get(key)
        return f"{self.vrf(network.tenant)}/{network.name}" if network else f"with key {key}"

    def port_of(self, key: PortKey) -> str:
        """tenant/port."""
        port = self.snapshot.ports.get(key)
        return f"{self.tenant(port.network)}/{port.name}" if port else f"with key {key}"

    def _register(self, meaning: str, number: int) -> str:
        match meaning:
            case "network":
                return self.network(NetworkKey(number)) if number else "none"
            case "source":
                return self.port_of(PortKey(number)) if number else "none"
            case "exit":
                return self.port(number) if number else "none"
            case "class":
                return self._class(number)
            case "subject":
                return self.port_of(PortKey(number)) if number else "none"
            case "decided" | "noted":
                return self.rule(number >> 1) if number else "none"
            case "scope":
                return self._scope(number)
            case "domain":
                return self.vrf(TenantKey(number)) if number else "none"
            case "vrf" | "external":
                return self.vrf(TenantKey(number)) if number else "none"
        return ""

    def _scope(self, number: int) -> str:
        if not number:
            return "outside"
        if number & UNROUTED:
            return f"network {self.network(NetworkKey(number ^ UNROUTED))}"
        return self.owned(TenantKey(number))

    def _class(self, number: int) -> str:
        if number == SAME_NETWORK:
            return "same-network"
        if number == EVERYTHING_ELSE:
            return "everything-else"
        found = self.snapshot.classes.get(ClassId(number))
        return found.name if found else str(number)

    def _hosts(self) -> Iterator[Hypervisor]:
        return (self.snapshot.hypervisors[name] for name in sorted(self.snapshot.hypervisors))

    @staticmethod
    def _with(plain: str, name: str) -> str:
        return f"{plain} ({name})" if name else plain


def names(snapshot: Snapshot) -> Names:
    """The names of a snapshot."""
    bare = Names(snapshot, {}, {}, {}, {})
    ofports: dict[int, str] = {}
    keys: dict[int, PortKey] = {}
    for uid in sorted(snapshot.interfaces):
        interface, key = snapshot.interfaces[uid], snapshot.by_uid.get(uid)
        if interface.ofport > 0:
            ofports[interface.ofport] = bare.port_of(key) if key is not None else interface.name
            if key is not None:
                keys[interface.ofport] = key
    vnis: dict[int, tuple[NetworkKey | None, TenantKey | None]] = {}
    for routed in (snapshot.peerings, snapshot.externals, snapshot.tenants):
        vnis.update({vrf.l3vni: (None, vrf_key) for vrf_key, vrf in routed.items() if vrf.l3vni})
    vnis.update({network.vni: (network.key, None) for network in snapshot.networks.values()})
    vteps = {host.vtep: name for name, host in snapshot.hypervisors.items()}
    return Names(snapshot, ofports, keys, vnis, vteps)


def host_of(snapshot: Snapshot, vtep: Address) -> HostName | None:
    """The declared host with a VTEP."""
    return next((n for n in sorted(snapshot.hypervisors) if snapshot.hypervisors[n].vtep == vtep), None)
