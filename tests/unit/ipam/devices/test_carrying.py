"""Operations on a sysfs that reacts: reached, read back, refused by name, taken back; bytes as iproute2's."""

from __future__ import annotations

import errno
import json
import struct
from pathlib import Path
from types import MappingProxyType

import pytest
from pyroute2.netlink.devlink import DEVLINK_CMD_ESWITCH_SET

from ipam.devices import carrying, eswitch, reading
from ipam.devices.desired import DesiredPf, DesiredVf, Setting, Value, VfDriver
from ipam.devices.kernel import Host
from ipam.devices.operations import plan
from ipam.devices.vf_messages import change
from model.hardware import Eswitch, parse_pci
from tests.fakes.reacting import Reacting
from tests.fakes.sysfs import Sysfs

NIC = "0000:18:00.0"
PCI = parse_pci(NIC)
MAC = 0x020A00000001
CAPTURES = Path(__file__).with_name("iproute2.json")
"""What `ip` of iproute2 6.1.0 sent, read with `strace -e trace=sendmsg -e write=3`: the kernel refused it,
since `lo` has no VFs."""
WORDS = {"on": 1, "off": 0, "auto": 0, "enable": 1, "disable": 2}


def asked(words: list[str]) -> tuple[Setting, Value]:
    """What one of ip's lines asks for."""
    pairs = dict(zip(words[::2], words[1::2], strict=True))
    name = words[0]
    if name == "mac":
        return Setting.MAC, int(pairs[name].replace(":", ""), 16)
    if name == "vlan":
        return Setting.VLAN, (int(pairs["vlan"]), int(pairs.get("qos", "0")))
    if name == "max_tx_rate":
        return Setting.RATES, (int(pairs["min_tx_rate"]), int(pairs["max_tx_rate"]))
    if name in {"node_guid", "port_guid"}:
        return Setting[name.upper()], int(pairs[name].replace(":", ""), 16)
    return {"spoofchk": Setting.SPOOF, "trust": Setting.TRUST, "state": Setting.LINK}[name], WORDS[
        pairs[name]
    ]


@pytest.mark.parametrize("line", json.loads(CAPTURES.read_text()), ids=lambda line: line["command"][12:])
def test_the_bytes_are_those_of_iproute2(line: dict[str, str]) -> None:
    _, _, _, _, _, _, vf, *words = line["command"].split()
    setting, value = asked(words)
    ours, theirs = change(1, int(vf), setting, value), bytes.fromhex(line["bytes"])
    # The sequence number apart: iproute2 has the time there.
    assert ours[:8] + ours[12:] == theirs[:8] + theirs[12:]


def test_the_captures_have_every_setting() -> None:
    lines = json.loads(CAPTURES.read_text())
    seen = {asked(line["command"].split()[7:])[0] for line in lines}
    of_pfs_and_sysfs = {Setting.VFS, Setting.AUTOPROBE, Setting.ESWITCH, Setting.OVERRIDE, Setting.DRIVER}
    assert seen == set(Setting) - of_pfs_and_sysfs
    for setting in of_pfs_and_sysfs:
        with pytest.raises(ValueError, match="nothing that a VF is told"):
            change(1, 0, setting, 1)


def test_a_modes_bytes_are_those_of_devlink() -> None:
    """`devlink dev eswitch set pci/0000:01:00.0 mode switchdev` of iproute2 6.1.0, after the header, which
    has the family's number, and 0 for the version, which the kernel does not read."""
    sent = "080001007063690011000200303030303a30313a30302e30000000000600190001000000"
    message = eswitch.request(DEVLINK_CMD_ESWITCH_SET, "0000:01:00.0", ["DEVLINK_ATTR_ESWITCH_MODE", 1])
    message.encode()
    assert bytes(message.data)[16] == 0x1E
    assert bytes(message.data)[20:].hex() == sent


def test_this_kernel_takes_the_message_and_says_why_it_does_nothing() -> None:
    with pytest.raises(OSError, match="not supported") as caught:
        Host().send(change(1, 0, Setting.MAC, MAC))
    assert caught.value.errno == errno.EOPNOTSUPP
    with pytest.raises(OSError, match="No such device"):
        Host().send(change(0x7FFFFFF0, 0, Setting.MAC, MAC))


def test_nothing_is_written_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Host(tmp_path).write("bus/pci/new", "1")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def kernel(tmp_path: Path) -> Reacting:
    tree = Sysfs(tmp_path)
    down, _ = tree.switch(0x18, 0)
    tree.nic(NIC, down, 0)
    tree.netdev(NIC, "enp24s0np0", "a0:88:c2:00:00:01")
    made = Reacting(tree)
    made.prepare(NIC, "enp24s0np0", 7)
    return made


def wish(
    driver: VfDriver = VfDriver.NATIVE, mode: Eswitch | None = Eswitch.LEGACY, **more: Value
) -> DesiredPf:
    settings: dict[Setting, Value] = {
        Setting.MAC: MAC,
        Setting.VLAN: (100, 3),
        Setting.RATES: (10, 1000),
        Setting.SPOOF: 1,
        Setting.TRUST: 1,
        Setting.LINK: 2,
        Setting.NODE_GUID: 2 << 56 | 1,
        Setting.PORT_GUID: 2 << 56 | 2,
    } | {Setting[name]: value for name, value in more.items()}
    return DesiredPf(PCI, 4, mode, (DesiredVf(1, driver, MappingProxyType(settings)),))


def test_from_nothing_to_a_vf_with_its_driver_and_nothing_more(kernel: Reacting) -> None:
    done = carrying.settle(kernel, [wish()])
    assert done.faults == ()
    assert kernel.written[:2] == [f"{NIC}/sriov_drivers_autoprobe 0", f"{NIC}/sriov_numvfs 4"]
    assert kernel.written[-2:] == [
        "0000:18:00.3/driver_override mlx5_core",
        "bus/pci/drivers/mlx5_core/bind 0000:18:00.3",
    ]
    found = reading.observe(kernel, PCI)
    assert found is not None
    assert plan([wish()], [found]).operations == ()
    assert [vf.settings[Setting.DRIVER] for vf in found.vfs] == ["", "mlx5_core", "", ""]
    assert [vf.settings[Setting.MAC] for vf in found.vfs] == [0, MAC, 0, 0]
    count = len(kernel.written)
    assert carrying.settle(kernel, [wish()]).done == ()
    assert len(kernel.written) == count


def test_a_mode_is_changed_before_there_are_vfs_and_never_under_them(kernel: Reacting) -> None:
    assert carrying.settle(kernel, [wish(mode=Eswitch.SWITCHDEV)]).faults == ()
    assert kernel.written[0] == "devlink switchdev"
    (fault,) = carrying.settle(kernel, [wish()]).faults
    assert fault.rule == "eswitch-in-use"
    assert kernel.modes[NIC] == "switchdev"


def test_a_vf_goes_from_a_container_to_a_vm_and_back(kernel: Reacting) -> None:
    for driver, name in (
        (VfDriver.NATIVE, "mlx5_core"),
        (VfDriver.VFIO, "vfio-pci"),
        (VfDriver.NATIVE, "mlx5_core"),
    ):
        assert carrying.settle(kernel, [wish(driver)]).faults == ()
        found = reading.observe(kernel, PCI)
        assert found is not None
        assert found.vfs[1].settings[Setting.DRIVER] == found.vfs[1].settings[Setting.OVERRIDE] == name
    assert carrying.settle(kernel, [wish(VfDriver.NONE)]).faults == ()
    found = reading.observe(kernel, PCI)
    assert found is not None
    assert (found.vfs[1].settings[Setting.DRIVER], found.vfs[1].settings[Setting.OVERRIDE]) == ("", "")


def test_undo_takes_everything_back_also_under_autoprobe_off(kernel: Reacting) -> None:
    before = reading.observe(kernel, PCI)
    done = carrying.settle(kernel, [wish()])
    assert carrying.revert(kernel, done.done).faults == ()
    assert reading.observe(kernel, PCI) == before
    # A VF that somebody bound by hand, and whose override is gone by now.
    carrying.settle(kernel, [wish()])
    kernel.write("bus/pci/devices/0000:18:00.3/driver_override", "\n")
    before = reading.observe(kernel, PCI)
    done = carrying.settle(kernel, [wish(VfDriver.VFIO, MAC=MAC + 1)])
    assert done.faults == ()
    assert carrying.revert(kernel, done.done).faults == ()
    assert reading.observe(kernel, PCI) == before


BROKEN = [
    ("sriov_numvfs", errno.ENOSPC, "PF 0000:18:00.0", "vfs-refused"),
    ("sriov_numvfs", 0, "PF 0000:18:00.0", "vfs-not-taken"),
    ("sriov_drivers_autoprobe", 0, "PF 0000:18:00.0", "autoprobe-not-taken"),
    ("netlink", errno.EOPNOTSUPP, "VF 1 of 0000:18:00.0", "link-unsupported"),
    ("netlink", errno.EPERM, "VF 1 of 0000:18:00.0", "link-refused"),
    ("netlink", 0, "VF 1 of 0000:18:00.0", "link-not-taken"),
    ("driver_override", errno.EROFS, "VF 1 of 0000:18:00.0", "override-refused"),
    ("bind", errno.ENODEV, "VF 1 of 0000:18:00.0", "driver-refused"),
    ("bind", 0, "VF 1 of 0000:18:00.0", "driver-not-taken"),
]


@pytest.mark.parametrize(("what", "code", "name", "rule"), BROKEN)
def test_what_the_kernel_does_not_do_is_named_and_mended_later(
    kernel: Reacting, what: str, code: int, name: str, rule: str
) -> None:
    before = reading.observe(kernel, PCI)
    kernel.broken[what] = code
    stopped = carrying.settle(kernel, [wish()])
    (fault,) = stopped.faults
    assert (fault.object, fault.rule) == (name, rule)
    assert fault.message
    assert fault.remedy
    kernel.broken.clear()
    assert carrying.revert(kernel, stopped.done).faults == ()
    assert reading.observe(kernel, PCI) == before
    assert carrying.settle(kernel, [wish()]).faults == ()


def test_a_mode_that_is_refused_is_named(kernel: Reacting) -> None:
    kernel.broken["devlink"] = errno.EINVAL
    (fault,) = carrying.settle(kernel, [wish(mode=Eswitch.SWITCHDEV)]).faults
    assert fault.rule == "eswitch-refused"


def test_vfs_in_use_are_never_taken_away(kernel: Reacting) -> None:
    done = carrying.settle(kernel, [wish()])
    making = tuple(one for one in done.done if one.vf is None)
    (fault,) = carrying.revert(kernel, making).faults
    assert (fault.rule, "VF 1 is in use" in fault.message) == ("vfs-in-use", True)
    assert len(list(kernel.tree.homes[NIC].glob("virtfn*"))) == 4


def test_a_vf_that_is_gone_or_anothers_is_not_written(kernel: Reacting) -> None:
    carrying.settle(kernel, [wish()])
    found = reading.observe(kernel, PCI)
    assert found is not None
    operations = plan([wish(VfDriver.VFIO)], [found]).operations
    vf = kernel.tree.homes["0000:18:00.3"]
    (vf / "physfn").unlink()
    (vf / "physfn").symlink_to("../0000:40:00.0")
    count = len(kernel.written)
    (fault,) = carrying.apply(kernel, operations).faults
    assert (fault.rule, len(kernel.written)) == ("driver-refused", count)


def test_addresses_that_are_no_pf_are_nothing(kernel: Reacting) -> None:
    carrying.settle(kernel, [wish()])
    assert reading.observe(kernel, parse_pci("0000:18:00.3")) is None
    assert reading.observe(kernel, parse_pci("0000:99:00.0")) is None
    (fault,) = carrying.settle(kernel, [DesiredPf(parse_pci("0000:99:00.0"), 1, None, ())]).faults
    assert fault.rule == "pf-missing"


def test_messages_have_the_kernels_lengths() -> None:
    for setting, value in ((Setting.MAC, MAC), (Setting.VLAN, (1, 2)), (Setting.NODE_GUID, 5)):
        message = change(9, 3, setting, value)
        assert struct.unpack_from("=I", message)[0] == len(message)
        assert struct.unpack_from("=i", message, 20)[0] == 9
