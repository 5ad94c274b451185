"""Tracing: the walks of a packet on every host involved, joined: each agent says what its own host does.

Place: between the routes and `asking`. Follows a packet from the host of its sender through tunnels until it
is delivered or dropped. Must not know tables or flows.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from controller.api.asking import Document, ask, listed, mapping, number, text
from controller.api.entrance import printable
from controller.api.service import Service
from controller.manifest.suggest import remedy
from controller.manifest.tree import show
from controller.store.records import Contents, PortRecord
from model.addresses import Address
from model.errors import Conflict, Fault, Invalid, NotFound, Unavailable
from model.ids import HostName

MOST_HOSTS: Final = 16
"""Arrivals that one trace follows: a packet takes three at most, a broadcast goes to every host."""
_MOST_STEPS: Final = 400
_MOST_ENDS: Final = 128
_ARRIVED: Final = frozenset({"delivered", "answered"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A packet from a port (tenant, name) to an address, as the operator wrote it."""

    tenant: str
    port: str
    to: str
    proto: str
    sport: int
    dport: int
    size: int


@dataclass(frozen=True, slots=True)
class _Onward:
    """A packet under way to a VTEP."""

    source: str
    vtep: str
    vni: int
    packet: dict[str, int]


def trace(service: Service, asked: Asked) -> Document:
    """`legs` in order, `ends`: what became of the packet and of each copy, `verdict` and `switch` of all.

    `verdict`: delivered, dropped, left (to where no agent is) or unanswered (a host is silent). `switch`:
    agrees, differs or unasked: the worst of all legs. Raises for what can't be asked at all.
    """
    contents = service.store.contents()
    record = _port(contents, asked)
    to = _address(asked.to)
    body: Document = {"port": record.value.uid, "to": str(to), "proto": asked.proto}
    body |= {"sport": asked.sport, "dport": asked.dport, "size": asked.size}
    host = _home(contents, record)
    legs: list[Document] = []
    ends: list[Document] = []
    waiting = _take(service, host, "trace", body, legs, ends)
    followed = 0
    while waiting:
        onward = waiting.pop(0)
        followed += 1
        if followed > MOST_HOSTS:
            ends.append(_end("left", "", f"to {len(waiting) + 1} more hosts: not followed", ""))
            break
        waiting += _follow(service, contents, onward, legs, ends)
    return {
        "from": f"{asked.tenant}/{asked.port}",
        "to": str(to),
        "legs": legs,
        "ends": ends,
        "verdict": _verdict(ends),
        "switch": _worst(legs),
    }


def _take(
    service: Service, host: str, kind: str, body: Document, legs: list[Document], ends: list[Document]
) -> list[_Onward]:
    """Ask one host; its legs and ends are added. What goes on to other hosts is returned."""
    try:
        answer = ask(service, host, kind, body)
    except Unavailable as error:
        fault = error.faults[0]
        ends.append(_end("unanswered", host, f"{fault.object}: {fault.message}", fault.remedy))
        return []
    found = [_leg(host, each) for each in listed(answer.get("legs"), 4)]
    legs.extend(found)
    raw = listed(answer.get("legs"), 4)
    if not raw:
        ends.append(_end("unanswered", host, f"Hypervisor {host}: its answer is empty", "Look at its log."))
        return []
    ends.extend(end for end in found[-1]["ends"] if end["what"] != "tunnelled")
    return [_onward(each) for each in listed(raw[-1].get("onward"), _MOST_ENDS)]


def _follow(
    service: Service, contents: Contents, onward: _Onward, legs: list[Document], ends: list[Document]
) -> list[_Onward]:
    there = [r.value for r in contents.hypervisors.values() if str(r.value.vtep) == onward.vtep]
    if not there:
        why = f"left to VTEP {onward.vtep}, which is of no declared host"
        ends.append(_end("left", "", why, "See: ringfence evpn routes"))
        return []
    name = there[0].name
    if there[0].external:
        ends.append(_end("left", name, f"left to external host {name}: no agent of ours runs there", ""))
        return []
    body = {"vtep": onward.source, "vni": onward.vni, "packet": onward.packet}
    return _take(service, name, "arrival", body, legs, ends)


def _port(contents: Contents, asked: Asked) -> PortRecord:
    found = contents.ports.get((asked.tenant, asked.port))
    if found is None:
        known = [name for tenant, name in contents.ports if tenant == asked.tenant][:20]
        name = printable(f"{asked.tenant}/{asked.port}")
        raise NotFound(Fault(f"Port {name}", "not-found", "it does not exist", remedy(asked.port, known)))
    return found


def _home(contents: Contents, record: PortRecord) -> HostName:
    """The host that the port is bound to; Conflict if it can send nothing."""
    name = f"Port {record.tenant}/{record.value.name}"
    binding = contents.bindings.get(record.value.key)
    if binding is None or not binding.active:
        external = [h for h in record.value.hosts if _is_external(contents, h)]
        if external:
            message = f"it is on external host {external[0]}: no agent of ours runs there"
            raise Conflict(Fault(name, "external-host", message, "Trace from a port on a host of ours."))
        raise Conflict(
            Fault(
                name,
                "port-unbound",
                "it is bound to no host, so no packet can leave it",
                f"Plug it in on one of its hosts; see: ringfence get port {record.value.name} "
                f"--tenant {record.tenant} -o yaml",
            )
        )
    return binding.host


def _is_external(contents: Contents, host: HostName) -> bool:
    found = contents.hypervisors.get(host)
    return found is not None and found.value.external


def _address(word: str) -> Address:
    try:
        found = ip_address(word)
    except ValueError as error:
        message = f"{show(word)} is no address"
        raise Invalid(
            Fault("request", "address-syntax", message, "Write one IPv4 or IPv6 address.", "to")
        ) from error
    if getattr(found, "scope_id", None):
        raise Invalid(
            Fault("request", "address-syntax", f"{show(word)} names a zone", "Leave out the zone.", "to")
        )
    return found


def _leg(host: str, plain: Document) -> Document:
    """What an agent said of one walk, in its bounds; the host is the one that was asked."""
    switch, packet = mapping(plain.get("switch")), mapping(plain.get("packet"))
    verdict = text(switch.get("verdict"), 20)
    return {
        "host": host,
        "title": text(plain.get("title")),
        "packet": {text(k, 50): text(v, 200) for k, v in list(packet.items())[:60]},
        "steps": [_step(each) for each in listed(plain.get("steps"), _MOST_STEPS)],
        "ways": [
            {"hashes": number(e.get("hashes")), "text": text(e.get("text"))}
            for e in listed(plain.get("ways"), _MOST_ENDS)
        ],
        "ends": [
            _end(text(e.get("what"), 20), host, text(e.get("text")), text(e.get("remedy")))
            for e in listed(plain.get("ends"), _MOST_ENDS)
        ],
        "switch": {
            "verdict": verdict if verdict in ("agrees", "differs") else "unasked",
            "text": text(switch.get("text"), 4_000),
        },
    }


def _step(plain: Document) -> Document:
    did = plain.get("did")
    words = {key: text(plain.get(key)) for key in ("table", "flow", "owner", "cookie", "text")}
    shown = [text(each) for each in did[:100]] if isinstance(did, list) else []
    return words | {"number": number(plain.get("number")), "did": shown}


def _onward(plain: Document) -> _Onward:
    packet = mapping(plain.get("packet"))
    numbers = {
        text(k, 50): v for k, v in list(packet.items())[:60] if isinstance(v, int) and 0 <= v < 1 << 128
    }
    return _Onward(
        text(plain.get("from"), 50), text(plain.get("vtep"), 50), number(plain.get("vni")), numbers
    )


def _end(what: str, host: str, words: str, advice: str) -> Document:
    return {"what": what, "host": host, "text": words, "remedy": advice}


def _verdict(ends: list[Document]) -> str:
    """One copy that arrives is enough; a silent host leaves it open."""
    kinds = {end["what"] for end in ends}
    if kinds & _ARRIVED:
        return "delivered"
    return next((kind for kind in ("unanswered", "left") if kind in kinds), "dropped")


def _worst(legs: list[Document]) -> str:
    said: set[Any] = {leg["switch"]["verdict"] for leg in legs}
    return next((verdict for verdict in ("differs", "unasked") if verdict in said), "agrees")
