"""What received EVPN routes cost before anything is programmed: the codec, the relay's early drop, the guard.

Place: part of `make bench`; needs no root. Synthetic UPDATEs as a reflector sends them, one RT-2 each and 40
each, of a cluster of 1,000 hosts. Each figure is taken in a process of its own: its memory is its own.
"""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import Any

from bgp import learn
from bgp.codec import communities, nlri, update
from bgp.interest import interest_of
from bgp.speaker.ribs import Incoming
from model.addresses import router_mac
from model.ids import HostName, Mac, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import Cluster, Hypervisor, Network, Port, Tenant
from model.route import Attributes, Distinguisher, MacRoute, Route
from model.snapshot import Snapshot, with_ports
from tests.bench.figures import Row, Table, resident

ASN = 65000
HOSTS = 1_000
TENANTS = 8
"""Of this host."""
SHARE = 50
"""One network in so many is this host's: 2 %."""
NETWORKS = TENANTS * SHARE
PACKED = 40
SIZES = (50_000, 150_000)
_PEER = "192.0.2.254"


def run() -> tuple[Table, ...]:
    """Measure each in a fresh process."""
    rows = []
    for count in SIZES:
        for packed in (1, PACKED):
            how = f"{count:,} RT-2, {packed} in an UPDATE: "
            whole = _apart(_decode, count, packed)
            dropped = _apart(_drop, count, packed)
            rows.append(_row(how + "decoded, all of them", count, whole, whole))
            rows.append(_row(how + "2 % pass the relay", count, dropped, whole))
            if packed == PACKED or count == SIZES[0]:
                learned = _apart(_learn, count, packed)
                rows.append(_row(how + "2 % relayed, decoded, judged, learned", count, learned, whole))
    return (
        Table(
            "Received EVPN routes, one processor",
            ("processor s", "us a route", "of decoding all", "MB more", "MB in all"),
            tuple(rows),
            (
                "relay: keeps all as bytes, tells what concerns the host, by route targets in the raw bytes",
                f"{TENANTS} tenants of {NETWORKS}, a network each; {HOSTS:,} hosts; IPv4 with every MAC",
                "without ExaBGP, which brings the bytes; MB: resident, of one process",
            ),
        ),
    )


def _row(what: str, count: int, found: tuple[float, float, float], base: tuple[float, float, float]) -> Row:
    seconds, more, whole = found
    return Row(what, (seconds, seconds / count * 1e6, seconds / base[0], more, whole))


def _apart(act: Callable[[int, int], Iterator[None]], count: int, packed: int) -> tuple[float, float, float]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure, (act, count, packed))


def _measure(
    act: Callable[[int, int], Iterator[None]], count: int, packed: int
) -> tuple[float, float, float]:
    """Processor seconds; resident MB, more than before and in all, while what was made still stands.

    The UPDATEs are made one by one; what making them takes is measured alone and taken off.
    """
    began = time.process_time()
    for _ in bodies(count, packed):
        pass
    making = time.process_time() - began
    steps = act(count, packed)
    next(steps)
    gc.collect()
    before = _resident()
    began = time.process_time()
    next(steps)
    seconds = time.process_time() - began - making
    gc.collect()
    after = _resident()
    return seconds, after - before, after


def _resident() -> float:
    return resident((multiprocessing.current_process().pid or 0,))


def _decode(count: int, packed: int) -> Iterator[None]:
    yield
    kept: list[Any] = []
    for body in bodies(count, packed):
        kept.extend(update.decode(body).announced)
    assert len(kept) == count
    yield


def _drop(count: int, packed: int) -> Iterator[None]:
    interest, rib = interest_of(snapshot()), Incoming(2 * count)
    yield
    told = sum(rib.take(update.split(body), interest) is not None for body in bodies(count, packed))
    assert len(rib.routes) == count
    assert 0 < told <= count // SHARE + HOSTS
    yield


def _learn(count: int, packed: int) -> Iterator[None]:
    here = snapshot(count)
    table, rib = learn.peer_up(learn.start(here), _PEER, 0.0)[0], Incoming(2 * count)
    yield
    heard = []
    for body in bodies(count, packed):
        told = rib.take(update.split(body), table.interest)
        if told is not None:
            heard.append((_PEER, update.decode(told)))
    table, outcome = learn.receive_all(table, heard, 1.0)
    assert len(outcome.put_remotes) == len(here.ports)
    yield


def bodies(count: int, packed: int) -> Iterator[bytes]:
    """Bodies of UPDATEs: a host's MACs of one network share their attributes, and may share a message."""
    number = 0
    while number < count:
        network = number // PACKED % NETWORKS
        host = number // PACKED % HOSTS
        raws = []
        for _ in range(min(packed, count - number)):
            raws.append(nlri.encode(_body(number, network, host)))
            number += 1
        hop = _vtep(host)
        rest = _attributes(network, host)
        yield update.join(update.Parts(tuple(raws), hop.packed, (), rest))


def _body(number: int, network: int, host: int) -> MacRoute:
    rd = nlri.distinguisher(Distinguisher(int(_vtep(host)), network + 1))
    address = IPv4Address(0x0A000000 + number)
    return MacRoute(rd, _mac(number), address, _vni(network), Vni(_vni(network) + 10_000))


_MEMO: dict[tuple[int, int], bytes] = {}


def _attributes(network: int, host: int) -> bytes:
    found = _MEMO.get((network, host))
    if found is None:
        vnis = (_vni(network), Vni(_vni(network) + 10_000))
        said = Attributes(
            _vtep(host),
            tuple(communities.route_target(ASN, vni) for vni in vnis),
            router_mac=router_mac(int(_vtep(host))),
            encapsulations=(communities.VXLAN,),
        )
        route = Route(MacRoute(bytes(8), Mac(0), None, Vni(1)), said)
        found = _MEMO[network, host] = update.split(update.encode(route)).rest
    return found


def _vtep(host: int) -> IPv4Address:
    return IPv4Address(0xC6120000 + host)


def _vni(network: int) -> Vni:
    return Vni(10_000 + network)


def _mac(number: int) -> Mac:
    return Mac(0x020000000000 + number)


def snapshot(count: int = 0) -> Snapshot:
    """What the store tells a host with the first of the networks; its ports are among `count` of all."""
    names = [HostName(f"h{n}") for n in range(HOSTS)]
    made = Snapshot(HostName("here"), Cluster(Uid("c"), 1, ASN))
    hosts = {name: Hypervisor(name, _vtep(n), int(_vtep(n))) for n, name in enumerate(names)}
    tenants, networks, ports = {}, {}, []
    for n in range(TENANTS):
        key, home = TenantKey(n + 1), NetworkKey(n + 1)
        tenants[key] = Tenant(Uid(f"t{n}"), f"t{n}", key, Vni(_vni(n) + 10_000))
        networks[home] = Network(Uid(f"n{n}"), key, f"n{n}", home, _vni(n))
    for number in range(count):
        n = number // PACKED % NETWORKS
        if n < TENANTS:
            key = PortKey(number + 1)
            host = names[number // PACKED % HOSTS]
            address = IPv4Address(0x0A000000 + number)
            ports.append(
                Port(
                    Uid(f"p{number}"), NetworkKey(n + 1), f"p{number}", key, _mac(number), (address,), (host,)
                )
            )
    made = Snapshot(
        made.host,
        made.cluster,
        tenants=type(made.tenants)(tenants),
        networks=type(made.networks)(networks),
        hypervisors=type(made.hypervisors)(hosts),
    )
    return with_ports(made, ports)
