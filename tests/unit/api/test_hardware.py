"""SKUs, fabrics and nodes through real HTTP, a real store and the CLI: the examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.cli.client import Refused
from controller.cli.main import main
from controller.store.writer import clock
from ipam.devices import sysfs
from model.ids import HostName
from model.sighting import Sighting
from tests.fakes.sysfs import h200
from tests.unit.api.test_hosts import tell
from tests.unit.api.test_objects import apply, document, refused

EXAMPLES = Path(__file__).parents[3] / "examples"
NAMES = ("09-sku-h200.yaml", "09-sku-b200.yaml", "10-fabrics.yaml", "11-nodes.yaml")
SHOWN = {"skus": ["b200", "h200"], "fabrics": ["east", "west"], "nodes": ["b200-1", "h200-1", "h200-2"]}


def texts() -> str:
    return "\n---\n".join((EXAMPLES / name).read_text() for name in NAMES)


@pytest.fixture
def rails(house):
    """The examples, applied; hosts whose VTEPs are no other test's."""
    apply(house, *(document("Hypervisor", f"hv{n}", vtep=f"198.51.100.{n}") for n in (1, 2, 3)))
    answer = house.api.post("/v1/apply", body={"sources": [{"name": "examples", "text": texts()}]})
    # No switch is programmed for them, so `--wait` waits for nobody.
    assert answer["concerned"] == []
    yield house
    # Other files apply the examples too, in the same house.
    hosts = "\n---\n".join(json.dumps(document("Hypervisor", f"hv{n}")) for n in (1, 2, 3))
    gone = [{"name": "examples", "text": texts()}, {"name": "hosts", "text": hosts}]
    house.api.post("/v1/delete", body={"sources": gone})


@pytest.mark.parametrize("kind", SHOWN)
def test_what_get_shows_can_be_applied_again(rails, kind: str) -> None:
    listed = rails.api.get(f"/v1/{kind}")
    assert {item["metadata"]["name"] for item in listed["items"]} >= set(SHOWN[kind])
    again = rails.api.post("/v1/apply", body={"documents": [listed], "dryRun": True})
    assert not again["changed"]


@pytest.mark.parametrize("kind", SHOWN)
def test_the_command_shows_a_table_and_json(rails, kind: str, capsys) -> None:
    assert main(["--api", f"unix:{rails.socket}", "get", kind]) == 0
    table = capsys.readouterr().out
    assert [name for name in SHOWN[kind] if name not in table] == []
    assert main(["--api", f"unix:{rails.socket}", "get", kind, SHOWN[kind][0], "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["metadata"]["name"] == SHOWN[kind][0]


def test_the_examples_are_what_they_say(rails) -> None:
    sku = rails.api.get("/v1/skus/h200")
    assert len(sku["spec"]["gpus"]) == 8
    assert [pf["rail"] for pf in sku["spec"]["pfs"] if "rail" in pf] == list(range(8))
    assert sku["status"]["nodes"] == 2
    fabric = rails.api.get("/v1/fabrics/east")
    assert fabric["spec"]["pkeys"] == "0x0001-0x3fff"
    assert fabric["spec"]["guids"] == ["0200:5200:0000:0000-0200:5200:ffff:ffff"]
    assert fabric["spec"]["rails"][7] == {
        "name": "rail7",
        "ipv4": "10.135.0.0/16",
        "ipv6": "fd00:128:7::/48",
        "leaf": "leaf7",
    }
    assert rails.api.get("/v1/nodes/b200-1")["spec"]["leaves"][7] == {"rail": "rail7", "leaf": "su2-leaf7"}


@pytest.mark.parametrize(
    ("target", "user"),
    [
        ("/v1/skus/h200", "Node h200-1"),
        ("/v1/fabrics/west", "Node b200-1"),
        ("/v1/hypervisors/hv3", "Node b200-1"),
    ],
)
def test_what_is_used_is_not_deleted_and_the_user_is_named(rails, target: str, user: str) -> None:
    answer: Refused = refused(lambda: rails.api.once("DELETE", target))
    (fault,) = answer.faults
    assert fault["rule"] == "still-used"
    assert user in fault["message"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Sighting:
    """An H200 whose first rail has too few VFs."""
    made = h200(tmp_path_factory.mktemp("h200"))
    (made.homes["0000:18:00.0"] / "sriov_numvfs").write_text("3\n")
    return sysfs.observe(made.root)


def test_the_inventory_compares_what_hosts_report(rails, seen: Sighting, capsys) -> None:
    tell(rails, "hv1", 1, devices=seen)
    (node,) = rails.api.get("/v1/inventory/h200-1")["nodes"]
    assert (node["state"], node["silent"], len(node["pfs"])) == ("differs", False, 10)
    rail0 = node["pfs"][0]
    assert rail0["expected"]["pci"] == rail0["found"]["pci"] == "0000:18:00.0"
    assert rail0["found"]["portGuid"] == "a088:c203:00b0:e000"
    assert [one["rule"] for one in rail0["differences"]] == ["vfs-fewer"]
    # A fake sysfs has no devlink, which says a switch's mode.
    assert {one["rule"] for pf in node["pfs"][1:] for one in pf["differences"]} == {"eswitch-mismatch"}
    states = {n["node"]: n["state"] for n in rails.api.get("/v1/inventory")["nodes"]}
    assert states["h200-1"] == "differs"
    shown = rails.api.get("/v1/nodes/h200-1")["status"]
    assert (shown["state"], shown["differences"]) == ("differs", 3)
    alarms = [a for a in rails.api.get("/v1/status")["alarms"] if a["object"].startswith("Node ")]
    assert alarms == [
        {
            "object": "Node h200-1",
            "message": "its hardware differs from Sku h200 in 3 places",
            "remedy": "See ringfence ipam inventory --node h200-1",
        }
    ]
    again = rails.api.post("/v1/apply", body={"documents": [rails.api.get("/v1/nodes")], "dryRun": True})
    assert not again["changed"]
    assert main(["--api", f"unix:{rails.socket}", "ipam", "inventory"]) == 0
    table = capsys.readouterr().out
    assert "vfs-fewer" in table
    assert "echo 0, then 8, into /sys/bus/pci/devices/0000:18:00.0/sriov_numvfs" in table
    assert "rail1" not in table
    assert main(["--api", f"unix:{rails.socket}", "ipam", "inventory", "--node", "h200-1"]) == 0
    assert "mlx5_1 infiniband, NUMA node 0, 8 VFs, 128 PKeys" in capsys.readouterr().out
    assert main(["--api", f"unix:{rails.socket}", "ipam", "inventory", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"]


def test_a_host_that_never_looked_is_unseen_and_a_node_that_is_not_there_not_found(rails, capsys) -> None:
    (node,) = rails.api.get("/v1/inventory/b200-1")["nodes"]
    assert (node["state"], node["differences"]) == ("unseen", 0)
    assert main(["--api", f"unix:{rails.socket}", "ipam", "inventory"]) == 0
    assert "has not told what it has" in capsys.readouterr().out
    answer: Refused = refused(lambda: rails.api.get("/v1/inventory/none"))
    assert (answer.status, answer.faults[0]["rule"]) == (404, "not-found")


def test_a_report_that_lies_is_set_aside(rails) -> None:
    bad = {
        "host": "hv2",
        "stamp_ms": 1,
        "generation": 1,
        "state": "in-sync",
        "devices": {"pfs": [{"pci": 7}]},
    }
    rails.store.put_report(HostName("hv2"), json.dumps(bad), clock())
    (node,) = rails.api.get("/v1/inventory/h200-2")["nodes"]
    assert node["state"] == "unseen"
