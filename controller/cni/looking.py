"""Looking: whether the interface in a container is still as ADD left it.

Place: CHECK of the main plugin. What later plugins of a chain or the container have added is no difference.
Must not mend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.cni import moving
from controller.cni.addresses import packed, prefix
from controller.cni.berths import Berth
from controller.cni.claims import Claim
from controller.cni.refusal import AMISS, INPUT_OUTPUT, Refusal
from controller.cni.request import Request
from controller.cni.wire import Device, masked


def compare(request: Request, claim: Claim, berth: Berth, before: Mapping[str, Any]) -> None:
    """Refusal with the first difference."""
    try:
        with moving.container(request.netns) as (there, _):
            link = moving.find(there, claim)
            if link is None or link.name != request.attachment.ifname:
                raise _amiss(f"{request.attachment.ifname} of {request.netns} is not {berth.shown}")
            if not link.up:
                raise _amiss(f"{link.name} of {request.netns} is down")
            _same_address(link, before)
            has = there.addresses(link)
            for address in berth.addresses:
                if prefix(address, AMISS) not in has:
                    raise _amiss(f"{link.name} of {request.netns} has lost {address}")
            _same_routes(link, there.routes(link), before)
    except OSError as error:
        raise Refusal(INPUT_OUTPUT, f"{request.netns} can't be looked at: {error.strerror}", "") from None


def _same_address(link: Device, before: Mapping[str, Any]) -> None:
    for told in before.get("interfaces") or []:
        if isinstance(told, dict) and told.get("name") == link.name and told.get("sandbox"):
            mac = str(told.get("mac") or "").lower()
            if mac and mac != link.mac:
                raise _amiss(f"{link.name} has the address {link.mac}, not {mac}")


def _same_routes(link: Device, has: list[tuple[Any, bytes]], before: Mapping[str, Any]) -> None:
    """Those that were told with a gateway of this link's, or without: others are other plugins'."""
    present = {(network.family, masked(network), network.length, via) for network, via in has}
    present |= {(*route[:3], b"") for route in present}
    for told in before.get("routes") or []:
        if not isinstance(told, dict):
            continue
        network = prefix(told.get("dst"), AMISS)
        via = packed(told["gw"])[1] if told.get("gw") else b""
        if (network.family, masked(network), network.length, via) not in present:
            raise _amiss(f"{link.name} has lost its route to {told['dst']}")


def _amiss(message: str) -> Refusal:
    return Refusal(AMISS, message, "Delete the interface and add it again.")
