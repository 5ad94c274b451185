"""What is asked of Open vSwitch's database for representors, and which rows are ours."""

from __future__ import annotations

from typing import Any

import pytest

from controller.southbound.ovsdb.plugging import Plugging, put_in, read, take_out
from ipam.devices.plugs import Changes
from ipam.devices.serving import Fitted
from model.errors import Conflict, Unavailable
from model.hardware import parse_pci
from model.ids import Mac, Uid

PF = parse_pci("0000:18:00.0")
A = Uid("0000000a-0000-4000-8000-000000000000")


def row(name: str, **ids: str) -> dict[str, Any]:
    marks = [[key.replace("_", "-"), value] for key, value in ids.items()]
    return {"_uuid": ["uuid", f"i-{name}"], "name": name, "external_ids": ["map", marks]}


ROWS = [
    row("rep", iface_id=A.upper(), ringfence_vf="0000:18:00.0/3"),
    row("tap", iface_id="x"),
    row("eth0"),
    row("odd", ringfence_vf="nonsense/3"),
    row("far", ringfence_vf="0000:18:00.0/256"),
]
PORTS = [{"_uuid": ["uuid", f"p-{each['name']}"], "interfaces": each["_uuid"]} for each in ROWS]


def test_a_mark_that_cannot_be_read_is_none_of_ours() -> None:
    assert read(ROWS) == (
        Fitted("far", ""),
        Fitted("odd", ""),
        Fitted("rep", A, (PF, 3)),
        Fitted("tap", "x"),
    )


def test_only_marked_interfaces_are_taken_out_and_only_as_they_were_seen() -> None:
    wait, mutate = take_out(["rep", "tap", "eth0", "none"], ROWS, PORTS)
    assert wait["op"] == "wait" and wait["rows"] == [{"external_ids": ROWS[0]["external_ids"]}]
    assert mutate["mutations"] == [["ports", "delete", ["set", [["uuid", "p-rep"]]]]]
    bond = [{"_uuid": ["uuid", "b"], "interfaces": ["set", [["uuid", "i-rep"], ["uuid", "i-tap"]]]}]
    assert take_out(["rep"], ROWS, bond) == [], "a bond is somebody's"


def test_what_is_put_in_bears_port_mac_and_mark() -> None:
    interface, port, mutate = put_in(0, "br-int", "rep", A, Mac(0x0200000000AA), (PF, 3))
    assert dict(interface["row"]["external_ids"][1]) == {
        "iface-id": A,
        "attached-mac": "02:00:00:00:00:aa",
        "ringfence-vf": "0000:18:00.0/3",
    }
    assert port["row"]["interfaces"] == ["named-uuid", interface["uuid-name"]]
    assert mutate["where"] == [["name", "==", "br-int"]]
    assert read([{"name": "rep", **interface["row"]}]) == (Fitted("rep", A, (PF, 3)),)


def test_refusals_and_a_bridge_that_is_not_there_are_told(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugging = Plugging(tmp_path / "db.sock")
    with pytest.raises(Unavailable):
        plugging.look()
    answers: list[Any] = [[{"rows": []}] * 3]
    monkeypatch.setattr(plugging, "_call", lambda *_: answers.pop(0))
    with pytest.raises(Unavailable):
        plugging.change(Changes((), (("rep", A),), ()), {A: Mac(1)}, {"rep": (PF, 3)})
    bridge = {"rows": [{"_uuid": ["uuid", "b"], "ports": ["set", []]}]}
    answers += [[{"rows": []}, {"rows": []}, bridge], [{}, {"error": "constraint violation", "details": "d"}]]
    with pytest.raises(Conflict) as caught:
        plugging.change(Changes((), (("rep", A),), ()), {A: Mac(1)}, {"rep": (PF, 3)})
    assert caught.value.faults[0].rule == "plugs-refused"
