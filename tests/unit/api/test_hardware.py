"""SKUs, fabrics and nodes through real HTTP, a real store and the CLI: the examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.cli.client import Refused
from controller.cli.main import main
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
