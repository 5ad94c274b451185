"""Reports: what an agent says about its host, as one JSON object that is rewritten whole.

Place: written by the agent into the store's reports database, read by the API (`status`, `get`, `--wait`).
Must not trust the text: a host may be compromised, so `parse` refuses what does not fit, by ValueError only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any, Final

from model import asked, sighting
from model.asked import Asked
from model.sighting import Sighting

MAX_ITEMS: Final = 100_000
"""Longest list that a report may hold."""
MAX_TEXT: Final = 2_000
"""Longest text that a report may hold in one field."""
MAX_FULL: Final = 20
"""Limits reached that a report may name."""
_NOTHING: Final = Sighting()
MAX_RECEIPTS: Final = 50
"""Receipts of drift that a report may hold: the last ones."""


class State(Enum):
    """What the agent is doing. FROZEN: it stopped and waits for the operator; `reason` says why."""

    STARTING = "starting"
    WAITING = "waiting"
    IN_SYNC = "in-sync"
    FROZEN = "frozen"
    DEGRADED = "degraded"


class PortState(Enum):
    """A port on this host. REFUSED: bound elsewhere or not allowed here; ERROR: OVS gave it no ofport;
    MOVING: it lives elsewhere still, and will live here; DISABLED: by its tenant; DOWN: its link is down;
    STANDBY: the host's partner may serve it, this host may not."""

    ACTIVE = "active"
    PENDING = "pending"
    REFUSED = "refused"
    ERROR = "error"
    UNKNOWN = "unknown"
    MOVING = "moving"
    DISABLED = "disabled"
    DOWN = "down"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class PortReport:
    """A local interface with an iface-id: `uid` is that iface-id, `ofport` its OpenFlow port (0 = none)."""

    uid: str
    state: PortState
    reason: str = ""
    ofport: int = 0


@dataclass(frozen=True, slots=True)
class Drift:
    """Findings of the audits since the agent started, in flows; all were mended but `alien` (left alone)."""

    missing: int = 0
    wrong: int = 0
    orphans: int = 0
    alien: int = 0
    audits: int = 0


class Finding(Enum):
    """What an audit found. WRONG: other actions, cookie or timeouts; ORPHAN: our mark, wanted by nobody."""

    MISSING = "missing"
    WRONG = "wrong"
    ORPHAN = "orphan"


class Mending(Enum):
    """What was done about it. REFUSED: the switch did not take the flow; its reason is in the agent's log."""

    PUT = "put"
    DELETED = "deleted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class DriftReceipt:
    """A flow or group that somebody else had changed, and what was done. `at_ms`: Unix time in milliseconds.

    `flow`: in words, with the names of its table and of what its cookie stands for. `packets`, `octets`:
    what the wrong or orphan flow had counted when it was found; 0 for a missing one, which can't be asked,
    and for groups.
    """

    at_ms: int
    finding: Finding
    action: Mending
    flow: str
    packets: int = 0
    octets: int = 0


@dataclass(frozen=True, slots=True)
class PeerReport:
    """A BGP session of this host; `state` as BGP names it, lower case: `established`, `connect`, ..."""

    address: str
    state: str


@dataclass(frozen=True, slots=True)
class RejectedReport:
    """A route that the guard refused: `route` is its printed form."""

    route: str
    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class LearnedReport:
    """A route in use: `network` is tenant/name, `mac` six hex pairs (empty for RT-3), `vtep` where it leads.

    `kind` is `mac` (RT-2), `flood` (RT-3) or `prefix` (RT-5); `port` is tenant/name of the port as far as the
    store knows it. Of a prefix `network` names the VRF (`tenant acme`), `addresses` is the prefix, `mac` the
    next hop's router MAC; one entry for each next hop.
    """

    kind: str
    network: str
    vtep: str
    mac: str = ""
    addresses: tuple[str, ...] = ()
    sequence: int = 0
    port: str = ""
    peer: str = ""


@dataclass(frozen=True, slots=True)
class EvpnReport:
    """Sessions and routes. `learned` and `refused` count all; the tuples may be cut to a sample by the agent.

    `missing`: MACs that the store binds elsewhere in networks of this host, and for which no route has come.
    `damped`: MACs and addresses that moved too often, and stay where they were. `tolerated`: routes in use
    that the guard would refuse, if it did not only count. `full`: limits that are reached, in words.
    """

    peers: tuple[PeerReport, ...] = ()
    originated: int = 0
    learned: int = 0
    refused: int = 0
    missing: int = 0
    rejected: tuple[RejectedReport, ...] = ()
    learned_routes: tuple[LearnedReport, ...] = ()
    damped: int = 0
    tolerated: int = 0
    full: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EgressReport:
    """How a host counts. `wire`, `counted`: bytes since the agent began, see `accounting.residual`; `unseen`:
    ports whose interfaces are not seen.

    `backlog`: steps that wait for the API; `oldest_ms`: when the oldest of them was read, Unix ms, 0 = none.
    `held`: steps that the journal does not take. `free`, `size`: bytes of its disk, size 0 = not known;
    `full_in_s`: seconds until it is full at the present rate, None = it does not fill.
    """

    wire: int = 0
    counted: int = 0
    unseen: int = 0
    backlog: int = 0
    oldest_ms: int = 0
    held: int = 0
    free: int = 0
    size: int = 0
    full_in_s: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """One host. `stamp_ms`, `since_ms`: Unix time in milliseconds (report made; state entered).

    `generation`: the newest cluster generation whose flows the switch has acknowledged.
    `stop`: while FROZEN by a brake, the token that the operator's confirmation must quote; else empty.
    `confirm`: the last confirmation token of the operator that the agent has acted on.
    `receipts`: the last findings of the periodic audits, oldest first; `drift` counts all. `underlay`: the
    smallest MTU on the ways to other VTEPs, 0 = not known. `devices`: NICs and GPUs. `lease`: who serves the
    ports of this host and its partner, in words; empty if it has none. `counted_ms`: all that it counted up
    to then is in the egress ledger; 0 = not known. `egress`: None = an agent of before. `asked`: a head has
    its totals alone.
    """

    host: str
    stamp_ms: int
    generation: int
    state: State
    reason: str = ""
    since_ms: int = 0
    ports: tuple[PortReport, ...] = ()
    flows: int = 0
    drift: Drift = Drift()
    evpn: EvpnReport = EvpnReport()
    datapath: str = ""
    version: str = ""
    stop: str = ""
    confirm: str = ""
    receipts: tuple[DriftReceipt, ...] = ()
    underlay: int = 0
    devices: Sighting = _NOTHING
    lease: str = ""
    counted_ms: int = 0
    egress: EgressReport | None = None
    asked: Asked = asked.NOTHING


def render(report: Report) -> str:
    """The JSON text of a report, keys sorted."""
    return json.dumps(report, default=_plain, sort_keys=True, separators=(",", ":"))


def render_receipts(receipts: tuple[DriftReceipt, ...]) -> str:
    """The JSON text of receipts alone."""
    return json.dumps(receipts, default=_plain, sort_keys=True, separators=(",", ":"))


def parse_receipts(plain: object) -> tuple[DriftReceipt, ...]:
    """The last receipts of a parsed JSON list; ValueError for anything that does not fit."""
    return tuple(_receipt(r) for r in _items({"receipts": plain}, "receipts")[-MAX_RECEIPTS:])


def refresh(report: Report, head: Report) -> Report:
    """`head` (which has no long lists, and is newer) with the long lists of `report`."""
    evpn = replace(head.evpn, rejected=report.evpn.rejected, learned_routes=report.evpn.learned_routes)
    told = replace(head.asked, ports=report.asked.ports)
    head = replace(head, evpn=evpn, receipts=report.receipts, asked=told)
    return replace(head, ports=report.ports, devices=report.devices)


def _plain(value: Any) -> Any:
    """The parts of a report as JSON has them; dataclasses.asdict would copy each text of a long report."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Sighting):
        return sighting.plain(value)
    return {name: getattr(value, name) for name in value.__slots__}


def parse(text: str) -> Report:
    """A report from its JSON text; ValueError for anything that does not fit. Unknown keys are ignored.

    They are ignored because hosts of different versions report to one store.
    """
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("a report is nested too deeply") from error
    plain = _mapping(document, "report")
    evpn = _mapping(plain.get("evpn", {}), "evpn")
    drift = _mapping(plain.get("drift", {}), "drift")
    return Report(
        host=_text(plain, "host", required=True),
        stamp_ms=_number(plain, "stamp_ms"),
        generation=_number(plain, "generation"),
        state=State(_text(plain, "state", required=True)),
        reason=_text(plain, "reason"),
        since_ms=_number(plain, "since_ms"),
        ports=tuple(_port(p) for p in _items(plain, "ports")),
        flows=_number(plain, "flows"),
        drift=Drift(**{f.name: _number(drift, f.name) for f in fields(Drift)}),
        evpn=_evpn(evpn),
        datapath=_text(plain, "datapath"),
        version=_text(plain, "version"),
        stop=_text(plain, "stop"),
        confirm=_text(plain, "confirm"),
        receipts=tuple(_receipt(r) for r in _items(plain, "receipts")[-MAX_RECEIPTS:]),
        underlay=_number(plain, "underlay"),
        devices=sighting.parse(plain.get("devices", {})),
        lease=_text(plain, "lease"),
        counted_ms=_number(plain, "counted_ms"),
        egress=_egress(plain.get("egress")),
        asked=asked.parse(plain.get("asked", {})),
    )


def _egress(value: object) -> EgressReport | None:
    if value is None:
        return None
    plain = _mapping(value, "egress")
    full = None if plain.get("full_in_s") is None else _number(plain, "full_in_s")
    names = (f.name for f in fields(EgressReport) if f.name != "full_in_s")
    return EgressReport(**{name: _number(plain, name) for name in names}, full_in_s=full)


def _receipt(plain: Mapping[str, Any]) -> DriftReceipt:
    return DriftReceipt(
        at_ms=_number(plain, "at_ms"),
        finding=Finding(_text(plain, "finding", required=True)),
        action=Mending(_text(plain, "action", required=True)),
        flow=_text(plain, "flow"),
        packets=_number(plain, "packets"),
        octets=_number(plain, "octets"),
    )


def _port(plain: Mapping[str, Any]) -> PortReport:
    return PortReport(
        uid=_text(plain, "uid", required=True),
        state=PortState(_text(plain, "state", required=True)),
        reason=_text(plain, "reason"),
        ofport=_number(plain, "ofport"),
    )


def _evpn(plain: Mapping[str, Any]) -> EvpnReport:
    return EvpnReport(
        peers=tuple(PeerReport(_text(p, "address"), _text(p, "state")) for p in _items(plain, "peers")),
        originated=_number(plain, "originated"),
        learned=_number(plain, "learned"),
        refused=_number(plain, "refused"),
        missing=_number(plain, "missing"),
        damped=_number(plain, "damped"),
        tolerated=_number(plain, "tolerated"),
        full=_texts(plain, "full")[:MAX_FULL],
        rejected=tuple(
            RejectedReport(_text(r, "route"), _text(r, "peer"), _text(r, "reason"))
            for r in _items(plain, "rejected")
        ),
        learned_routes=tuple(_learned(r) for r in _items(plain, "learned_routes")),
    )


def _learned(plain: Mapping[str, Any]) -> LearnedReport:
    addresses = plain.get("addresses", [])
    if not isinstance(addresses, list) or not all(isinstance(a, str) for a in addresses):
        raise ValueError("addresses is not a list of texts")
    return LearnedReport(
        kind=_text(plain, "kind"),
        network=_text(plain, "network"),
        vtep=_text(plain, "vtep"),
        mac=_text(plain, "mac"),
        addresses=tuple(a[:MAX_TEXT] for a in addresses[:MAX_ITEMS]),
        sequence=_number(plain, "sequence"),
        port=_text(plain, "port"),
        peer=_text(plain, "peer"),
    )


def _texts(plain: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = plain.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError(f"{key} is no list of texts")
    return tuple(one[:MAX_TEXT] for one in found)


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no JSON object")
    return value


def _items(plain: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], ...]:
    value = plain.get(key, [])
    if not isinstance(value, list):
        raise ValueError(f"{key} is no list")
    return tuple(_mapping(item, key) for item in value[:MAX_ITEMS])


def _text(plain: Mapping[str, Any], key: str, *, required: bool = False) -> str:
    value = plain.get(key, None if required else "")
    if not isinstance(value, str):
        raise ValueError(f"{key} is no text")
    return value[:MAX_TEXT]


def _number(plain: Mapping[str, Any], key: str) -> int:
    value = plain.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise ValueError(f"{key} is no whole number of 63 bits")
    return value
