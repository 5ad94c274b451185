"""How fast gangs are placed and are on disk, beside a linear scan; what half a million addresses cost.

Place: part of `make bench`; needs no root. A store of its own in a temporary directory, with the durable
commits of the product.
"""

from __future__ import annotations

import random
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from statistics import median

from controller.store.gangs import departure, reservation
from controller.store.records import Contents
from controller.store.server import Server
from controller.store.writer import Store, Writing, clock, random_uid
from ipam.gangs.booking import book, leave
from ipam.plan import plan
from ipam.spaces.extent import addresses
from ipam.spaces.space import Space
from model.fabric import Addressing, Fabric, FabricKind, Rail, RailIndex
from model.gang import GangRequest
from model.hardware import Gpu, PciAddress, PfSlot
from model.ids import HostName
from model.wanted import Wanted, WantedFabric, WantedHypervisor, WantedNode, WantedSku, WantedTenant
from tests.bench.figures import Cost, Row, Table, frozen_heap, spread, typical

ROUNDS = 5
NODES = 640
VFS = 16
SHAPES = (
    ("gang of 1,024: 128 nodes x 8 rails", "ib", 128),
    ("gang of 5,000: 625 nodes x 8 rails", "ib", 625),
    ("1,024 on RoCE", "roce", 128),
)
WIDE = 16
"""Rails of the shape that whereabouts is slow at: 128 pods with 16 networks each."""
_TWELVE = ip_network("10.16.0.0/12")
HALF_A_MILLION = 500_000
COOLING = 50_000
LOOKS = 20_000
SCANNED = 3
_COOL_DOWN_MS = 1


def run() -> tuple[Table, ...]:
    """Start a store, fill it, measure, remove it."""
    return (_in_store(), _in_memory())


def _in_store() -> Table:
    rows: list[Row] = []
    for rails, shapes in ((8, SHAPES), (WIDE, (("128 nodes x 16 rails (whereabouts #313)", "roce", 128),))):
        with tempfile.TemporaryDirectory(prefix="rfbench") as directory:
            server = Server(Path(directory))
            server.start()
            try:
                store = Store(server.remote)
                try:
                    furnish(store, rails)
                    with frozen_heap():
                        for what, fabric, nodes in shapes:
                            rows.extend(_measure(store, what, fabric, nodes, nodes * rails))
                finally:
                    store.close()
            finally:
                server.stop()
    rows.append(_scanned("128 x 16 by a scan from the start for each address, in memory", 128 * WIDE))
    return Table(
        "Gangs in the store",
        ("p50 ms", "p99 ms", "most ms", "p50 cpu ms", "interfaces/s"),
        tuple(rows),
        (
            f"{NODES} nodes, {VFS} VFs a rail; placed, written durably, and read back by the cache",
            f"{ROUNDS} rounds, each followed by its release; the p99 of few rounds is their most",
            "cpu: of this process, which places and writes; without ovsdb-server's",
            "scan: of each rail's reserved addresses as text, as whereabouts does; no store, no VF, no MAC",
        ),
    )


def _measure(store: Store, what: str, fabric: str, nodes: int, size: int) -> list[Row]:
    places, taken, given = [], [], []
    for number in range(ROUNDS):
        request = GangRequest("bench", f"g{number}", fabric, count=nodes)
        contents = store.contents()
        places.append(_spent(partial(book, contents, request, clock())))
        taken.append(_spent(partial(reserve, store, request)))
        given.append(_spent(partial(release, store, request)))
    return [
        _row(f"{what}, placed only", places, size),
        _row(f"{what}, reserved", taken, size),
        _row(f"{what}, released", given, size),
    ]


def _row(what: str, costs: Sequence[Cost], size: int) -> Row:
    seconds, cost = [each.wall for each in costs], typical(costs)
    return Row(what, (*spread(seconds), cost.processor * 1e3, size / cost.wall))


def _spent(act: Callable[[], object]) -> Cost:
    """Finer than the ticks in which processes are charged; this process alone, without the store's server."""
    began, used = time.perf_counter(), time.process_time()
    act()
    return Cost(time.perf_counter() - began, time.process_time() - used)


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def reserve(store: Store, request: GangRequest) -> None:
    def build(contents: Contents) -> Writing:
        now = clock()
        made = book(contents, request, now)
        return Writing(tuple(reservation(contents, made, now)), "", now)

    store.write(build, "", "")
    store.contents()


def release(store: Store, request: GangRequest) -> None:
    def build(contents: Contents) -> Writing:
        now = clock()
        gone, progress = leave(contents, request.tenant, request.name, 0)
        return Writing(tuple(departure(contents, gone, progress, now + _COOL_DOWN_MS, now)), "", now)

    store.write(build, "", "")
    store.contents()


def furnish(store: Store, rails: int) -> None:
    store.ensure_cluster(65000, ())
    wanted: list[Wanted] = [WantedTenant("bench")]
    for fabric, kind in (("ib", FabricKind.INFINIBAND), ("roce", FabricKind.ROCE)):
        planes = tuple(
            Rail(
                RailIndex(n),
                f"r{n}",
                (ip_network((10 << 24 | n + 64 << 16, 16)), ip_network((0xFD << 120 | n << 80, 48))),
            )
            for n in range(rails)
        )
        pfs = tuple(
            PfSlot(f"p{n}", PciAddress(512 + n), kind, RailIndex(n), 0, n % 8, VFS, 128 * (fabric == "ib"))
            for n in range(rails)
        )
        wanted.append(WantedSku(f"sku-{fabric}", tuple(Gpu(PciAddress(n), 0) for n in range(8)), pfs))
        shape = Fabric(fabric, kind, planes)
        wanted.append(
            WantedFabric(
                fabric,
                kind,
                shape.rails,
                range(1, 0x7FFF),
                (range(2 << 56, (2 << 56) + (1 << 32)),),
                Addressing.TENANT,
                20,
                64,
            )
            if fabric == "ib"
            else WantedFabric(fabric, kind, shape.rails, None, None, Addressing.LINK, 27, 64)
        )
        # Of RoCE 128: their links fit a /16 by a /27 each.
        first, count = (1, NODES) if fabric == "ib" else (1001, 128)
        for n in range(first, first + count):
            host = HostName(f"hv{n}")
            wanted += [
                WantedHypervisor(host, ip_address("172.16.0.0") + n),
                WantedNode(f"{fabric}{n}", f"sku-{fabric}", fabric, host),
            ]
    store.change(lambda contents: plan(contents, wanted, clock(), random_uid), "", "", lambda _: "")


def _scanned(what: str, size: int) -> Row:
    """Each address: build the map of what is reserved, go through the range from its start."""
    began, used = time.perf_counter(), time.process_time()
    reserved: list[list[str]] = [[] for _ in range(WIDE)]
    for number in range(size):
        mine = reserved[number % WIDE]
        mine.append(_scan(mine))
    cost = Cost(time.perf_counter() - began, time.process_time() - used)
    return _row(what, [cost], size)


def _scan(reserved: Sequence[str]) -> str:
    taken = dict.fromkeys(reserved)
    return next(text for each in _TWELVE.hosts() if (text := str(each)) not in taken)


def _in_memory() -> Table:
    first, most = _TWELVE.network_address, _TWELVE.num_addresses
    space, size = _filled(range(1, HALF_A_MILLION + 1))
    torn, wide = _filled(random.Random(1).sample(range(1, most - 1), HALF_A_MILLION))
    tired, cooled = _filled(range(1, HALF_A_MILLION + 1), COOLING)
    found = [_timed(space.next_free) for _ in range(LOOKS)]
    middle = int(first) + most // 2
    searched = [_timed(partial(torn.next_free, middle + look)) for look in range(LOOKS)]
    rested = [_timed(tired.next_free) for _ in range(LOOKS)]
    swaps = []
    for number in range(LOOKS):
        value = space.extent.span.start + 1 + number * 7
        swaps.append(
            _timed(lambda value=value: (space.undo(value, 1), space.take(space.next_free() or 0, 1)))
        )  # type: ignore[misc]
    held = set(space.holders())
    scans = [_timed(lambda: next(v for v in space.extent.span[1:] if v not in held)) for _ in range(SCANNED)]
    objects = {ip_address(value) for value in held}
    slow = [_timed(lambda: next(a for a in _TWELVE.hosts() if a not in objects)) for _ in range(SCANNED)]
    return Table(
        f"Next free of a /12 with {HALF_A_MILLION:,} addresses in use",
        ("median us", "MB"),
        (
            Row("two-level bitmap with generations: next free", (median(found) * 1e6, size / 1e6)),
            Row("  give one back, take the next free", (median(swaps) * 1e6, None)),
            Row("  the same scattered over all of it, from the middle", (median(searched) * 1e6, wide / 1e6)),
            Row(f"  the same in a row, {COOLING:,} of them cool down", (median(rested) * 1e6, cooled / 1e6)),
            Row("scan of a set of numbers", (median(scans) * 1e6, None)),
            Row("scan of addresses as objects", (median(slow) * 1e6, None)),
        ),
        ("all include the call of a function; MB: traced, the whole space",),
    )


def _filled(places: Iterable[int], cooling: int = 0) -> tuple[Space, int]:
    """Addresses of the /12 by their place in it, the first of them given back already; and bytes for all."""
    tracemalloc.start()
    try:
        space = Space(addresses("bench", _TWELVE))
        for place in places:
            space.take(space.extent.span.start + place, 1)
        for value in range(space.extent.span.start + 1, space.extent.span.start + 1 + cooling):
            space.release(value, 1, clock())
        return space, tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
