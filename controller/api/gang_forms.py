"""Forms of gangs: the body of a request, checked by pydantic, and the documents of answers.

Place: between `controller.api.gangs` and the pure core. Pure. Must not decide anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from controller.store.gangs import request_document
from ipam.gangs.ledger import Ledger, holding
from ipam.gangs.place import Placement
from ipam.gangs.refusal import Lack
from model.addresses import Address, format_mac
from model.errors import Fault, Invalid
from model.fabric import Addressing, Fabric, PKey, format_guid, format_pkey, parse_pkey
from model.gang import Align, Arrange, Berth, Gang, GangRequest, Membership, Quota, Static, Use

Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
MOST_NODES = 4096


class StaticBody(BaseModel):
    """One interface by value: a VF by its number, or the one that has the addresses, or both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: Name
    pf: Name
    vf: Annotated[int | None, Field(ge=0, le=254, strict=True)] = None
    addresses: Annotated[tuple[IPv4Address | IPv6Address, ...], Field(max_length=2)] = ()

    def static(self) -> Static:
        """Typed."""
        return Static(self.node, self.pf, self.vf, self.addresses)


class GangBody(BaseModel):
    """`nodes` names them, `count` asks for any. `rails`: names; none = all. `gpus`: of each node, for this
    gang alone. `within`: seconds that the request may wait for its turn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    fabric: Name
    nodes: Annotated[tuple[Name, ...], Field(max_length=MOST_NODES)] = ()
    count: Annotated[int, Field(ge=0, le=MOST_NODES, strict=True)] = 0
    rails: Annotated[tuple[Name, ...], Field(max_length=64)] = ()
    each: Annotated[int, Field(ge=1, le=255, strict=True)] = 1
    gpus: Annotated[int, Field(ge=0, le=32, strict=True)] = 0
    align: Align = Align.GPU
    arrange: Arrange = Arrange.PACK
    membership: Membership = Membership.FULL
    pkey: Annotated[int, Field(strict=True)] | Annotated[str, Field(max_length=6)] | None = None
    interfaces: Annotated[tuple[StaticBody, ...], Field(max_length=MOST_NODES)] = ()
    use: Annotated[Use, Field(alias="for")] = Use.CONTAINER
    within: Annotated[float, Field(gt=0, le=60)] = 30.0

    def request(self, tenant: str, fabric: Fabric | None, now: int) -> GangRequest:
        """Typed; rails by index. `now`: Unix ms. Raises Invalid with every rule between fields that broke."""
        faults = list(self._faults(f"Gang {tenant}/{self.name}", fabric))
        if faults:
            raise Invalid(*faults)
        indexes = {} if fabric is None else {rail.name: rail.index for rail in fabric.rails}
        return GangRequest(
            tenant,
            self.name,
            self.fabric,
            tuple(sorted(self.nodes)),
            self.count,
            tuple(sorted(indexes[rail] for rail in self.rails if rail in indexes)),
            self.each,
            self.gpus,
            self.align,
            self.arrange,
            self.membership,
            now + int(self.within * 1000),
            PKey(0) if self.pkey is None else parse_pkey(str(self.pkey)),
            tuple(each.static() for each in self.interfaces),
            self.use,
        )

    def _faults(self, name: str, fabric: Fabric | None) -> list[Fault]:
        found = []
        if bool(self.nodes) == bool(self.count):
            message = "either nodes or count says where it shall be"
            found.append(Fault(name, "nodes-or-count", message, "Write one of the two.", "nodes"))
        for field, words in (("nodes", self.nodes), ("rails", self.rails)):
            if len(set(words)) < len(words):
                found.append(
                    Fault(name, "written-twice", f"{field} has a name twice", "Write it once.", field)
                )
        try:
            parse_pkey("1" if self.pkey is None else str(self.pkey))
        except ValueError as error:
            found.append(Fault(name, "pkey-syntax", str(error), "Write 0x0010, or leave it out.", "pkey"))
        found += statics_faults(name, self.interfaces, self.nodes, self.each)
        known = {rail.name for rail in fabric.rails} if fabric is not None else set(self.rails)
        for rail in sorted(set(self.rails) - known):
            message = f"Fabric {self.fabric} has no rail {rail}"
            advice = f"Its rails are {', '.join(sorted(known))}."
            found.append(Fault(name, "rail-unknown", message, advice, "rails"))
        return found


def statics_faults(
    name: str, statics: Sequence[StaticBody], nodes: Sequence[str], each: int
) -> Iterator[Fault]:
    """What is wrong with interfaces by value, whatever is free."""
    count: dict[tuple[str, str], int] = {}
    seen: set[object] = set()
    for index, one in enumerate(statics):
        path = f"interfaces[{index}]"
        if one.node not in nodes:
            message = f"node {one.node} is none of nodes"
            yield Fault(name, "static-node", message, "Name it in nodes, too.", f"{path}.node")
        if one.vf is None and not one.addresses:
            message = "it says neither its VF nor an address"
            yield Fault(name, "static-empty", message, "Write vf, addresses, or both.", path)
        if len({a.version for a in one.addresses}) < len(one.addresses):
            message = "it has two addresses of one family"
            yield Fault(name, "one-per-family", message, "Write at most one IPv4 and one IPv6.", path)
        port = (one.node, one.pf)
        count[port] = count.get(port, 0) + 1
        if count[port] == each + 1:
            message = f"more than {each} of node {one.node}, PF {one.pf}"
            yield Fault(name, "static-many", message, "Raise each.", path)
        for fact in (*one.addresses, *(((*port, one.vf),) if one.vf is not None else ())):
            if fact in seen:
                yield Fault(name, "written-twice", f"{path} repeats another", "Write it once.", path)
            seen.add(fact)


def gang_document(gang: Gang, fabric: Fabric | None) -> dict[str, Any]:
    """A gang with everything that it has."""
    return {
        "kind": "Gang",
        "metadata": {
            "name": gang.request.name,
            "tenant": gang.request.tenant,
            "generation": gang.generation,
        },
        "spec": _spec(gang.request, fabric),
        "status": {
            "state": gang.progress.state.value,
            "interfaces": gang.size,
            **({"pkey": format_pkey(gang.pkey)} if gang.pkey else {}),
            "nodes": [_berth(berth, gang.pkey, fabric) for berth in gang.berths],
        },
    }


def placement_document(placed: Placement, fabric: Fabric) -> dict[str, Any]:
    """What a dry run says: where it would be, and of every other node why not."""
    chosen = {berth.node for berth in placed.berths}
    return {
        "kind": "Gang",
        "metadata": {"name": placed.request.name, "tenant": placed.request.tenant},
        "spec": _spec(placed.request, fabric),
        "status": {
            "state": "planned",
            "interfaces": sum(len(berth.interfaces) for berth in placed.berths),
            **({"pkey": format_pkey(placed.pkey)} if placed.pkey else {}),
            "nodes": [_berth(berth, placed.pkey, fabric) for berth in placed.berths],
        },
        "verdicts": [
            {
                "node": verdict.node,
                "chosen": verdict.node in chosen,
                "why": [lack_text(lack) for lack in verdict.lacks]
                or ["chosen" if verdict.node in chosen else "would do, and was not needed"],
            }
            for verdict in placed.verdicts
        ],
    }


def lack_text(lack: Lack) -> str:
    """What a node lacks, without its name."""
    where = " ".join(part for part in (lack.rail, lack.pf) if part)
    return f"{where + ': ' if where else ''}{lack.what}: {lack.wanted} wanted, {lack.there} there"


def quota_document(quota: Quota) -> dict[str, Any]:
    """As a tenant's manifest has it; nothing if it has none."""
    most = {"gangs": quota.gangs, "interfaces": quota.interfaces}
    written = {what: number for what, number in most.items() if number is not None}
    return {"quota": written} if written else {}


def holding_document(tenant: str, ledger: Ledger) -> dict[str, Any]:
    """How many gangs and interfaces of them a tenant has, on all fabrics."""
    gangs, interfaces = holding(tenant, ledger)
    return {"gangs": gangs, "interfaces": interfaces}


def _spec(request: GangRequest, fabric: Fabric | None) -> dict[str, Any]:
    said = request_document(request)
    for left_out in ("tenant", "name"):
        del said[left_out]
    if request.rails and fabric is not None:
        said["rails"] = [fabric.rails[index].name for index in request.rails]
    return said


def _berth(berth: Berth, pkey: PKey, fabric: Fabric | None) -> dict[str, Any]:
    found: dict[str, Any] = {"node": berth.node, "host": berth.host}
    if berth.gpus:
        found["gpus"] = list(berth.gpus)
    found["interfaces"] = [
        {
            "pf": i.pf,
            "vf": i.vf,
            "rail": int(i.rail) if fabric is None else fabric.rails[i.rail].name,
            "addresses": [_with_length(address, fabric) for address in i.addresses],
            **({"mac": format_mac(i.mac)} if i.mac else {}),
            **(
                {"nodeGuid": format_guid(i.node_guid), "portGuid": format_guid(i.port_guid)}
                if i.port_guid
                else {}
            ),
            **({"pkeyIndex": 0} if pkey else {}),
        }
        for i in berth.interfaces
    ]
    return found


def _with_length(address: Address, fabric: Fabric | None) -> str:
    if fabric is None:
        return str(address)
    if fabric.addressing is Addressing.LINK:
        return f"{address}/{address.max_prefixlen - 1}"
    return f"{address}/{fabric.blocks[0 if address.version == 4 else 1]}"
