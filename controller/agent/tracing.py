"""Tracing: the walk of a packet through this host's compiled tables, in words, beside what the switch says.

Place: answers the questions `trace` and `arrival` of the API (controller.api.tracing), which joins the hosts.
Pure but for `real`, which asks the switch. Must not touch the loop's state: it gets values that never change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from controller.agent import inquiry
from controller.agent.core import Core
from controller.agent.inquiry import Arrival, Sending
from controller.agent.naming import Names, host_of, names
from controller.agent.verdict import Real, judge
from model.addresses import Address
from model.errors import Conflict, Fault, NotFound
from model.flow import Flow, Group, Special
from model.ids import NetworkKey, PortKey
from model.intent import Network, Port
from model.serving import IFACE_ID
from pipelines import cookies, reasons, render
from pipelines import fields as f
from pipelines.features.size import ETHERNET
from pipelines.lookup import Lookup
from pipelines.tracking import TUPLE
from pipelines.walk import CONTROLLER, HASH, Packet, Remark, Sent, Step, Walk, Wrote, walk

Document = dict[str, Any]
_REGISTERS: Final = frozenset(register.field.name for register in f.REGISTERS)
_OUTER: Final = frozenset({"tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst", "in_port"})
_CONNECTION: Final = frozenset(field.name for field in (f.CT_STATE, f.CT_ZONE, f.CT_LABEL, *TUPLE))
_STAYS: Final = _OUTER | _REGISTERS | _CONNECTION
"""What a packet has on one host, and does not take along to the next: each looks it up among connections of
its own."""
_SOME_HASH: Final = 1 << 16
"""Of the flow that a trace stands for: not 0, which the switch would replace by one that nobody knows."""
_TOLD: Final = "; the agent has it, to tell its sender or to learn from it"
_ASKS: Final = {True: "asks by ARP who has {target}", False: "solicits {target} by neighbour discovery"}


@dataclass(frozen=True, slots=True)
class Ground:
    """What a walk goes over: the loop's state, its flows, and the names in it."""

    core: Core
    lookup: Lookup
    names: Names


def ground(core: Core, lookup: Lookup) -> Ground:
    """Of the loop's state now."""
    return Ground(core, lookup, names(core.effective))


def trace(asked: Sending, on: Ground, real: Real) -> Document:
    """The legs of a packet that a local port sends: how it finds a MAC to send to, then its own way.

    Raises NotFound or Conflict if the port can't send it.
    """
    port, network, ofport = _sender(asked, on)
    source = next((a for a in port.addresses if a.version == asked.to.version), None)
    if source is None:
        raise Conflict(
            Fault(
                f"Port {on.names.port_of(port.key)}",
                "family-missing",
                f"it has no IPv{asked.to.version} address to send from",
                f"Give its network an IPv{asked.to.version} subnet, or trace to another address.",
            )
        )
    legs: list[Document] = []
    mac = inquiry.group_mac(network, asked.to)
    if mac is None:
        target = inquiry.next_hop(network, asked.to)
        if target is None:
            return {"legs": [_stuck(on, port, asked)]}
        question = dict(inquiry.asking(port, source, target)) | {"in_port": ofport}
        done = walk(on.lookup, question)
        mac = next((m for s in done.sent if s.port == ofport and (m := inquiry.answered(s.packet))), 0)
        words = _ASKS[target.version == 4].format(target=target)
        legs.append(_leg(on, f"port {on.names.port_of(port.key)} {words}", question, done, real))
        if not mac:
            return {"legs": legs}
    if (leg := _beyond_interface(on, port, asked)) is not None:
        return {"legs": [*legs, leg]}
    sent = dict(inquiry.packet(asked, port, source, mac)) | {"in_port": ofport, HASH: _SOME_HASH}
    title = f"port {on.names.port_of(port.key)} sends {asked.proto} to {asked.to}"
    return {"legs": [*legs, _leg(on, title, sent, walk(on.lookup, sent), real)]}


def arrive(asked: Arrival, on: Ground, real: Real) -> Document:
    """The leg of a packet that comes out of the tunnel."""
    snapshot = on.core.effective
    this, switch = snapshot.this(), snapshot.switch
    if this is None or switch is None:
        raise _not_ready(on)
    inner = {k: v for k, v in asked.packet.items() if k not in _STAYS}
    four = asked.vtep.version == 4
    outer = {
        "in_port": switch.tunnel,
        "tun_id": asked.vni,
        "tun_src" if four else "tun_ipv6_src": int(asked.vtep),
        "tun_dst" if four else "tun_ipv6_dst": int(this.vtep),
    }
    packet = inner | outer
    known = host_of(snapshot, asked.vtep)
    vni = on.names.number(f.TUN_ID, asked.vni)
    title = f"arrives from VTEP {asked.vtep}{f' ({known})' if known else ''} under VNI {vni}"
    return {"legs": [_leg(on, title, packet, walk(on.lookup, packet), real)]}


def _sender(asked: Sending, on: Ground) -> tuple[Port, Network, int]:
    snapshot = on.core.effective
    if snapshot.switch is None or snapshot.this() is None:
        raise _not_ready(on)
    key = snapshot.by_uid.get(asked.port)
    port = None if key is None else snapshot.ports.get(key)
    network = None if port is None else snapshot.networks.get(port.network)
    if port is None or network is None:
        message = "its agent does not know the port yet"
        raise NotFound(Fault(f"Hypervisor {snapshot.host}", "port-unknown-there", message, "Try again."))
    interface = snapshot.interfaces.get(port.uid)
    if interface is None or interface.ofport <= 0:
        raise Conflict(
            Fault(
                f"Port {on.names.port_of(port.key)}",
                "port-unplugged",
                f"host {snapshot.host} has no working interface with its iface-id",
                "Plug it in; see: ringfence status",
            )
        )
    return port, network, interface.ofport


def _not_ready(on: Ground) -> Conflict:
    host = on.core.effective.host
    message = "its agent does not know its own switch or declaration yet"
    return Conflict(Fault(f"Hypervisor {host}", "host-not-ready", message, "See: ringfence status"))


def _stuck(on: Ground, port: Port, asked: Sending) -> Document:
    """A packet that no workload could even begin to send."""
    name = on.names.port_of(port.key)
    why = f"port {name} has no gateway for IPv{asked.to.version}, and {asked.to} is in no subnet of its own"
    return _unsent(on, port, asked, why, "Give its network a subnet of that family.")


def _beyond_interface(on: Ground, port: Port, asked: Sending) -> Document | None:
    """A frame that the port's own interface is too small for."""
    interface = on.core.effective.interfaces[port.uid]
    if not interface.mtu or asked.size <= interface.mtu + ETHERNET:
        return None
    name = on.names.port_of(port.key)
    why = f"too big: MTU {interface.mtu} of interface {interface.name} of port {name}, which lets none in"
    return _unsent(on, port, asked, why, "Nothing: its workload knows, and sends none.")


def _unsent(on: Ground, port: Port, asked: Sending, why: str, remedy: str) -> Document:
    """The leg of a packet that does not come to be."""
    end = _end("dropped", why, remedy)
    leg: Document = {
        "host": on.core.effective.host,
        "title": f"port {on.names.port_of(port.key)} sends {asked.proto} to {asked.to}",
    }
    empty: Document = {"packet": {}, "steps": [], "onward": [], "ways": []}
    return leg | empty | {"ends": [end], "switch": {"verdict": "agrees", "text": "it was not asked"}}


def _leg(on: Ground, title: str, packet: Packet, done: Walk, real: Real) -> Document:
    steps = [_step(on, step) for step in done.steps]
    away = [sent for sent in done.sent if sent.port != CONTROLLER]
    ends = [_left(on, sent, packet) for sent in away] or [_dropped(on, done)]
    return {
        "host": on.core.effective.host,
        "title": title,
        "packet": {name: _shown(on, name, number) for name, number in packet.items() if name != HASH},
        "steps": steps,
        "ends": ends,
        "ways": _ways(on, packet, done),
        "onward": [e.pop("onward") for e in ends if "onward" in e],
        "switch": judge(done, on.names, real),
    }


def _ways(on: Ground, packet: Packet, done: Walk) -> list[Document]:
    """Where the hash of a flow decides: how many of the hashes lead where. The walk shows one of them."""
    flows = (step.flow for step in done.steps if step.flow is not None)
    group = next((a for flow in flows for a in flow.shape.actions if isinstance(a, Group)), None)
    if group is None:
        return []
    found: Counter[str] = Counter()
    for slot in range(group.buckets):
        other = walk(on.lookup, dict(packet) | {HASH: group.buckets + slot})
        away = [sent for sent in other.sent if sent.port != CONTROLLER]
        end = _left(on, away[0], packet) if away else _dropped(on, other)
        found[end["text"]] += 1
    return [{"hashes": count, "text": text} for text, count in found.most_common()]


def _step(on: Ground, step: Step) -> Document:
    base: Document = {"table": on.names.table(step.table), "number": step.table}
    if step.flow is None:
        return base | {"flow": "", "owner": "", "did": ["there is no flow, not even a miss"]}
    owner = on.lookup.owner(step.flow)
    return base | {
        "flow": step.flow.shape.name,
        "owner": on.names.object(owner) if owner is not None else on.names.owner(step.flow.cookie),
        "cookie": f"{step.flow.cookie:#018x}",
        "text": render.named(step.flow),
        "did": [_did(on, effect) for effect in step.effects],
    }


def _did(on: Ground, effect: Wrote | Sent | Remark) -> str:
    match effect:
        case Wrote():
            return f"{on.names.field(effect.field.name)} = {on.names.number(effect.field, effect.value)}"
        case Sent():
            return f"out of {on.names.port(effect.port)}"
        case Remark():
            return effect.text


def _left(on: Ground, sent: Sent, came: Packet) -> Document:
    """Where a packet that left a port is now."""
    names, snapshot = on.names, on.core.effective
    tunnel = snapshot.switch.tunnel if snapshot.switch is not None else 0
    if sent.port == tunnel:
        return _tunnelled(on, sent)
    if sent.port == came.get("in_port"):
        return _end("answered", f"answered on the spot, to port {names.port(sent.port)}", "")
    answering = snapshot.interfaces.get(IFACE_ID)
    if answering is not None and sent.port == answering.ofport:
        alias = IPv4Address(sent.has("ip_src")) if sent.has("ip_src") else IPv6Address(sent.has("ipv6_src"))
        return _end("answered", f"ringfenced services on {snapshot.host} has it, from {alias}", "")
    if sent.port in names.ofports:
        return _end("delivered", f"delivered to port {names.port(sent.port)} on {snapshot.host}", "")
    return _end("dropped", f"sent to {names.port(sent.port)}, where nobody is known", "See: ringfence drift")


def _tunnelled(on: Ground, sent: Sent) -> Document:
    vtep: Address = (
        IPv6Address(sent.has("tun_ipv6_dst"))
        if sent.has("tun_ipv6_dst")
        else IPv4Address(sent.has("tun_dst"))
    )
    this = on.core.effective.this()
    vni = on.names.number(f.TUN_ID, sent.has("tun_id"))
    inner = {k: v for k, v in sent.packet.items() if v and k not in _STAYS}
    onward = {
        "from": str(this.vtep) if this else "",
        "vtep": str(vtep),
        "vni": sent.has("tun_id"),
        "packet": inner,
    }
    host = host_of(on.core.effective, vtep)
    text = f"out of the tunnel to VTEP {vtep}{f' ({host})' if host else ''} under VNI {vni}"
    return _end("tunnelled", text, "") | {"onward": onward}


def _dropped(on: Ground, done: Walk) -> Document:
    """Nothing left: one of the last flows says why."""
    last = done.steps[-1]
    if last.flow is None:
        table = on.names.table(last.table)
        return _end("dropped", f"in {table}: it has no flows yet", "See: ringfence status")
    end = reasons.ending([step.flow for step in done.steps if step.flow is not None])
    table, reason = on.names.table(end.shape.table), reasons.reason(end)
    words = _words(on, done.packet) | _limit(on, end, NetworkKey(done.packet.get("reg0", 0)))
    cookie = cookies.parse(end.cookie)
    words["rule"] = on.names.rule(cookie.rule >> 1) if cookie is not None and cookie.rule else ""
    if Special.CONTROLLER_ASKED in end.shape.actions:
        why = f"in {table}: {reason.why.format_map(words)}; the agent has it, to answer it"
        return _end("answered", why, reason.remedy.format_map(words)) | {"table": table}
    told = any(sent.port == CONTROLLER for sent in done.sent)
    why = f"in {table}: {reason.why.format_map(words)}{_TOLD if told else ''}"
    return _end("dropped", why, reason.remedy.format_map(words)) | {"table": table}


def _limit(on: Ground, flow: Flow, source: NetworkKey) -> dict[str, str]:
    """The MTU that the flow stands for, and whose it is: as the agent tells it the sender."""
    cookie, networks = cookies.parse(flow.cookie), on.core.effective.networks
    if cookie is None or cookie.reason is not cookies.Reason.TOO_BIG:
        return {"mtu": "", "limit": ""}
    known = [networks[key].mtu for key in (cookie.network, source) if key in networks]
    return {"mtu": str(min(known, default=0)), "limit": on.names.network(cookie.network)}


def _words(on: Ground, packet: Packet) -> dict[str, str]:
    """What the words of a reason stand for."""
    network, source = NetworkKey(packet.get("reg0", 0)), PortKey(packet.get("reg1", 0))
    four = packet.get("eth_type") != f.IPV6
    target = packet.get("arp_tpa", 0) if packet.get("eth_type") == f.ARP else packet.get("nd_target", 0)
    ip = packet.get("ip_dst", 0) if four else packet.get("ipv6_dst", 0)
    version: Callable[[int], Address] = IPv4Address if four else IPv6Address
    tenant = on.names.tenant(network)
    if packet.get("reg4"):
        tenant = on.names.number(f.VRF.field, packet["reg4"])
    return {
        "network": on.names.network(network),
        "source": on.names.port_of(source),
        "tenant": tenant,
        "target": str(version(target)),
        "ip": str(version(ip)),
        "mac": render.value(f.ETH_DST, packet.get("eth_dst", 0)),
    }


def _shown(on: Ground, name: str, number: int) -> str:
    field = next((each for each in f.FIELDS if each.name == name), None)
    return str(number) if field is None else on.names.number(field, number)


def _end(what: str, text: str, remedy: str) -> Document:
    return {"what": what, "text": text, "remedy": remedy}
