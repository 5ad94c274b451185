"""Listing: the real flows of the switch with names for numbers, filtered, bounded.

Place: answers the question `flows` of the API. Reads the switch through `read`, on a connection of its own.
Must not change a flow.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.agent.naming import Names
from controller.southbound.openflow.decode import Done, Matched, done, matched
from controller.southbound.openflow.dump import Dump, Observed
from model.errors import Fault, Invalid
from model.flow import Field
from model.ids import NetworkKey, PortKey, TenantKey
from pipelines import cookies, render
from pipelines import fields as f
from pipelines.cookies import Cookie

Document = dict[str, Any]
MOST: Final = 2_000
"""Flows in one answer."""
PATIENCE: Final = 3.0
"""Seconds for looking at flows; of the rest it is said that nobody looked."""
_FIELDS: Final = {field.name: field for field in f.FIELDS}
_STRANGER: Final = "not ours"
Groups = Mapping[PortKey, int]
"""The group of each local port that rules judge: what it is judged by are flows of its group, not its own."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which flows; 0 and None = any. `limit`: at most so many."""

    table: int | None
    port: PortKey
    network: NetworkKey
    tenant: TenantKey
    limit: int

    @property
    def everything(self) -> bool:
        """Whether no flow needs to be looked into."""
        return not (self.port or self.network or self.tenant)


@dataclass(frozen=True, slots=True)
class _About:
    """Ports, networks and tenants that a flow has to do with."""

    ports: frozenset[int]
    networks: frozenset[int]
    tenants: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What is asked for. `groups`: those that have a port of it; `sizes`: of how many ports each group is."""

    choice: Choice
    names: Names
    groups: frozenset[int]
    sizes: Mapping[int, int]

    def __contains__(self, flow: Observed) -> bool:
        wanted, about = self.choice, _about(flow, self.names)
        return (
            (not wanted.port or wanted.port in about.ports)
            and (not wanted.network or wanted.network in about.networks)
            and (not wanted.tenant or wanted.tenant in about.tenants)
        ) or _group(flow) in self.groups

    def needles(self) -> tuple[bytes, ...]:
        """In a table of many flows those of a port have its key, in a register or at the end of their cookie,
        or the name of its group."""
        if not self.choice.port:
            return ()
        return (self.choice.port.to_bytes(4, "big"), *(name.to_bytes(8, "big") for name in self.groups))


def choice(text: str) -> Choice:
    """Of the text of a question; Invalid if it is none."""
    try:
        plain = json.loads(text)
        table = plain["table"]
        numbers = [int(plain[key]) for key in ("port", "network", "tenant", "limit")]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Invalid(
            Fault("question", "malformed-question", str(error), "Let API and agents be of the same version.")
        ) from error
    if table is not None and (not isinstance(table, int) or not 0 <= table < 255):
        raise Invalid(Fault("question", "malformed-question", f"table {table!a}", "See docs/pipeline.md."))
    port, network, tenant, limit = numbers
    most = min(max(limit, 1), MOST)
    return Choice(table, PortKey(port), NetworkKey(network), TenantKey(tenant), most)


def flows(
    wanted: Choice,
    names: Names,
    groups: Groups,
    tables: Callable[[], tuple[int, ...]],
    read: Callable[[int], Dump],
    clock: Callable[[], float],
) -> Document:
    """`flows`: the chosen ones; `counts`: of all chosen, by table; `left`, `unseen`: how many are not shown.

    Flows of a group are those of each port in it: `shared` is how many that are, 0 for all other flows.
    `tables`: the numbers of tables that hold flows; `read`: the dump of one.
    """
    end = clock() + PATIENCE
    chosen = _Chosen(wanted, names, frozenset(_groups_of(wanted, names, groups)), Counter(groups.values()))
    found: list[Document] = []
    counts: list[Document] = []
    left = unseen = 0
    for number in sorted(tables()):
        if wanted.table is not None and number != wanted.table:
            continue
        dump, count = read(number), _Count()
        if wanted.everything:
            rows, total = _first(dump, wanted.limit - len(found)), len(dump)
            count.add_all(dump)
        else:
            rows, total, late = _chosen(dump, chosen, end, clock)
            unseen += late
            for row in rows:
                count.add(row)
        shown = rows[: max(wanted.limit - len(found), 0)]
        left += total - len(shown)
        found.extend(_row(row, names, chosen.sizes) for row in shown)
        if total:
            counts.append(count.document(names.table(number)))
    return {"flows": found, "counts": counts, "left": left, "unseen": unseen}


class _Count:
    """Totals of a table."""

    def __init__(self) -> None:
        self.flows = self.strangers = self.packets = self.octets = 0

    def add(self, flow: Observed) -> None:
        self.flows += 1
        self.strangers += not flow.ours
        self.packets += flow.packets
        self.octets += flow.octets

    def add_all(self, dump: Dump) -> None:
        numbers = dump.counters()
        self.flows = len(dump)
        self.strangers = sum(c >> 48 != cookies.MARK >> 48 for c in numbers.cookie.tolist())
        self.packets, self.octets = sum(numbers.packets.tolist()), sum(numbers.octets.tolist())

    def document(self, table: str) -> Document:
        return {
            "table": table,
            "flows": self.flows,
            "strangers": self.strangers,
            "packets": self.packets,
            "octets": self.octets,
        }


def _first(dump: Dump, room: int) -> list[Observed]:
    """The highest, as many as there is room for; a table of many flows is not sorted for them."""
    every = range(len(dump)) if len(dump) <= MOST else range(max(room, 0))
    return sorted((dump.entry(index) for index in every), key=_rank)[: max(room, 0)]


def _chosen(
    dump: Dump, wanted: _Chosen, end: float, clock: Callable[[], float]
) -> tuple[list[Observed], int, int]:
    """(flows, their number, flows that nobody looked at any more)."""
    chosen: list[Observed] = []
    needles = wanted.needles() if len(dump) > MOST else ()
    for index in range(len(dump)):
        if index % 256 == 0 and clock() > end:
            return sorted(chosen, key=_rank), len(chosen), len(dump) - index
        if needles and not _holds(dump, index, needles):
            continue
        flow = dump.entry(index)
        if flow in wanted:
            chosen.append(flow)
    return sorted(chosen, key=_rank), len(chosen), 0


def _holds(dump: Dump, index: int, needles: tuple[bytes, ...]) -> bool:
    """Whether a flow is worth taking apart: this costs 0.3 us, that 30."""
    start = int(dump.starts[index])
    octets = dump.data[start : start + int(dump.lengths[index])]
    return any(needle in octets for needle in needles)


def _groups_of(wanted: Choice, names: Names, groups: Groups) -> Iterator[int]:
    """Groups that have a port of what is asked for."""
    snapshot = names.snapshot
    for key, group in groups.items() if not wanted.everything else ():
        port = snapshot.ports.get(key)
        network = snapshot.networks.get(port.network) if port is not None else None
        if (
            network is not None
            and wanted.port in (0, key)
            and wanted.network in (0, network.key)
            and wanted.tenant in (0, network.tenant)
        ):
            yield group


def _group(flow: Observed) -> int:
    """Whose flow it is; 0: no group's."""
    cookie = cookies.parse(flow.cookie)
    if cookie is None or cookie.kind is not cookies.Kind.GROUP:
        return 0
    try:
        return next((term.value for term in matched(flow) if term.field == f.ALIKE.field.name), 0)
    except ValueError:
        return 0


def _rank(flow: Observed) -> tuple[int, int, bytes]:
    return (-flow.priority, flow.cookie, flow.match)


def _about(flow: Observed, names: Names) -> _About:
    """Its owner by its cookie, and what its match and actions name."""
    ports, networks, tenants = set[int](), set[int](), set[int]()
    cookie = cookies.parse(flow.cookie)
    if cookie is not None:
        _of_cookie(cookie, ports, networks, tenants)
    for name, number in _numbers(flow):
        match name:
            case "reg1":
                ports.add(number)
            case "reg0":
                networks.add(number)
            case "reg4":
                tenants.add(number)
            case "in_port" | "output" | "reg2":
                key = names.key_at(number)
                ports |= {key} if key else set()
            case "tun_id":
                net, vrf = names.behind(number)
                networks |= {net} if net else set()
                tenants |= {vrf} if vrf else set()
    snapshot = names.snapshot
    networks |= {snapshot.ports[PortKey(p)].network for p in ports if PortKey(p) in snapshot.ports}
    tenants |= {
        snapshot.networks[NetworkKey(n)].tenant for n in networks if NetworkKey(n) in snapshot.networks
    }
    return _About(frozenset(ports - {0}), frozenset(networks - {0}), frozenset(tenants - {0}))


def _of_cookie(cookie: Cookie, ports: set[int], networks: set[int], tenants: set[int]) -> None:
    ports.add(cookie.port)
    networks.add(cookie.network)
    tenants.add(cookie.tenant)


def _numbers(flow: Observed) -> Iterator[tuple[str, int]]:
    """(field, value) of all that it matches or writes; nothing of bytes that make no sense."""
    try:
        yield from ((term.field, term.value) for term in matched(flow))
        for action in done(flow):
            yield (action.field or action.verb, action.number)
    except ValueError:
        return


def _row(flow: Observed, names: Names, sizes: Mapping[int, int]) -> Document:
    group = _group(flow)
    owner = names.owner(flow.cookie) if flow.ours else _STRANGER
    try:
        match = ", ".join(_term(term, names) for term in matched(flow)) or "anything"
        actions = ", ".join(_action(action, names) for action in done(flow)) or "drop"
    except ValueError as error:
        match, actions = f"not understood: {error}", ""
    return {
        "table": names.table(flow.table),
        "number": flow.table,
        "priority": flow.priority,
        "match": match,
        "actions": actions,
        "owner": f"{owner} ({sizes[group]})" if group in sizes else owner,
        "shared": sizes.get(group, 0),
        "ours": flow.ours,
        "cookie": f"{flow.cookie:#018x}",
        "packets": flow.packets,
        "octets": flow.octets,
        "seconds": round(flow.seconds, 1),
    }


def _term(term: Matched, names: Names) -> str:
    mask = "" if term.mask is None else f"/{_value(term.field, term.mask, None)}"
    shown = _value(term.field, term.value, names if term.mask is None else None)
    return f"{names.field(term.field)}={shown}{mask}"


def _action(action: Done, names: Names) -> str:
    match action.verb:
        case "set_field":
            shown = _value(action.field, action.number, names)
            return f"{names.field(action.field)}:={shown}"
        case "move":
            return f"{names.field(action.field)}:={names.field(action.source)}"
        case "output":
            return f"out of {names.port(action.number)}"
        case "output_field":
            return f"out of what {names.field(action.field)} says"
        case "goto" | "resubmit":
            return f"{action.verb} {names.table(action.number)}"
        case "ct":
            return f"connections of zone {action.source}, then {names.table(action.number)}"
        case "group" | "meter":
            return f"{action.verb} {action.number}"
    return action.verb


def _value(name: str, number: int, names: Names | None) -> str:
    """A number with its name; without `names` as OVS writes it (masks have no names)."""
    field = _FIELDS.get(name, Field(name, 128))
    if number >= 1 << field.bits:
        return f"{number:#x}"
    return render.value(field, number) if names is None else names.number(field, number)
