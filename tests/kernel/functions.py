"""Inside of the guest with an igb: its VFs as ipam.devices sets them, and as iproute2 sees them.

Place: run by tests/integration/devices/test_functions.py; no test_ in its name, since it changes the NICs of
the machine that it runs on. Needs igb, igbvf, iproute2.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from accounting.bypass.count import Holding
from accounting.journal import Journal
from accounting.records import Owner
from controller.agent.claims import Claim, name
from controller.agent.credence import Credence
from controller.agent.gauging import Clocks, Gauging, Watched
from controller.agent.settling import Settler
from controller.cni.main import respond
from ipam.devices import carrying, look, reading, tallies, vf_counts
from ipam.devices.desired import DesiredPf, DesiredVf, Setting, Value, VfDriver
from ipam.devices.found import FoundPf
from ipam.devices.kernel import Host
from ipam.devices.operations import plan
from ipam.devices.tallies import Subject
from model.bearing import HostPart, Reached
from model.fabric import FabricKind
from model.gang import GangState, Use
from model.hardware import Eswitch, PciAddress, format_pci
from model.ids import PortKey
from tests.fakes.berths import gang, interface, page
from tests.fakes.host import HOST, layout, mooring, moorings

KERNEL = Host()
MAC = 0x020A00000001
TIMEOUT = 120.0
"""Seconds for what takes one: the machine may do other things, and only what never comes is a failure."""


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not true():
        assert time.monotonic() < deadline, "the link does not come up"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def pci() -> PciAddress:
    for module in ("igb", "igbvf"):
        subprocess.run(["modprobe", module], check=True, timeout=TIMEOUT)
    (pf,) = (pf for pf in look.observe().pfs if pf.driver == "igb")
    assert (pf.total, pf.made, pf.id) == (7, 0, "8086:10c9")
    ip("link", "set", pf.netdev, "up")
    return pf.pci


@pytest.fixture(autouse=True)
def clean(pci: PciAddress) -> Iterator[None]:
    """As the kernel has it after the boot."""
    yield
    home = Path("/sys") / reading.home(pci)
    (home / "sriov_numvfs").write_text("0")
    (home / "sriov_drivers_autoprobe").write_text("1")


def found(pci: PciAddress) -> FoundPf:
    seen = reading.observe(KERNEL, pci)
    assert seen is not None
    return seen


def vf(index: int, driver: VfDriver = VfDriver.NATIVE, vlan: int = 100, **more: Value) -> DesiredVf:
    settings: dict[Setting, Value] = {
        Setting.MAC: MAC + index,
        Setting.VLAN: (vlan, 0),
        Setting.SPOOF: 0,
        Setting.TRUST: 1,
    } | {Setting[name]: value for name, value in more.items()}
    return DesiredVf(index, driver, MappingProxyType(settings))


def wish(pci: PciAddress, *vfs: DesiredVf) -> list[DesiredPf]:
    return [DesiredPf(pci, 3, None, vfs)]


def netdev(pci: PciAddress, index: int) -> dict[str, Any]:
    """The link that a VF's driver has made."""
    home = Path("/sys") / reading.home(pci) / f"virtfn{index}" / "net"
    (name,) = os.listdir(home)
    (link,) = json.loads(ip("-j", "link", "show", name))
    return dict(link)


def test_from_nothing_to_vfs_that_iproute2_sees_as_desired(pci: PciAddress) -> None:
    wanted = wish(pci, vf(0), vf(2, vlan=200))
    done = carrying.settle(KERNEL, wanted)
    assert done.faults == ()
    (pf,) = (pf for pf in look.observe().pfs if pf.pci == pci)
    (told,) = json.loads(ip("-j", "-d", "link", "show", pf.netdev))
    seen = [(v["vf"], v["address"], v["spoofchk"], v["trust"]) for v in told["vfinfo_list"]]
    assert seen == [
        (0, "02:0a:00:00:00:01", False, True),
        (1, "00:00:00:00:00:00", True, False),
        (2, "02:0a:00:00:00:03", False, True),
    ]
    assert [v["vlan_list"][0].get("vlan") for v in told["vfinfo_list"] if v["vf"] != 1] == [100, 200]
    assert [v.driver for v in pf.vfs] == ["igbvf", "", "igbvf"]
    assert [netdev(pci, index)["address"] for index in (0, 2)] == ["02:0a:00:00:00:01", "02:0a:00:00:00:03"]
    assert carrying.settle(KERNEL, wanted).done == ()


def test_a_new_mac_reaches_the_driver(pci: PciAddress) -> None:
    assert carrying.settle(KERNEL, wish(pci, vf(0))).faults == ()
    assert carrying.settle(KERNEL, wish(pci, vf(0, MAC=MAC + 0x50))).faults == ()
    assert netdev(pci, 0)["address"] == "02:0a:00:00:00:51"


def test_a_rate_that_has_no_link_yet_is_refused_and_set_by_a_later_run(pci: PciAddress) -> None:
    """igb begins anew when it makes VFs, and takes no rate before it knows its link's speed (EINVAL)."""
    wanted = wish(pci, vf(0, RATES=(0, 100)))
    first = carrying.settle(KERNEL, wanted)
    assert {fault.rule for fault in first.faults} <= {"rates-refused"}
    (name,) = os.listdir(Path("/sys") / reading.home(pci) / "net")
    until(lambda: (Path("/sys/class/net") / name / "carrier").read_text() == "1\n")
    until(lambda: carrying.settle(KERNEL, wanted).faults == ())
    (told,) = json.loads(ip("-j", "-d", "link", "show", name))
    assert [v["rate"]["max_tx"] for v in told["vfinfo_list"]] == [100, 0, 0]


def test_a_crash_is_mended_and_undo_leaves_nothing(pci: PciAddress) -> None:
    before = found(pci)
    wanted = wish(pci, vf(1))
    operations = plan(wanted, [before]).operations
    assert len(operations) == 8
    # VFs are made, half set, bound: a second each, in emulation; the model of NICs is tried at all points.
    for count in (2, 5, 8):
        first = carrying.apply(KERNEL, operations[:count])
        assert first.faults == ()
        second = carrying.settle(KERNEL, wanted)
        assert second.faults == ()
        assert plan(wanted, [found(pci)]).operations == ()
        assert carrying.revert(KERNEL, (*first.done, *second.done)).faults == ()
        assert found(pci) == before


def test_what_igb_can_not_do_is_named(pci: PciAddress) -> None:
    (fault,) = carrying.settle(KERNEL, wish(pci, vf(0, LINK=2))).faults
    assert (fault.object, fault.rule) == (f"VF 0 of {format_pci(pci)}", "link-unsupported")
    (fault,) = carrying.settle(KERNEL, wish(pci, vf(0, NODE_GUID=2 << 56 | 1))).faults
    assert fault.rule == "node-guid-unsupported"
    (fault,) = carrying.settle(KERNEL, [DesiredPf(pci, 3, Eswitch.SWITCHDEV, (vf(0),))]).faults
    assert fault.rule == "eswitch-missing"


def test_vfs_are_never_taken_away_for_more(pci: PciAddress) -> None:
    assert carrying.settle(KERNEL, wish(pci, vf(0))).faults == ()
    (fault,) = carrying.settle(KERNEL, wish(pci, vf(0), vf(5))).faults
    assert fault.rule == "vfs-in-use"
    assert len(found(pci).vfs) == 3


def test_a_driver_that_is_not_there_is_named(pci: PciAddress) -> None:
    """The guest has no vfio-pci."""
    (fault,) = carrying.settle(KERNEL, wish(pci, vf(0, VfDriver.VFIO))).faults
    assert fault.rule == "driver-refused"


def test_a_gang_finds_no_place_on_an_igb_and_is_let_go(pci: PciAddress, tmp_path: Path) -> None:
    """What an agent does and says: igb lowers no link, so nothing else is done to the VF either."""
    settler = Settler(KERNEL, Credence(HOST, tmp_path / "devices.json"), time.monotonic)
    kind = layout()
    kind = replace(kind, pfs=(replace(kind.pfs[0], pci=pci),))

    def said(state: GangState) -> HostPart:
        asked = mooring(7, state, GangState.PROGRAMMED)
        berth = replace(asked.berth, interfaces=asked.berth.interfaces[:1])
        store = replace(moorings(replace(asked, berth=berth)), skus={"h": kind})
        (part,) = settler.round(store).parts
        return part

    part = said(GangState.PROGRAMMED)
    assert (part.reached, [f.rule for f in part.faults]) == (Reached.NOTHING, ["link-unsupported"])
    pf = found(pci)
    assert (pf.made, [vf.settings[Setting.DRIVER] for vf in pf.vfs]) == (4, [""] * 4)
    assert pf.vfs[1].settings[Setting.MAC] == 0
    assert said(GangState.FAILED).reached is Reached.PARKED
    assert found(pci) == pf


def test_containers_get_real_vfs_and_give_them_back(pci: PciAddress, tmp_path: Path) -> None:
    """The CNI plugin: two VFs reach each other from two namespaces; one is taken back, one falls back."""
    assert carrying.settle(KERNEL, wish(pci, vf(0, vlan=0), vf(1, vlan=0))).faults == ()
    places = [(Path("/sys") / reading.home(pci) / f"virtfn{index}").resolve().name for index in (0, 1)]
    names = [netdev(pci, index)["ifname"] for index in (0, 1)]
    berths = [interface(i, pci=place, mac=f"02:0a:00:00:00:0{1 + i}") for i, place in enumerate(places)]
    (tmp_path / "berths.json").write_text(page(gang(berths)), encoding="utf-8")
    config = {"cniVersion": "1.1.0", "name": "rails", "type": "ringfence-cni", "tenant": "acme", "mtu": 1400}
    config |= {"berths": str(tmp_path / "berths.json"), "dataDir": str(tmp_path / "claims")}

    def ask(command: str, index: int, **more: Any) -> Any:
        environ = {"CNI_COMMAND": command, "CNI_CONTAINERID": f"c{index}", "CNI_IFNAME": "net1"}
        environ["CNI_NETNS"] = f"/run/netns/pod{index}"
        asked = config | {"runtimeConfig": {"deviceID": places[index]}} | more
        code, answer = respond(environ, json.dumps(asked).encode())
        assert code == 0, answer
        return answer

    for index in (0, 1):
        ip("netns", "add", f"pod{index}")
        answer = ask("ADD", index)
        assert answer["interfaces"][0]["mac"] == f"02:0a:00:00:00:0{1 + index}"
        ask("CHECK", index, prevResult=answer)
    (link,) = json.loads(ip("-netns", "pod0", "-j", "-d", "link", "show", "net1"))
    assert (link["parentdev"], link["mtu"]) == (places[0], 1400)
    until(lambda: subprocess.run(PING, timeout=TIMEOUT).returncode == 0)
    # Renamed, and beside one that bears name and mark, it is known by its PCI address.
    ip("-netns", "pod0", "link", "set", "net1", "down", "alias", "")
    ip("-netns", "pod0", "link", "set", "net1", "name", "mine")
    ip("-netns", "pod0", "link", "add", "net1", "alias", f"ringfence {places[0]}", "type", "bridge")
    ask("DEL", 0)
    assert netdev(pci, 0)["ifname"] == names[0]
    ip("netns", "delete", "pod1")
    until(lambda: bool(os.listdir(Path("/sys") / reading.home(pci) / "virtfn1" / "net")))
    assert netdev(pci, 1)["ifname"] == "net1", "what the kernel makes of it"
    ask("DEL", 1)
    assert netdev(pci, 1)["ifname"] == names[1]
    assert not list((tmp_path / "claims").glob("0*"))
    ip("netns", "delete", "pod0")


PING = ["ip", "netns", "exec", "pod0", "ping", "-c", "1", "-W", "2", "10.128.0.11"]


class Gangs:
    """Two VFs and who has them, as the store would say; the first gang's number is 7."""

    def __init__(self, pci: PciAddress, directory: Path) -> None:
        self.pci, self.journal = pci, Journal(directory)
        clocks = Clocks(
            lambda: time.time_ns() // 1_000_000,
            lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000,
        )
        read = partial(tallies.observe, KERNEL.root, vf_counts.observe)
        self.gauging = Gauging(self.journal, read, HOST, "a-boot", clocks)

    def say(self, *words: tuple[int, int, str]) -> None:
        """VF, generation of its gang, and how far that is."""
        claims = {}
        for vf, generation, word in words:
            owner = Owner(f"p{generation}", "", f"t{generation}", f"t{generation}", f"g{generation}", "")
            up, going = word != "set", word == "going"
            holding = Holding(PortKey(1 + vf), generation, owner, up, going)
            claims[name(self.pci, vf)] = Claim(
                holding, Subject(self.pci, vf, FabricKind.ETHERNET, Use.CONTAINER)
            )
        self.gauging.follow(claims)


def quiet(*prefix: str) -> None:
    """No word of IPv6 by itself on links that come up."""
    text = "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6 2>/dev/null || true"
    subprocess.run([*prefix, "sh", "-c", text], check=True, timeout=TIMEOUT)


def reach(here: str, index: int) -> None:
    """A VF of this namespace with an address, its neighbour known: nothing is said but what a test says."""
    ip("address", "add", f"10.9.0.{1 + index}/24", "dev", here)
    ip("link", "set", here, "up")
    ip("neighbour", "replace", "10.9.0.9", "lladdr", "02:0a:00:00:00:02", "dev", here, "nud", "permanent")
    until(lambda: (Path("/sys/class/net") / here / "carrier").read_text() == "1\n")


def test_what_vfs_carry_is_billed_to_the_byte_to_whom_it_was(pci: PciAddress, tmp_path: Path) -> None:
    """VF 0 is read on this host, VF 1 when its pod gives it back; VF 0 then goes to another gang. The journal
    is compared with a ledger outside."""
    quiet()
    ip("netns", "add", "pod1")
    quiet("ip", "netns", "exec", "pod1")
    both = (vf(0, vlan=0), vf(1, vlan=0))
    assert carrying.settle(KERNEL, wish(pci, *both)).faults == ()
    gangs = Gangs(pci, tmp_path / "devices")
    gangs.say((0, 7, "set"), (1, 9, "set"))
    near, far = (netdev(pci, index)["ifname"] for index in (0, 1))
    gangs.say((0, 7, "up"), (1, 9, "up"))
    ip("link", "set", far, "netns", "pod1")
    ip("-netns", "pod1", "address", "add", "10.9.0.9/24", "dev", far)
    ip("-netns", "pod1", "link", "set", far, "up")
    for index in (0, 1):
        peer = ("lladdr", "02:0a:00:00:00:01", "dev", far, "nud", "permanent")
        ip("-netns", "pod1", "neighbour", "replace", f"10.9.0.{1 + index}", *peer)
    reach(near, 0)
    exchange(near, 500, 300)
    (pf,) = (pf for pf in look.observe().pfs if pf.pci == pci)
    assert set(vf_counts.observe(pf.netdev).values()) == {vf_counts.VfCount((0, 0), (0, 0))}, (
        "igb counts none"
    )
    gangs.gauging.tick()
    exchange(near, 10, 20)
    gangs.say((0, 7, "going"), (1, 9, "up"))
    ip("-netns", "pod1", "link", "set", far, "down")
    ip("-netns", "pod1", "link", "set", far, "netns", "1")
    parked = DesiredVf(0, VfDriver.NONE, MappingProxyType({Setting.MAC: 0}))
    watched = Watched(KERNEL, gangs.gauging)
    assert carrying.settle(watched, wish(pci, parked, both[1])).faults == ()
    gangs.say((1, 9, "going"))
    assert carrying.settle(watched, wish(pci, *both)).faults == ()
    gangs.say((0, 8, "set"), (1, 9, "going"))
    ip("link", "set", far, "netns", "pod1")
    ip("-netns", "pod1", "link", "set", far, "up")
    gangs.say((0, 8, "up"), (1, 9, "going"))
    again = netdev(pci, 0)["ifname"]
    reach(again, 1)
    exchange(again, 0, 40)
    gangs.gauging.tick()
    ip("netns", "delete", "pod1")
    gangs.journal.close()
    shutil.copytree(tmp_path / "devices", "/mnt/results/devices")


def exchange(here: str, pings: int, frames: int) -> None:
    """Echoes of 142 bytes both ways, and frames of 200 bytes that nobody answers."""
    if pings:
        words = ["ping", "-f", "-c", str(pings), "-s", "100", "10.9.0.9"]
        said = subprocess.run(words, check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout
        assert f"{pings} packets transmitted, {pings} received" in said
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((here, 0))
        frame = bytes.fromhex("020a00000002 020a00000001 88b5").ljust(200, b"x")
        for _ in range(frames):
            raw.send(frame)
            time.sleep(0.001)
    statistics = Path("/sys/class/net") / here / "statistics/tx_packets"
    until(lambda: int(statistics.read_text()) >= pings + frames)
