"""Gangs in the store: their rows, and the operations of the one transaction that reserves or releases one.

Place: between `ipam.gangs` and `writer`; read by `assembly`. Pure. Must not choose anything: the
cluster's generation, which the server compares, decides who was first (decision 0029).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, Final

from controller.store.identity import row_uid
from controller.store.operations import GANG_MARK, raise_generation
from controller.store.records import Contents
from controller.store.rows import ABSENT, Columns, Row, optional, optional_text, reference, text_set, texts
from controller.store.statements import Operation, by_uid, insert, update, wait
from model.addresses import format_mac, parse_mac
from model.fabric import Guid, PKey, RailIndex, format_guid, format_pkey, parse_guid, parse_pkey
from model.gang import (
    Align,
    Arrange,
    Berth,
    Gang,
    GangRequest,
    GangState,
    Interface,
    Membership,
    Progress,
    Static,
    Use,
)
from model.ids import HostName, Mac, Uid

_NONE: Final = "-"
_NO_MAC: Final = Mac(0)
_NO_GUID: Final = Guid(0)
_NO_PKEY: Final = PKey(0)


def gang(row: Row, berths: Mapping[Uid, Berth]) -> Gang:
    """Table Gang. KeyError or ValueError for what no gang of ours is."""
    found = row["nodes"]
    references = found[1] if found[:1] == ["set"] else [found]
    nodes = sorted((berths[reference(each)] for each in references), key=lambda berth: berth.node)
    block = optional(row["block"])
    return Gang(
        request=parse_request(str(row["request"])),
        generation=int(row["generation"]),
        progress=Progress(GangState(row["state"]), GangState(row["begun"])),
        berths=tuple(nodes),
        pkey=PKey(int(row["pkey"])),
        block=-1 if block is None else int(block),
        why=optional_text(row["why"]),
        vouched=tuple(sorted(texts(row["vouched"]))),
        since=int(optional(row["since"]) or 0),
    )


def berth(row: Row) -> Berth:
    """Table Gang_Node."""
    gpus = tuple(int(gpu) for gpu in str(row["gpus"]).split())
    parts = (_interface(text) for text in str(row["interfaces"]).split(";"))
    return Berth(str(row["node"]), HostName(str(row["host"])), gpus, tuple(parts))


def _interface(text: str) -> Interface:
    slot, pf, vf, rail, mac, node_guid, port_guid, addresses = text.split()
    return Interface(
        int(slot),
        pf,
        int(vf),
        RailIndex(int(rail)),
        () if addresses == _NONE else tuple(ip_address(a) for a in addresses.split(",")),
        _NO_MAC if mac == _NONE else parse_mac(mac),
        _NO_GUID if node_guid == _NONE else parse_guid(node_guid),
        _NO_GUID if port_guid == _NONE else parse_guid(port_guid),
    )


def _told(interface: Interface) -> str:
    """The inverse: words in a fixed order, without quotes, which a text in JSON would have to escape."""
    i = interface
    mac = format_mac(i.mac) if i.mac else _NONE
    guids = f"{format_guid(i.node_guid)} {format_guid(i.port_guid)}" if i.port_guid else f"{_NONE} {_NONE}"
    addresses = ",".join(map(str, i.addresses)) or _NONE
    return f"{i.slot} {i.pf} {i.vf} {i.rail} {mac} {guids} {addresses}"


def format_request(request: GangRequest) -> str:
    """JSON with sorted keys: the same request has the same text."""
    return json.dumps(request_document(request), sort_keys=True, separators=(",", ":"))


def request_document(request: GangRequest) -> dict[str, Any]:
    """As a value; what is as usual is left out."""
    r = request
    said: dict[str, Any] = {"tenant": r.tenant, "name": r.name, "fabric": r.fabric, "each": r.each}
    said |= {"align": r.align.value, "arrange": r.arrange.value, "membership": r.membership.value}
    more = {"nodes": list(r.nodes), "count": r.count, "rails": list(r.rails), "gpus": r.gpus}
    more["pkey"] = format_pkey(r.pkey) if r.pkey else ""
    more["for"] = r.use.value if r.use is not Use.CONTAINER else ""
    more["interfaces"] = [_static(each) for each in r.statics]
    return said | {key: value for key, value in more.items() if value}


def _static(each: Static) -> dict[str, Any]:
    said: dict[str, Any] = {"node": each.node, "pf": each.pf}
    if each.vf is not None:
        said["vf"] = each.vf
    return said | ({"addresses": [str(a) for a in each.addresses]} if each.addresses else {})


def _parse_static(said: Mapping[str, Any]) -> Static:
    vf = said.get("vf")
    addresses = tuple(ip_address(a) for a in said.get("addresses", ()))
    return Static(str(said["node"]), str(said["pf"]), None if vf is None else int(vf), addresses)


def parse_request(text: str) -> GangRequest:
    """The inverse of `format_request`, without the deadline, which is over."""
    said = json.loads(text)
    return GangRequest(
        tenant=str(said["tenant"]),
        name=str(said["name"]),
        fabric=str(said["fabric"]),
        nodes=tuple(said.get("nodes", ())),
        count=int(said.get("count", 0)),
        rails=tuple(RailIndex(int(rail)) for rail in said.get("rails", ())),
        each=int(said["each"]),
        gpus=int(said.get("gpus", 0)),
        align=Align(said["align"]),
        arrange=Arrange(said["arrange"]),
        membership=Membership(said["membership"]),
        pkey=parse_pkey(said["pkey"]) if "pkey" in said else _NO_PKEY,
        statics=tuple(_parse_static(each) for each in said.get("interfaces", ())),
        use=Use(said.get("for", Use.CONTAINER.value)),
    )


def gang_uid(generation: int) -> Uid:
    """Row of a gang: no two are of one generation."""
    return row_uid("Gang", str(generation))


def reservation(contents: Contents, made: Gang, now: int) -> list[Operation]:
    """Write a gang that was placed on these contents, and sweep what has cooled down by `now` (Unix ms).

    The server refuses it if anything was written since: the gang's generation is the cluster's next.
    """
    nodes = [row_uid("Gang_Node", str(made.generation), each.node) for each in made.berths]
    operations = [*_calm(contents), *sweep(contents, now)]
    if any(i.mac for each in made.berths for i in each.interfaces):
        operations.append(_mark(contents, made.generation))
    for uid, each in zip(nodes, made.berths, strict=True):
        row = {
            "generation": made.generation,
            "node": each.node,
            "host": each.host,
            "gpus": " ".join(map(str, each.gpus)),
            "interfaces": ";".join(map(_told, each.interfaces)),
        }
        operations.append(insert("Gang_Node", uid, row))
    row = {
        "tenant": made.request.tenant,
        "name": made.request.name,
        "fabric": made.request.fabric,
        "generation": made.generation,
        **_progress(made.progress),
        "until": 0,
        "request": format_request(made.request),
        "pkey": made.pkey,
        "block": ABSENT if made.block < 0 else made.block,
        "since": made.since,
        "nodes": ["set", [["uuid", uid] for uid in nodes]],
    }
    operations.append(insert("Gang", gang_uid(made.generation), row))
    return [*operations, *raise_generation()]


def departure(contents: Contents, gone: Gang, progress: Progress, until: int, now: int) -> list[Operation]:
    """Let a gang of these contents go, to cool down until `until` (Unix ms); and sweep. Not if it was begun
    meanwhile: `advance` does not raise the cluster's generation.
    """
    uid = gang_uid(gone.generation)
    change = update("Gang", uid, {**_progress(progress), "until": until, "since": now})
    return [*_calm(contents), _unmoved(gone), *sweep(contents, now), change, *raise_generation()]


def parting(
    contents: Contents, gone: Gang, progress: Progress, nodes: tuple[str, ...], until: int, now: int
) -> list[Operation]:
    """What a release writes: a gang of which nothing was begun departs; of another it is written that it is
    to go, and that these nodes bear nothing of it any more. Said twice, it changes nothing.
    """
    if progress.state is GangState.RELEASED:
        return departure(contents, gone, progress, until, now)
    changes: list[Operation] = []
    if progress != gone.progress:
        changes += advance(gone, progress, now)
    if set(nodes) - set(gone.vouched):
        changes += vouch(replace(gone, progress=progress), nodes)
    return [*changes, *raise_generation()]


def advance(moved: Gang, progress: Progress, now: int, why: str = "") -> list[Operation]:
    """Write how far a gang is, and since when (Unix ms), if nobody else has written it since `moved` was
    read. `why`: the reason, if it failed. What it holds stays as it is: placements of others stand.
    """
    uid = gang_uid(moved.generation)
    change: Columns = {**_progress(progress), "since": now}
    if why:
        change["why"] = why
    return [_unmoved(moved), update("Gang", uid, change)]


def vouch(moved: Gang, nodes: tuple[str, ...]) -> list[Operation]:
    """Write that an operator vouches for these nodes to bear nothing of the gang any more."""
    change = update(
        "Gang", gang_uid(moved.generation), {"vouched": text_set(sorted({*moved.vouched, *nodes}))}
    )
    return [_unmoved(moved), change]


def _unmoved(moved: Gang) -> Operation:
    found: Columns = {**_progress(moved.progress), "until": 0}
    return wait("Gang", by_uid(gang_uid(moved.generation)), tuple(found), [found])


def sweep(contents: Contents, now: int) -> list[Operation]:
    """Delete the rows of gangs whose cool-down is over at `now`; their nodes' rows go with them."""
    if any(until <= now for _, until in contents.ledger.cooling.values()):
        return [{"op": "delete", "table": "Gang", "where": [["until", ">", 0], ["until", "<=", now]]}]
    return []


def _mark(contents: Contents, generation: int) -> Operation:
    if contents.gang_mark:
        return {"op": "update", "table": GANG_MARK, "where": [], "row": {"generation": generation}}
    return insert(GANG_MARK, row_uid(GANG_MARK, ""), {"generation": generation})


def _calm(contents: Contents) -> list[Operation]:
    assert contents.cluster is not None
    return [wait("Cluster", [], ("generation",), [{"generation": contents.cluster.generation}])]


def _progress(progress: Progress) -> dict[str, str]:
    return {"state": progress.state.value, "begun": progress.begun.value}
