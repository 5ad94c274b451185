"""NICs that are none: a server is as its SKU says, its kernel outlives who asks, and boots without VFs."""

from __future__ import annotations

import errno
import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

from ipam import inventory
from ipam.devices import carrying, look, reading
from ipam.devices.desired import DesiredPf, DesiredVf, Setting, VfDriver
from model.fabric import Fabric, FabricKind, Guid
from model.hardware import Eswitch, Node, NodeKey, Sku, parse_pci
from model.ids import HostName
from topologies.adapters import adapters, drawing
from topologies.chassis import boot
from topologies.deadline import until
from topologies.errors import LabError
from topologies.firmware import SOCKET, TREE, Distant, answer, find_sku, serve
from topologies.process import listens
from topologies.subnet import MANAGERS

SKUS = Path(__file__).parents[3] / "examples/09-sku-h200.yaml"
PCI = parse_pci("0000:18:00.0")
GUID = 0x0200_5200_0000_0001


@pytest.fixture(scope="module")
def sku() -> Sku:
    return find_sku(SKUS, "h200")


@pytest.fixture
def distant(tmp_path: Path, sku: Sku) -> Iterator[Distant]:
    nics = boot(tmp_path / TREE, sku, 1)
    threading.Thread(target=serve, args=(tmp_path, nics), daemon=True).start()
    until("it listens", lambda: listens(tmp_path / SOCKET), 60)
    yield Distant(tmp_path)


def wish(link: int = 2) -> DesiredPf:
    settings = MappingProxyType({Setting.NODE_GUID: GUID - 1, Setting.PORT_GUID: GUID, Setting.LINK: link})
    return DesiredPf(PCI, 8, Eswitch.LEGACY, (DesiredVf(0, VfDriver.NATIVE, settings),))


def test_a_chassis_is_what_its_sku_says_but_for_vfs(tmp_path: Path, sku: Sku) -> None:
    nics = boot(tmp_path, sku, 7)
    seen = look.look(tmp_path, nics.links, lambda addresses: {a: nics.mode(a) for a in addresses})
    assert not seen.oddities
    differences = {d.rule for pf in inventory.compare(sku, seen).pfs for d in pf.differences}
    assert differences == set(), "switches are legacy, and nobody has made VFs: that is the agent's to do"
    assert len(seen.gpus) == 8
    assert [pf.vfs for pf in seen.pfs] == [()] * len(sku.pfs)


def test_a_vf_is_set_over_the_socket_and_stays_when_who_asked_is_gone(distant: Distant) -> None:
    assert carrying.settle(distant, [wish()]).faults == ()
    found = reading.observe(Distant(distant.directory), PCI)
    assert found is not None
    assert found.vfs[0].settings[Setting.PORT_GUID] == GUID
    assert found.vfs[0].settings[Setting.DRIVER] == "mlx5_core"
    assert [vf.settings[Setting.DRIVER] for vf in found.vfs[1:]] == [""] * 7
    assert carrying.settle(distant, [wish(0)]).faults == ()
    (link, *_) = distant.links("ibp24s0")
    assert (link.link, link.port_guid) == (0, GUID)


def test_what_the_kernel_refuses_has_its_errno(distant: Distant) -> None:
    for path, code in (("bus/pci/nothing", errno.ENOENT), ("bus/pci/drivers/none/bind", errno.ENODEV)):
        with pytest.raises(OSError) as caught:
            distant.write(path, "0000:77:00.0")
        assert caught.value.errno == code
    assert distant.mode("0000:18:00.0") == "legacy"
    with pytest.raises(OSError, match="No such device"):
        distant.links("eth7")


def test_without_its_kernel_a_server_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Distant(tmp_path).set_mode("0000:18:00.0", "switchdev")


def test_a_boot_begins_without_vfs(tmp_path: Path, sku: Sku) -> None:
    nics = boot(tmp_path / "one", sku, 1)
    assert answer(nics, {"do": "write", "with": ["bus/pci/devices/0000:18:00.0/sriov_numvfs", "4\n"]}) == {
        "said": None
    }
    assert len(nics.links("ibp24s0")) == 4
    assert boot(tmp_path / "two", sku, 1).links("ibp24s0") == ()


def test_a_fabric_has_the_guids_that_the_ipam_derives(sku: Sku) -> None:
    fabric = Fabric("ib", FabricKind.INFINIBAND, (), guids=(range(GUID - 1, GUID - 1 + (1 << 32)),))
    nodes = [Node(f"n{key}", NodeKey(key), "h200", "ib", HostName(f"hv{key}")) for key in (1, 2)]
    there = adapters(fabric, sku, nodes)
    assert len(there) == 2 * 8 * 8
    assert {each.node_guid + 1 for each in there} == {each.guid for each in there}
    text = drawing(there)
    ends = Counter(re.findall(r'"(?:leaf|spine)\d+"\[\d+\]', text))
    assert set(ends.values()) == {1}, "a port of a switch has one cable"
    for guid in (*(each.guid for each in there), *map(Guid, MANAGERS)):
        assert text.count(f"[1]({guid:016x})") == 1
    with pytest.raises(LabError, match="has no GUID"):
        adapters(Fabric("ib", FabricKind.INFINIBAND, (), guids=(range(2, 4),)), sku, nodes)


def test_a_sku_that_is_not_there_is_named() -> None:
    with pytest.raises(LabError, match="no Sku h300"):
        find_sku(SKUS, "h300")
