"""Askers: a port as services see it, and the questions that its workload may ask, made by scapy.

Place: imported by the tests of services. Knows nothing of the code that answers.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any, Final

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import DUID_LL, DHCP6OptClientId, DHCP6OptIA_NA, DHCP6OptIAAddress
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6ND_RS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from model.guidance import Guidance
from model.ids import Mac, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import Network, Port

NETWORK_UID: Final = Uid("11111111-2222-4333-8444-555555555555")
MAC: Final = "02:00:00:00:00:01"
OTHER: Final = "02:00:00:00:00:02"
LINK: Final = "fe80::ff:fe00:1"
GATEWAY: Final = "0a:00:52:f1:00:01"
GATEWAY_LINK: Final = "fe80::800:52ff:fef1:1"
EVERYBODY: Final = "ff:ff:ff:ff:ff:ff"
XID: Final = 0x12345678
GUIDANCE: Final = Guidance(
    resolvers=(ip_address("10.0.0.2"), ip_address("fd00::2")),
    domain="a.example",
    search=("b.example",),
    routes=((ip_network("192.0.2.0/25"), ip_address("10.0.0.9")),),
    lease=7200,
)
ALL: Final = [1, 3, 6, 12, 15, 26, 119, 121]


def network(*subnets: str, **fields: Any) -> Network:
    return Network(
        NETWORK_UID, TenantKey(1), "n", NetworkKey(1), Vni(100), tuple(map(ip_network, subnets)), **fields
    )


def port(*addresses: str) -> Port:
    own = tuple(map(ip_address, addresses))
    return Port(Uid("p"), NetworkKey(1), "vm-1", PortKey(1), Mac(0x020000000001), own, ())


def dhcp4(
    *options: Any,
    source: str = "0.0.0.0",
    to: str = "255.255.255.255",
    mac: str = MAC,
    ports: tuple[int, int] = (68, 67),
    **header: Any,
) -> bytes:
    """A message of DHCPv4. The header's defaults are those of an honest client."""
    fields = {"chaddr": bytes.fromhex(MAC.replace(":", "")), "xid": XID} | header
    udp = UDP(sport=ports[0], dport=ports[1])
    made = Ether(src=mac, dst=EVERYBODY) / IP(src=source, dst=to) / udp / BOOTP(**fields)
    return bytes(made / DHCP(options=[*options, "end"]))


def dhcp6(
    message: Packet, *options: Packet, source: str = LINK, to: str = "ff02::1:2", mac: str = MAC
) -> bytes:
    """A message of DHCPv6, as its options say."""
    made = Ether(src=mac, dst="33:33:00:01:00:02") / IPv6(src=source, dst=to) / UDP(sport=546, dport=547)
    made /= message
    for option in options:
        made /= option
    return bytes(made)


def own_id(mac: str = MAC) -> Packet:
    return DHCP6OptClientId(duid=DUID_LL(lladdr=mac))


def association(*addresses: str, number: int = 1) -> Packet:
    return DHCP6OptIA_NA(iaid=number, ianaopts=[DHCP6OptIAAddress(addr=address) for address in addresses])


def solicitation(source: str = LINK, to: str = "ff02::2", mac: str = MAC, hops: int = 255) -> bytes:
    """Of a router; with its own MAC in it, unless it has no address yet."""
    made = Ether(src=mac, dst="33:33:00:00:00:02") / IPv6(src=source, dst=to, hlim=hops) / ICMPv6ND_RS()
    return bytes(made if source == "::" else made / ICMPv6NDOptSrcLLAddr(lladdr=mac))
