"""Objects: the small cluster of the scenarios, and the lines that each of its objects brings about.

Place: states are composed of these. The lines are written by hand, as templates; nothing here asks the
product what it would do.

Networks 1 (tenant 1) and 2 (tenant 2) have the same subnets; 4 is IPv4 only, 6 is IPv6 only. Ports are
numbered by network: 11 to 15 on network 1. VNI = 1000 + network. We are hv1; hv3 is external.
"""

from __future__ import annotations

from model.ids import PROBE_VNI
from tests.fakes.world import HERE, egress_class, hypervisor, network, port, tenant

T1, T2 = tenant(1), tenant(2)
# Bridged only. What routing adds is told where it is the subject: tests of the pipeline and of EVPN routes.
N1, N2 = network(1, owner=1, routed=False), network(2, owner=2, routed=False)
N1_REPLICATING = network(1, owner=1, routed=False, replicate=True)
N4, N6 = network(4, routed=False, subnets=["10.4.0.0/24"]), network(6, routed=False, subnets=["fd06::/64"])
HV1 = hypervisor("hv1", "192.0.2.1")
HV2 = hypervisor("hv2", "192.0.2.2")
HV3 = hypervisor("hv3", "192.0.2.3", external=True)
HV4 = hypervisor("hv4", "192.0.2.4")
STORAGE = egress_class(2, ["10.9.0.0/16", "2001:db8::/32"])

P11 = port(11, 1, 0x020000000001, ["10.0.0.1", "fd00::1"], [HERE, "hv2"])
P12 = port(12, 1, 0x020000000002, ["10.0.0.2"], [HERE])
P13 = port(13, 1, 0x020000000003, ["10.0.0.3", "fd00::3"], ["hv2"])
P14 = port(14, 1, 0x020000000004, ["10.0.0.4"], ["hv3"])
P15 = port(15, 1, 0x020000000005, ["10.0.0.5"], ["hv2", "hv4"])
P16 = port(16, 1, 0x020000000006, ["10.0.0.6"], ["hv2"])
P21 = port(21, 2, 0x020000001001, ["10.0.0.1", "fd00::1"], [HERE])
P41 = port(41, 4, 0x020000004001, ["10.4.0.1"], [HERE])
P61 = port(61, 6, 0x020000006001, ["fd06::1"], [HERE])

M1, M2, M3, M4, M5 = (f"02:00:00:00:00:0{n}" for n in range(1, 6))
M21, M41, M61 = "02:00:00:00:10:01", "02:00:00:00:40:01", "02:00:00:00:60:01"


def apart(net: int) -> str:
    """Networks of these states are not routed: the addresses of each are meant in it alone."""
    return f"reg12:={65536 + net}"


def local(net: int, key: int, mac: str, ofport: int, *classes: int) -> tuple[str, ...]:
    """Flows of a port that lives here; a counter for each class, the built-in 0 and 1 among them."""
    return (
        f"classify in_port={ofport} untagged | reg0:={net} reg1:={key} reg4:=0 {apart(net)} >guard",
        f"classify in_port={ofport} | drop",
        f"resolve reg1={key},eth_dst={mac} | drop",
        f"resolve reg0={net},eth_dst={mac} | reg2:={ofport} >mark",
        f"delivery reg0={net},eth_dst={mac} | output:{ofport}",
        *(f"account reg1={key},reg3={cls} | >output" for cls in (0, 1, *classes)),
    )


def answers(net: int, mac: str, *addresses: str) -> tuple[str, ...]:
    """ARP and ND answers for a MAC, local or remote; link-local ones only if it has an IPv6 address."""
    return tuple(f"answer {net} {address} is {mac}" for address in addresses)


def remote(net: int, mac: str, vtep: str) -> tuple[str, ...]:
    """The way to a MAC behind a tunnel."""
    return (f"resolve reg0={net},eth_dst={mac} | tun_id:={1000 + net} tun_dst:={vtep} reg2:=100 >mark",)


def source(net: int, vtep: str) -> tuple[str, ...]:
    """A VTEP that may send this VNI; its answers to path probes come home."""
    network = f"untagged | reg0:={net} {apart(net)} >delivery"
    answer = "untagged,eth_dst=0a:00:52:f1:00:11 | CONTROLLER_APART"
    return (
        f"classify in_port=100,tun_id={1000 + net},tun_src={vtep} {network}",
        f"classify in_port=100,tun_id={PROBE_VNI},tun_src={vtep} {answer}",
    )


def subnets(net: int, *prefixes: str) -> tuple[str, ...]:
    """Traffic within the network is billed as such."""
    return tuple(f"class reg0={net},to {prefix} | reg3:=0 >account" for prefix in prefixes)


BOTH = ("10.0.0.0/255.255.255.0", "fd00::/ffff:ffff:ffff:ffff::")

L11 = local(1, 11, M1, 1) + answers(1, M1, "10.0.0.1", "fd00::1", "fe80::ff:fe00:1")
L12 = local(1, 12, M2, 2) + answers(1, M2, "10.0.0.2")
L21 = local(2, 21, M21, 3) + answers(2, M21, "10.0.0.1", "fd00::1", "fe80::ff:fe00:1001")
L41 = local(4, 41, M41, 4) + answers(4, M41, "10.4.0.1")
L61 = local(6, 61, M61, 5) + answers(6, M61, "fd06::1", "fe80::ff:fe00:6001")
R13 = remote(1, M3, "192.0.2.2") + answers(1, M3, "10.0.0.3", "fd00::3", "fe80::ff:fe00:3")
STORAGE_FLOWS = (
    "class to 10.9.0.0/255.255.0.0 | reg3:=2 >account",
    "class to 2001:db8::/ffff:ffff:: | reg3:=2 >account",
)


def ours(net: int, mac: str, *addresses: str, sequence: int = 0) -> tuple[str, ...]:
    """RT-2 that we announce for a port: the MAC alone, and with each address."""
    said = f" sequence {sequence}" if sequence else ""
    tail = f"vni {1000 + net}{said} rd 0.0.0.1:{net} via 192.0.2.1 target 65000:{1000 + net}"
    return (f"RT-2 mac {mac} {tail}", *(f"RT-2 mac {mac} ip {address} {tail}" for address in addresses))


def our_flood(net: int) -> tuple[str, ...]:
    """RT-3 that we announce for a network that lives here."""
    vni = 1000 + net
    return (f"RT-3 originator 192.0.2.1 vni {vni} rd 0.0.0.1:{net} via 192.0.2.1 target 65000:{vni}",)


A11 = ours(1, M1, "10.0.0.1", "fd00::1")
A12 = ours(1, M2, "10.0.0.2")
