"""Berths: what the gangs of this host have on it, as the agent wrote it; and which of that answers a wish.

Place: the file is the only thing that the plugin knows of gangs. It is replaced as a whole, so what is read
is one moment's truth; what is garbled in it is refused as a whole. Must not write it.
"""

from __future__ import annotations

import json
import os
import re
import socket
import stat
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from controller.cni.addresses import packed, prefix
from controller.cni.refusal import BAD_CONFIG, INPUT_OUTPUT, LATER, UNDECODABLE, Refusal
from controller.cni.wish import Wish

VERSION = 1
LARGEST = 16 << 20
ACTIVE, UP = "active", "up"
_PCI = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


class Berth(NamedTuple):
    """One VF of a gang. `addresses` with prefix length, `gateways` without. `pkey`, GUIDs: 0 = none.

    `reached`: how far this host's devices are for the gang. `pci`: "" = the VF is not there.
    """

    tenant: str
    gang: str
    generation: int
    state: str
    reached: str
    pkey: int
    kind: str
    pf: str
    vf: int
    pci: str
    rail: int
    rail_name: str
    addresses: tuple[str, ...]
    gateways: tuple[str, ...]
    mac: str
    node_guid: int
    port_guid: int

    @property
    def ready(self) -> bool:
        """Whether a container may have it."""
        return self.state == ACTIVE and self.reached == UP and bool(self.pci)

    @property
    def shown(self) -> str:
        """As an error names it."""
        return f"VF {self.vf} of {self.pf} ({self.pci or 'not there'})"


def observe(path: str) -> tuple[Berth, ...]:
    """All interfaces of this host's gangs, by rail, PF and VF."""
    try:
        # Not a pipe that nobody writes to, and not a link that leads elsewhere.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Refusal(
            LATER, f"{path} does not exist", "The agent of this host writes it: is it running?"
        ) from None
    except OSError as error:
        raise Refusal(INPUT_OUTPUT, f"{path} can't be read: {error.strerror}", "Run as root.") from None
    with open(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise Refusal(INPUT_OUTPUT, f"{path} is no file", "The agent of this host writes it.")
        text = opened.read(LARGEST + 1)
    try:
        return parse(text)
    except (ValueError, RecursionError) as error:
        raise Refusal(
            UNDECODABLE,
            f"{path} is not what an agent writes: {error}",
            "Agent and plugin belong together.",
        ) from None


def parse(text: bytes) -> tuple[Berth, ...]:
    """ValueError for what does not fit; unknown keys are ignored."""
    if len(text) > LARGEST:
        raise ValueError(f"more than {LARGEST >> 20} MiB")
    found = json.loads(text.decode())
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise ValueError(f"it is no object of version {VERSION}")
    berths = [
        _berth(gang, each) for gang in _list(found, "gangs") for each in _list(_object(gang), "interfaces")
    ]
    active = [berth.pci for berth in berths if berth.state == ACTIVE and berth.pci]
    if len(set(active)) < len(active):
        raise ValueError("two active gangs have one VF")
    return tuple(sorted(berths, key=lambda berth: (berth.rail, berth.pf, berth.vf, berth.generation)))


def choose(berths: Iterable[Berth], wanted: Wish) -> list[Berth]:
    """Those of active gangs that answer the wish, in order; Refusal if there are none, or several rails'.

    Of another tenant's gangs nothing is told.
    """
    mine = [berth for berth in berths if berth.tenant == wanted.tenant]
    gangs = [berth for berth in mine if wanted.gang in (None, berth.gang)]
    named = f"gang {wanted.gang}" if wanted.gang else "a gang"
    if not gangs:
        raise Refusal(
            LATER,
            f"tenant {wanted.tenant} has nothing of {named} on this host",
            "Either the gang has no node here, or the agent has not heard of it yet.",
        )
    found = [berth for berth in gangs if berth.ready and _answers(berth, wanted)]
    if not found:
        waiting = next((berth for berth in gangs if _answers(berth, wanted)), None)
        if waiting is not None:
            raise _unready(waiting)
        raise Refusal(
            BAD_CONFIG,
            f"{named} of tenant {wanted.tenant} has no {_asked(wanted)} on this host",
            "Ask for what the gang has: 'ringfence gang get'.",
        )
    if len({berth.rail for berth in found}) > 1:
        # An address of another rail than the cable's would never work.
        raise Refusal(
            BAD_CONFIG,
            f"{named} of tenant {wanted.tenant} has several rails here, and none is named",
            "Name a rail, a PF or a device.",
        )
    return found


def _unready(berth: Berth) -> Refusal:
    named = f"gang {berth.gang} of tenant {berth.tenant}"
    if berth.state != ACTIVE:
        return Refusal(LATER, f"{named} is {berth.state}", "It has to be active; see 'ringfence gang get'.")
    if not berth.pci:
        return Refusal(LATER, f"{berth.shown} of {named}", "Look at the host's devices.")
    said = f"{named} is active, but devices of this host are not ({berth.reached})"
    return Refusal(LATER, said, "The agent is setting them; see its log.")


def _answers(berth: Berth, wanted: Wish) -> bool:
    return (
        wanted.rail in (None, str(berth.rail), berth.rail_name)
        and wanted.pf in (None, berth.pf)
        and wanted.vf in (None, berth.vf)
        and wanted.pci in (None, berth.pci)
        and (wanted.guid is None or wanted.guid in (berth.port_guid or None, berth.node_guid or None))
        and wanted.pkey in (None, berth.pkey)
        and wanted.mac in (None, berth.mac)
        and set(wanted.ips or ()) <= {prefix(address).address for address in berth.addresses}
    )


def _asked(wanted: Wish) -> str:
    said = [
        f"{name} {_shown(name, value)}"
        for name, value in wanted._asdict().items()
        if value is not None and name not in ("tenant", "gang")
    ]
    return " with ".join(("interface", ", ".join(said))) if said else "interface"


def _shown(name: str, value: Any) -> str:
    if name == "ips":
        families = {4: socket.AF_INET, 16: socket.AF_INET6}
        return ", ".join(socket.inet_ntop(families[len(each)], each) for each in value)
    return f"{value:#x}" if name in ("guid", "pkey") else str(value)


def _berth(gang: Mapping[str, Any], each: object) -> Berth:
    one = _object(each)
    addresses, gateways = _texts(one, "addresses"), _texts(one, "gateway")
    pci, mac = str(one.get("pci") or "").lower(), str(one.get("mac") or "").lower()
    if pci and not _PCI.fullmatch(pci):
        raise ValueError(f"{pci!r:.40} is no PCI address")
    _judge(addresses, gateways)
    if mac and not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac):
        raise ValueError(f"{mac!r:.40} is no MAC")
    return Berth(
        tenant=_text(gang, "tenant"),
        gang=_text(gang, "name"),
        generation=_number(gang, "generation"),
        state=_text(gang, "state").lower(),
        reached=_text(gang, "reached"),
        pkey=_hexadecimal(gang, "pkey") & 0x7FFF,
        kind=str(gang.get("kind") or ""),
        pf=_text(one, "pf"),
        vf=_number(one, "vf"),
        pci=pci,
        rail=_number(one, "rail"),
        rail_name=str(one.get("railName") or ""),
        addresses=addresses,
        gateways=gateways,
        mac=mac,
        node_guid=_hexadecimal(one, "nodeGuid"),
        port_guid=_hexadecimal(one, "portGuid"),
    )


def _judge(addresses: tuple[str, ...], gateways: tuple[str, ...]) -> None:
    try:
        for address in addresses:
            prefix(address)
        for each in gateways:
            packed(each)
    except Refusal as refusal:
        raise ValueError(refusal.message) from None


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.40} is no object")
    return value


def _list(found: Mapping[str, Any], key: str) -> list[Any]:
    value = found.get(key)
    if not isinstance(value, list):
        raise ValueError(f"{key} is no list")
    return value


def _texts(found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = found.get(key) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{key} is no list of texts")
    return tuple(values)


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is no text")
    return value


def _number(found: Mapping[str, Any], key: str) -> int:
    value = found.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{key} is no number")
    return value


def _hexadecimal(found: Mapping[str, Any], key: str) -> int:
    """A number, `0x0010`, or `0200:5200:0000:0001`; 0 if there is none."""
    value = found.get(key) or 0
    if isinstance(value, str):
        return int(value.lower().removeprefix("0x").replace(":", ""), 16)
    if not isinstance(value, int):
        raise ValueError(f"{key} is no number")
    return value
