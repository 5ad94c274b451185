"""Reasons: why a flow drops a packet, and what to do about it, in words for the operator.

Place: read by `ringfence trace`; a test holds that every flow that drops has its words. Must not decide.

In the words, `{source}` stands for the port that sent, `{network}` for the network, `{tenant}` for the
tenant, `{target}` for the address asked for, `{ip}` and `{mac}` for the packet's destination, `{mtu}` for
the MTU that it exceeds, `{limit}` for the network that has it, and `{rule}` for the rule of a policy that
decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from model.flow import TO_CONTROLLER, DecTtl, Flow, Metered, Move, SetField, Shape
from pipelines import tables
from pipelines.shapes.paths import OUTPUT_NOWHERE


@dataclass(frozen=True, slots=True)
class Reason:
    """`shape`: of the flow, or a prefix of it that ends with `*`; the first that fits holds."""

    shape: str
    why: str
    remedy: str


_FOR_NOBODY: Final = ("route-connected", "route-dead", "peer-miss", "resolve-miss")
"""Names of flows, or how they begin: a packet that meets one is counted, and sent nowhere."""
_HONEST: Final = "Let the workload send with the port's own addresses, or give the port the address."
_ASK: Final = "See that the address is of a port that is bound: ringfence get ports --tenant {tenant}"
_ROUTES: Final = "See: ringfence get ports --tenant {tenant}; ringfence evpn routes"
_LEAVE: Final = "Nothing: such packets are never routed (RFC 1812 section 5.3.7, RFC 4291 section 2.5)."
_CONNECTION: Final = "Nothing; if it goes on, begin the connection anew: its state may have been lost."
_FULL: Final = "Close connections, or raise the limit: docs/operations.md, connections."
_SOON: Final = "Wait a moment; if it stays so: ringfence status shows what the agent waits for."
_DRIFT: Final = "Look at `ringfence drift`: flows are missing."
_OUR_OWN: Final = "Nothing: workloads don't say what only routers and DHCP servers say."

REASONS: Final = (
    Reason("classify-refused", "the frame bears a VLAN tag, or its VTEP may not send this VNI",
           "Send untagged frames; for a VTEP see: ringfence evpn rejected"),
    Reason("classify-miss", "it came through a port that is none of ours",
           "Bind the interface to a port: external_ids:iface-id = the port's uid."),
    Reason("classify-waiting-*", "the port is about to move here: until it is active, only what announces it "
           "is taken, and nothing of it passed on", "See: ringfence migrate --help"),
    Reason("classify-probe*", "it is the answer to a path probe of this host, and for its agent alone",
           "Nothing is wrong: see `ringfence status`."),
    Reason("fence-armed-*", "this host is about to hold the lease of its pair",
           "Nothing: it takes a moment."),
    Reason("fence-miss", "this host does not hold the lease of its pair: its partner serves the ports",
           "See: ringfence status"),
    Reason("guard-asked-dhcp*", "it asks for its configuration (DHCP), and goes to nobody else",
           "Nothing is wrong: the agent answers. See ringfence get port NAME --tenant {tenant} -o yaml."),
    Reason("guard-asked-router", "it asks for its router (RFC 4861), and goes to nobody else",
           "Nothing is wrong: the agent answers."),
    Reason("guard-dhcp*", "the guard refuses what only a DHCP server says", _OUR_OWN),
    Reason("guard-refused", "the guard refuses: source MAC or address is not that of port {source}", _HONEST),
    Reason("guard-miss", "the guard knows no such port", _DRIFT),
    Reason("neighbours-refused-133", "it asks for its router, and its network answers nobody",
           "Set dhcp: true on the network, if its ports shall be told."),
    Reason("neighbours-refused-134", "a workload poses as a router", _OUR_OWN),
    Reason("neighbours-refused-137", "a workload sends a redirect", _OUR_OWN),
    Reason("neighbours-*", "the neighbour discovery message is not of port {source}, or garbled", _HONEST),
    Reason("oversize-told", "too big: MTU {mtu} of network {limit}",
           "Give the workload's interface the MTU of the network: ringfence get networks --tenant {tenant}"),
    Reason("oversize-narrow*", "too big: MTU {mtu} of network {limit}, where it is routed to",
           "Nothing, if the sender heeds what it is told; else give both networks one MTU."),
    Reason("services-arp-own", "the port asks for its own address: nobody answers that", "Nothing."),
    Reason("services-nd-own", "the port asks for its own address: nobody answers that", "Nothing."),
    Reason("services-arp-unknown", "nobody answers: no port of network {network} has the address {target}",
           _ASK),
    Reason("services-miss", "it is neither ARP nor IP", "Send ARP or IP: nothing else is carried."),
    Reason("advertise-miss", "nobody answers: no port of network {network} has the address {target}", _ASK),
    Reason("watch-closed", "port {source} is under policy and has no conntrack zone yet", _SOON),
    Reason("door-closed*", "the port that gets it is under policy and has no conntrack zone yet", _SOON),
    Reason("door-self", "a copy of its own group frame", "Nothing."),
    Reason("door-miss", "no flow leads to the judge of this port", _DRIFT),
    *(Reason(f"{table.name}-miss", "a fragment of another port, held by Open vSwitch, or of nobody any more",
             "Nothing: see docs/policy.md.") for table in tables.OWN),
    Reason("leaving-invalid", "policy: it belongs to no connection and can begin none", _CONNECTION),
    Reason("entering-invalid", "policy: it belongs to no connection and can begin none", _CONNECTION),
    *(Reason(f"{side}-{way}-closed", "its policies are being changed, and too many for one moment", _SOON)
      for side in ("leaving", "entering") for way in ("out", "in")),
    Reason("leaving-miss", "no flow judges what this port sends", _DRIFT),
    Reason("entering-miss", "no flow judges what this port gets", _DRIFT),
    Reason("settle-miss", "no flow remembers what was decided for this port", _DRIFT),
    Reason("policy*", "policy denies it: {rule}", "See: ringfence policy status; docs/policy.md."),
    Reason("gateway-own*", "the gateway takes only echo requests for itself", "Ping it; it has no services."),
    Reason("gateway-never*", "the gateway routes nothing to or from such an address", _LEAVE),
    Reason("gateway-expired*", "its TTL or hop limit was used up at the gateway", "Send a higher one."),
    Reason("route-self*", "the packet would be routed back to the port that sent it",
           "Don't send a port's own address to the gateway."),
    Reason("route-connected*", "no port has the address {ip} in its subnet of tenant {tenant}", _ROUTES),
    Reason("route-back*", "a next hop sends to the prefix that is routed to it: it would come round again",
           "Let the next hop have a route of its own for {ip}."),
    Reason("route-dead*", "no next hop of the static route to {ip} is bound, here or elsewhere", _ASK),
    Reason("nexthop-miss", "no flow has its slot among the next hops", _DRIFT),
    Reason("spread-miss", "no flow has its slot among the next hops", _DRIFT),
    Reason("translate-nowhere*", "no route to {ip}: tenant {tenant} has no network, route or way out for it",
           "Declare a route, a peering or egress for the tenant."),
    Reason("returned-invalid", "it belongs to no connection and can begin none", _CONNECTION),
    Reason("translated-invalid", "it belongs to no connection and can begin none", _CONNECTION),
    Reason("landing-invalid", "it belongs to no connection and can begin none", _CONNECTION),
    Reason("returned-*", "nobody of the tenant began this connection from behind its egress address",
           "Give the port a floating IP, if it shall be reached from outside."),
    Reason("translated-*", "it was not translated: its zone of connections is full, or out of ports", _FULL),
    Reason("landing-*", "it was not translated: the port's zone of connections is full", _FULL),
    Reason("translate-miss", "it came back from outside, and has no route in its tenant", _ROUTES),
    Reason("outside-self*", "the packet would come back to the port that sent it",
           "Don't send to the floating IP of the sender itself."),
    Reason("outside-pool*", "{ip} is of a pool of ours, and nobody has it now",
           "See: ringfence evpn routes; a floating IP is announced where its port is bound."),
    Reason("outside-miss", "no border announces a way to {ip} in the external network",
           "See: ringfence evpn routes"),
    Reason("arrival-inside*", "{ip} is of tenant {tenant} itself: it is not translated here", _ROUTES),
    Reason("peer-miss", "the peering exports {ip}, but no port of the other tenant has it", _ROUTES),
    Reason("arrival-told*", "its TTL or hop limit was used up at the second router", "Send a higher one."),
    Reason("arrival-expired*", "its TTL or hop limit was used up at the second router", "Send a higher one."),
    Reason("arrival-miss", "no port of the tenant on this host has {ip}, or it was sent to another router",
           "The sender's route is stale, or the port has moved: ringfence evpn routes"),
    Reason("addressee-stray", "policy: {rule} forbids the port to send, so its frames are for whom has their "
           "packet's destination: the MAC {mac} does not have {ip}",
           "Declare what has it: an external host's port, or for a router within the network an allowed pair "
           "or a static route; or send it to the gateway."),
    Reason("addressee-miss", "no flow says what becomes of what strays", _DRIFT),
    Reason("resolve-self", "the frame is for the port that sent it", "Nothing."),
    Reason("resolve-group-refused", "network {network} does not replicate broadcast and multicast",
           "Set replicate: true, if the network needs it."),
    Reason("resolve-miss", "unknown unicast: no port of network {network} has the MAC {mac}",
           "See: ringfence get ports --tenant {tenant}; flush the sender's neighbour cache."),
    Reason("guard-poses*", "{source} speaks as an address where only names or metadata are served", _HONEST),
    Reason("served-fragment*", "a question in fragments is put together for nobody", "Ask by TCP."),
    Reason("served-miss", "{ip} serves names by UDP and TCP port 53, or metadata by TCP port 80, no more",
           "See: docs/names.md"),
    Reason("aliased-miss", "nobody on this host answers, or not to that address of port {source}",
           "Start ringfenced services on this host; ask with an address of the port's own."),
    Reason("replied-miss", "ringfenced services sent what is no answer", "Nothing."),
    Reason("restored-miss", "the port that asked is not here any more", "Nothing."),
    Reason("account-miss", "its egress class has no counter", _DRIFT),
    Reason("received-miss", "the egress class of its source has no counter", _DRIFT),
    Reason("limit-miss", "no flow sends what a limited port gets", _DRIFT),
    Reason("output-nowhere", "nobody has the address", _DRIFT),
    Reason("output-miss", "no flow sends this group frame", _DRIFT),
    Reason("delivery-group-refused", "network {network} does not replicate broadcast and multicast",
           "Set replicate: true, if the network needs it."),
    Reason("delivery-miss", "unknown unicast: no port of network {network} here has the MAC {mac}",
           "The sender's route is stale, or the port has moved: ringfence evpn routes"),
    Reason("delivery-*", "nobody behind a tunnel speaks as the gateway, or asks for it",
           "Nothing: each host has the gateway itself."),
)  # fmt: skip


def is_end(shape: Shape) -> bool:
    """Whether a packet that meets such a flow ends there; the agent may get it, to tell its sender."""
    passing = (SetField, Move, DecTtl, Metered)
    kept = (a for a in shape.actions if not isinstance(a, passing) and a not in TO_CONTROLLER)
    return shape.goto is None and not any(True for _ in kept)


def leads_nowhere(shape: Shape) -> bool:
    """Whether a packet that meets such a flow is for nobody: it is counted, and ends behind that."""
    return shape.name.startswith(_FOR_NOBODY)


def ending(flows: Sequence[Flow]) -> Flow:
    """Of the flows that a packet met, the one that decided that it gets nowhere: the last, unless that only
    ends what is for nobody, behind its counter."""
    if flows[-1].shape != OUTPUT_NOWHERE:
        return flows[-1]
    return next((flow for flow in flows if leads_nowhere(flow.shape)), flows[-1])


def reason(flow: Flow) -> Reason:
    """Why this flow drops; if nobody wrote it down, what the table says of a miss."""
    name = flow.shape.name
    for each in REASONS:
        if name == each.shape or (each.shape.endswith("*") and name.startswith(each.shape[:-1])):
            return each
    known = {table.number: table for table in tables.TABLES}
    table = known.get(flow.shape.table)
    said = table.miss.removeprefix("drop: ") if table is not None and not flow.shape.match else ""
    return Reason(
        name, said or f"the flow {name} drops it", "See docs/pipeline.md for what that flow is for."
    )
