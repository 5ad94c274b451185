"""Cloud-init: the addresses of a kit as network-config version 2, for the guest that has its VFs.

Place: a renderer of `ipam.exports`. Each value comes from a number. An Ethernet VF is found by its MAC; an
IPoIB link has none that stays (RFC 4391, section 9.1.1: its hardware address begins with a queue pair's
number), so it is found by the name that a udev rule of the image gives it by its port GUID.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipam.exports.kit import Card, Kit
from ipam.exports.remarks import heading, place
from model.addresses import format_mac
from model.fabric import FabricKind


def cloud_init(kit: Kit, mtu: int | None = None) -> str:
    """YAML. `mtu`: of every interface, None = as its driver has it."""
    lines = [f"# {heading(kit)}"]
    if kit.kind is FabricKind.INFINIBAND:
        lines += [
            "# No hardware address of IPoIB stays the same: the image needs these rules, for example in",
            "# /etc/udev/rules.d/70-rails.rules, or the interfaces below are not found.",
            *(f"#   {rule(card)}" for card in kit.cards),
        ]
    lines += ["network:", "  version: 2"]
    lines.append("  ethernets:" if kit.cards else "  ethernets: {}")
    for card in kit.cards:
        lines += [f"    # {place(card)}", f"    {card.name}:"]
        lines += [f"      {line}" for line in _link(kit.kind, card, mtu)]
    return "\n".join([*lines, ""])


def rule(card: Card) -> str:
    """A rule of udev(7) that names an IPoIB link; the last 8 bytes of its address are the port GUID (RFC
    4391, section 9.1.1). 32: ARPHRD_INFINIBAND."""
    guid = f"{card.port_guid:016x}"
    tail = ":".join(guid[i : i + 2] for i in range(0, 16, 2))
    return (
        f'ACTION=="add", SUBSYSTEM=="net", ATTR{{type}}=="32", ATTR{{address}}=="?*:{tail}",'
        f' NAME="{card.name}"'
    )


def _link(kind: FabricKind, card: Card, mtu: int | None) -> Iterator[str]:
    if kind is not FabricKind.INFINIBAND:
        # In quotes: YAML 1.1 takes digits with colons for a number of base 60.
        yield "match:"
        yield f'  macaddress: "{format_mac(card.mac)}"'
        yield f"set-name: {card.name}"
    # A rail must not bring a default route or a name server, nor hold up the boot.
    yield from ("dhcp4: false", "dhcp6: false", "accept-ra: false", "optional: true")
    if mtu is not None:
        yield f"mtu: {mtu}"
    if card.addresses:
        yield "addresses:"
        yield from (f'  - "{one}"' for one in card.addresses)
    if card.routes:
        yield "routes:"
        for route in card.routes:
            yield f'  - to: "{route.to}"'
            yield f'    via: "{route.via}"'
            if route.metric:
                yield f"    metric: {route.metric}"
