"""What an answer to Prometheus costs with 40,960 interfaces of 320 gangs, all of whose hosts and ports speak.

Place: part of `make bench`; needs no root. The estate of `tests.bench.gangs`, in a store of its own.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from controller.api.metrics import Answers
from controller.api.pools import Memory
from controller.api.service import Service
from controller.api.turns import Turns
from controller.store.reports import Saying
from controller.store.server import Server
from controller.store.words import Word
from controller.store.writer import Store, clock, random_uid
from ipam.plan import plan
from model.bearing import FabricWord, HostPart, HostWord, Reached, format_fabric, format_host
from model.gang import GangRequest, GangState
from model.report import Report, State, render
from model.wanted import WantedTenant
from tests.bench import gangs
from tests.bench.figures import Row, Table, spread
from tests.fakes.kits import sighting

TENANTS = 4
GANGS = 320
NODES = 16
"""Of each gang, on 8 rails."""
ROUNDS = 8


def run() -> tuple[Table, ...]:
    """Start a store, fill it, measure, remove it."""
    with tempfile.TemporaryDirectory(prefix="rfbench") as directory:
        server = Server(Path(directory))
        server.start()
        try:
            store = Store(server.remote)
            try:
                return (_measured(store),)
            finally:
                store.close()
        finally:
            server.stop()


def _measured(store: Store) -> Table:
    gangs.furnish(store, 8)
    wanted = [WantedTenant(f"t{number}") for number in range(TENANTS)]
    store.change(lambda contents: plan(contents, wanted, clock(), random_uid), "", "", lambda _: "")
    for number in range(GANGS):
        gangs.reserve(store, GangRequest(f"t{number % TENANTS}", f"g{number}", "ib", count=NODES))
    _speak(store)
    answers = Answers(Service(store, clock, random_uid), Memory(), Turns(1))
    first = _processor(answers)
    again = [_processor(answers) for _ in range(ROUNDS)]
    after = []
    for number in range(ROUNDS):
        gangs.release(store, GangRequest(f"t{number % TENANTS}", f"g{number}", "ib", count=NODES))
        after.append(_processor(answers))
    rows = (
        Row("the first one", spread([first])),
        Row("nothing has changed", spread(again)),
        Row("a gang was released before", spread(after)),
    )
    contents = store.contents()
    size = sum(gang.size for gang in contents.ledger.gangs.values())
    notes = (
        f"{size:,} interfaces at the end, {len(contents.nodes)} nodes; {len(answers.make()):,} bytes",
        "processor time of the API's process; waiting for the store is not in it",
    )
    return Table("An answer to Prometheus", ("p50 ms", "p99 ms", "most ms"), rows, notes)


def _speak(store: Store) -> None:
    """Every host reports and has a word, and the fabric's process one of all ports."""
    contents, now = store.contents(), clock()
    held = contents.ledger.gangs.values()
    on: dict[str, list[HostPart]] = {}
    for gang in held:
        for berth in gang.berths:
            part = HostPart(gang.generation, GangState.ACTIVE, GangState.ACTIVE, Reached.UP)
            on.setdefault(berth.host, []).append(part)
    for record in contents.nodes.values():
        host, devices = record.value.host, sighting(contents.skus[record.value.sku].value)
        head, whole = (
            Report(host, now, 1, State.IN_SYNC),
            Report(host, now, 1, State.IN_SYNC, devices=devices),
        )
        store.say(host, Saying(render(head), render(whole), {}, now, 0), None)
        store.say_of_host(Word(host, format_host(HostWord(tuple(on.get(host, ())))), now))
    ports = (i.port_guid for gang in held for berth in gang.berths for i in berth.interfaces)
    word = FabricWord("ib", "opensm", "bench", tables=dict.fromkeys(ports, (0x8001, 0x7FFF)))
    store.say_of_fabric(Word("ib", format_fabric(word), now))


def _processor(answers: Answers) -> float:
    began = time.process_time()
    answers.make()
    return time.process_time() - began
