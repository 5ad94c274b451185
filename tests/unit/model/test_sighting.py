"""Sightings as text: a host may be compromised, so what does not fit is refused, and what is long is cut."""

from __future__ import annotations

import json

import pytest

from model.hardware import parse_pci
from model.report import Report, State, refresh, render
from model.report import parse as parse_report
from model.sighting import MOST_PFS, MOST_TEXT, MOST_VFS, SeenGpu, SeenPf, SeenVf, Sighting, parse, plain

PCI = parse_pci("18:00.0")
SEEN = Sighting(
    (
        SeenPf(
            *(
                PCI,
                "15b3:1021",
                "mlx5_core",
                0,
                (parse_pci("1b:00.0"),),
                "ibp24s0",
                0,
                "mlx5_0",
                "infiniband",
            ),
            *((1 << 64) - 2, 0x0200520000000001, 128, 16, 2, "legacy"),
            (SeenVf(0, parse_pci("18:00.2")), SeenVf(1, parse_pci("18:00.3"), "vfio-pci", 7, 8, 9)),
        ),
    ),
    (SeenGpu(parse_pci("1b:00.0"), "10de:2335", 0),),
)


def test_a_sighting_survives_its_text_and_says_no_more_than_was_told() -> None:
    text = json.dumps(plain(SEEN))
    assert parse(json.loads(text)) == SEEN
    assert '"numa": 0' in text
    assert plain(Sighting((SeenPf(PCI),)))["pfs"] == [{"pci": "0000:18:00.0"}]


def test_a_report_carries_it_and_its_head_does_not() -> None:
    head = Report("hv1", 5, 1, State.IN_SYNC)
    whole = Report("hv1", 4, 1, State.IN_SYNC, devices=SEEN)
    assert parse_report(render(whole)) == whole
    assert refresh(whole, parse_report(render(head))).devices == SEEN
    old = json.loads(render(head))
    del old["devices"]
    assert parse_report(json.dumps(old)) == head


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"pfs": {}},
        {"pfs": [1]},
        {"pfs": [{}]},
        {"pfs": [{"pci": 24}]},
        {"pfs": [{"pci": "../../etc"}]},
        {"pfs": [{"pci": "18:00.0", "vfs": 3, "made": -1}]},
        {"pfs": [{"pci": "18:00.0", "made": True}]},
        {"pfs": [{"pci": "18:00.0", "made": 1e9}]},
        {"pfs": [{"pci": "18:00.0", "node_guid": 1 << 64}]},
        {"pfs": [{"pci": "18:00.0", "mac": 1 << 48}]},
        {"pfs": [{"pci": "18:00.0", "driver": 7}]},
        {"pfs": [{"pci": "18:00.0", "gpus": "1b:00.0"}]},
        {"pfs": [{"pci": "18:00.0", "gpus": [{}]}]},
        {"pfs": [{"pci": "18:00.0", "vfs": [{"index": 0}]}]},
        {"gpus": [{"pci": "1b:00.0", "numa": "0"}]},
        {"oddities": [{"rule": []}]},
    ],
)
def test_what_does_not_fit_is_refused(document: object) -> None:
    with pytest.raises(ValueError):
        parse(document)


def test_what_is_too_long_is_cut() -> None:
    vf, pf = {"pci": "18:00.2"}, {"pci": "18:00.0", "driver": "x" * 9000}
    found = parse({"pfs": [pf | {"vfs": [vf] * 9000}] * 9000})
    assert (len(found.pfs), len(found.pfs[0].vfs)) == (MOST_PFS, MOST_VFS)
    assert len(found.pfs[0].driver) == MOST_TEXT
