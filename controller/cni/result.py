"""Result: what a runtime is answered, in the version that it asked in; and what it hands back of that.

Place: after `commands`, before `main` prints. Must not look at devices.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from controller.cni.addresses import Network, packed, prefix
from controller.cni.berths import Berth
from controller.cni.refusal import BAD_CONFIG, Refusal
from controller.cni.request import VERSIONS, Request

_MODERN = "1.1.0"
_WITH_FAMILY = VERSIONS[: VERSIONS.index("1.0.0")]
"""Results before 1.0.0 say of each address whether it is IPv4 or IPv6."""
_NUMBERS = ("mtu", "advmss", "priority", "table", "scope")
"""Of a route, new in 1.1.0."""


class Route(NamedTuple):
    """`gateway`: "" = on the link. `more`: what 1.1.0 knows besides, by its name there."""

    text: str
    destination: Network
    gateway: str
    more: Mapping[str, int]


class Link(NamedTuple):
    """An interface in the container."""

    name: str
    mac: str
    mtu: int
    sandbox: str
    pci: str


def gateway(berth: Berth, family: int) -> str:
    """The leaf's address in that family; "" if there is none."""
    return next((each for each in berth.gateways if (":" in each) == (family == socket.AF_INET6)), "")


def routes(request: Request, berth: Berth) -> tuple[Route, ...]:
    """Those of the configuration; who names no gateway gets the rail's."""
    listed = request.settings.get("routes") or []
    if not isinstance(listed, list):
        raise Refusal(BAD_CONFIG, "routes is no list", "Each route has a dst.")
    return tuple(_route(each, berth) for each in listed)


def _route(entry: object, berth: Berth) -> Route:
    if not isinstance(entry, dict):
        raise Refusal(BAD_CONFIG, f"routes has {entry!r:.60}", "Each route has a dst.")
    destination = prefix(entry.get("dst"))
    via = entry.get("gw") or gateway(berth, destination.family)
    if via and packed(via)[0] != destination.family:
        raise Refusal(BAD_CONFIG, f"route to {entry['dst']} goes via {via}", "Both are of one family.")
    more = {key: entry[key] for key in _NUMBERS if entry.get(key) is not None}
    for key, number in more.items():
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 32:
            raise Refusal(
                BAD_CONFIG, f"{key} of route to {entry['dst']} is {number!r:.40}", "It is a number."
            )
    if more.get("scope", 0) > 255:
        raise Refusal(
            BAD_CONFIG, f"scope of route to {entry['dst']} is {more['scope']}", "It is at most 255."
        )
    return Route(str(entry["dst"]), destination, via, more)


def mtu(request: Request) -> int:
    """What the interface is to have; 0 = as it is."""
    wanted = request.settings.get("mtu") or 0
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 0 <= wanted <= 65_535:
        raise Refusal(BAD_CONFIG, f"mtu is {wanted!r:.40}", "It is a number of bytes.")
    return wanted


def previous(request: Request) -> Mapping[str, Any]:
    """Of plugins before this one, or of ADD; {} if there is none."""
    found = request.config.get("prevResult")
    if found is None:
        return {}
    lists = ("interfaces", "ips", "routes")
    if not isinstance(found, dict) or not all(isinstance(found.get(key) or [], list) for key in lists):
        raise Refusal(BAD_CONFIG, "prevResult is no result", "It is what ADD answered.")
    return found


def success(request: Request, berth: Berth, ways: Sequence[Route], link: Link | None) -> dict[str, Any]:
    """The answer to ADD. `link` None: to a plugin that has the interface itself, which gets no index."""
    before = previous(request) if link is not None else {}
    interfaces = list(before.get("interfaces") or [])
    index = None if link is None else len(interfaces)
    answer: dict[str, Any] = {"cniVersion": request.version}
    if link is not None:
        answer["interfaces"] = [*interfaces, _interface(link, request.version)]
    answer["ips"] = [*(before.get("ips") or []), *_ips(request.version, berth, index)]
    answer["routes"] = [*(before.get("routes") or []), *(_shown(way, request.version) for way in ways)]
    dns = request.settings.get("dns") or before.get("dns")
    if isinstance(dns, dict) and dns:
        answer["dns"] = dns
    return answer


def _interface(link: Link, version: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": link.name, "mac": link.mac, "sandbox": link.sandbox}
    if version == _MODERN:
        shown |= {"mtu": link.mtu, "pciID": link.pci}
    return shown


def _ips(version: str, berth: Berth, index: int | None) -> list[dict[str, Any]]:
    found = []
    for address in berth.addresses:
        network = prefix(address)
        shown: dict[str, Any] = {"address": address}
        if version in _WITH_FAMILY:
            shown["version"] = "4" if network.family == socket.AF_INET else "6"
        if via := gateway(berth, network.family):
            shown["gateway"] = via
        if index is not None:
            shown["interface"] = index
        found.append(shown)
    return found


def _shown(way: Route, version: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"dst": way.text}
    if way.gateway:
        shown["gw"] = way.gateway
    return {**shown, **way.more} if version == _MODERN else shown
