"""The local switch database: what is made there, what is left alone, and what is seen."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from controller.southbound import unixctl
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from controller.southbound.ovsdb.database import SwitchDatabase
from controller.southbound.ovsdb.layout import Layout
from controller.southbound.ovsdb.reading import Local
from model.change import Patch
from model.errors import Conflict, Invalid, Unavailable
from model.flow import Flow, Shape
from model.ids import COOKIE_MARK
from model.serving import IFACE_ID, SUFFIX_MARK
from tests.contract.ovs import WAIT, PrivateOvs

TARGETS = ("unix:one.sock", "unix:two.sock")
LAYOUT = Layout("br-int", "netdev", ip_address("192.0.2.1"), TARGETS)


class Watched:
    def __init__(self, ovs: PrivateOvs) -> None:
        self.events: queue.Queue[Local] = queue.Queue()
        self.database = SwitchDatabase(ovs.remote, ovs.rundir, self.events.put)
        self.database.start()

    def until(self, true: Callable[[Local], object]) -> Local:
        while True:
            event = self.events.get(timeout=WAIT)
            if true(event):
                return event


@pytest.fixture
def watched(own_ovs: PrivateOvs) -> Iterator[Watched]:
    watched = Watched(own_ovs)
    yield watched
    watched.database.stop()


def writes(ovs: PrivateOvs) -> int:
    """Our transactions in the database's file; ovs-vswitchd writes there too."""
    return (ovs.rundir / "conf.db").read_text().count('"_comment":"ringfence"')


def test_lays_out_once_and_then_writes_nothing(own_ovs: PrivateOvs, watched: Watched) -> None:
    assert watched.until(lambda _: True) == Local("hv1", None, {})
    watched.database.ensure(LAYOUT)
    seen = watched.until(lambda e: e.switch)
    assert seen.switch is not None and seen.switch.datapath == "netdev" and seen.switch.tunnel > 0
    assert own_ovs.vsctl("get", "Bridge", "br-int", "fail_mode").strip() == "secure"
    options = own_ovs.vsctl("get", "Interface", "rf-vxlan", "options")
    assert options.strip() == '{key=flow, local_ip="192.0.2.1", remote_ip=flow, tos=inherit}'
    assert own_ovs.vsctl("get-controller", "br-int").split() == ["unix:one.sock"]
    before = writes(own_ovs)
    watched.database.ensure(LAYOUT)
    watched.database.ensure(LAYOUT)
    assert writes(own_ovs) == before
    watched.database.ensure(replace(LAYOUT, local=ip_address("2001:db8::1")))
    assert writes(own_ovs) > before, "the control: a change is written"
    assert "2001:db8::1" in own_ovs.vsctl("get", "Interface", "rf-vxlan", "options")


def test_recall_changes_the_target_and_keeps_flows(own_ovs: PrivateOvs, watched: Watched) -> None:
    watched.database.ensure(LAYOUT)
    watched.until(lambda e: e.switch)
    flow = Flow(Shape("held", 0, 7, (), (), 3), COOKIE_MARK << 48)
    channel = Channel(own_ovs.management, Encoder())
    channel.send(Patch((((flow,), ()),)))
    for target in ("unix:two.sock", "unix:one.sock", "unix:two.sock"):
        watched.database.recall(TARGETS)
        assert own_ovs.vsctl("get-controller", "br-int").split() == [target]
    before = writes(own_ovs)
    watched.database.ensure(LAYOUT)
    assert writes(own_ovs) == before, "either target is right"
    own_ovs.vsctl("set", "Bridge", "br-int", "other_config:seen=true")  # returns when ovs-vswitchd has it
    assert channel.dump(0).rows() == [Encoder().row(flow)]
    channel.close()


def test_leaves_a_stranger_s_bridge_alone(own_ovs: PrivateOvs, watched: Watched) -> None:
    own_ovs.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev")
    before = writes(own_ovs)
    with pytest.raises(Conflict, match="bears no mark"):
        watched.database.ensure(LAYOUT)
    assert writes(own_ovs) == before
    own_ovs.vsctl("set", "Bridge", "br-int", "external_ids:ringfence=true")
    watched.database.ensure(LAYOUT)
    assert watched.until(lambda e: e.switch).switch


def test_takes_a_prepared_bridge_but_not_another_data_path(own_ovs: PrivateOvs, watched: Watched) -> None:
    own_ovs.lay_bridge(("p1", 1))
    own_ovs.vsctl("set", "Interface", "p1", "external_ids:iface-id=0001")
    with pytest.raises(Conflict, match="datapath_type"):
        watched.database.ensure(replace(LAYOUT, datapath="system"))
    own_ovs.vsctl("del-port", "br-int", "vx")  # two ports of one tunnel exclude each other
    watched.database.ensure(LAYOUT)
    seen = watched.until(lambda e: e.switch and e.interfaces)
    assert [(i.name, i.ofport) for i in seen.interfaces.values()] == [("p1", 1)]


def test_sees_interfaces_come_change_and_go(own_ovs: PrivateOvs, watched: Watched) -> None:
    watched.database.ensure(LAYOUT)
    own_ovs.vsctl("add-port", "br-int", "p1", "--", "set", "Interface", "p1", "type=internal")
    own_ovs.vsctl("set", "Interface", "p1", "external_ids:iface-id=AB-1")
    seen = watched.until(lambda e: e.interfaces).interfaces
    assert [(uid, i.name, i.iface_id) for uid, i in seen.items()] == [("ab-1", "p1", "ab-1")]
    own_ovs.vsctl("add-port", "br-int", "p0", "--", "set", "Interface", "p0", "type=internal")
    own_ovs.vsctl("set", "Interface", "p0", "external_ids:iface-id=ab-1")
    doubled = watched.until(lambda e: any(i.name == "p0" for i in e.interfaces.values()))
    assert [i.name for i in doubled.interfaces.values()] == ["p0"], "two with one id: the first by name"
    own_ovs.vsctl("del-port", "br-int", "p0")
    own_ovs.vsctl("del-port", "br-int", "p1")
    assert not watched.until(lambda e: not e.interfaces).interfaces


def test_reads_what_zones_end_in_of_the_interface_that_serves_and_of_no_other(
    own_ovs: PrivateOvs, watched: Watched
) -> None:
    watched.database.ensure(LAYOUT)
    for name, uid, suffix in (("p1", "ab-1", "evil.example"), ("p2", IFACE_ID, "cloud.example")):
        own_ovs.vsctl("--no-wait", "add-port", "br-int", name, "--", "set", "Interface", name, "type=dummy")
        ids = [f"external_ids:{key}={text}" for key, text in (("iface-id", uid), (SUFFIX_MARK, suffix))]
        own_ovs.vsctl("set", "Interface", name, *ids)
    seen = watched.until(lambda e: IFACE_ID in e.interfaces).interfaces
    assert {uid: found.suffix for uid, found in seen.items()} == {"ab-1": "", IFACE_ID: "cloud.example"}
    own_ovs.vsctl("set", "Interface", "p2", f"external_ids:{SUFFIX_MARK}='no name'")
    watched.until(lambda e: IFACE_ID in e.interfaces and not e.interfaces[IFACE_ID].suffix)


def test_says_that_vswitchd_died_and_that_another_runs(own_ovs: PrivateOvs, watched: Watched) -> None:
    watched.database.ensure(LAYOUT)
    first = watched.until(lambda e: e.switch).switch
    own_ovs.kill("vswitchd")
    watched.until(lambda e: e.switch is None)
    own_ovs.start_vswitchd()
    second = watched.until(lambda e: e.switch).switch
    assert first is not None and second is not None and first.started != second.started


def test_survives_a_restart_of_the_database(own_ovs: PrivateOvs, watched: Watched) -> None:
    watched.database.ensure(LAYOUT)
    watched.until(lambda e: e.switch)
    own_ovs.kill("database")
    with pytest.raises(Unavailable):
        watched.database.ensure(replace(LAYOUT, local=ip_address("192.0.2.9")), timeout=0.5)
    (own_ovs.rundir / "db.sock").unlink(missing_ok=True)
    own_ovs.start_database()
    watched.database.ensure(replace(LAYOUT, local=ip_address("192.0.2.7")), timeout=WAIT)
    assert "192.0.2.7" in own_ovs.vsctl("get", "Interface", "rf-vxlan", "options")


def test_arms_and_releases_only_its_own_setting(own_ovs: PrivateOvs, watched: Watched) -> None:
    def setting() -> str:
        return own_ovs.vsctl(
            "--if-exists", "get", "Open_vSwitch", ".", "other_config:flow-restore-wait"
        ).strip()

    watched.database.arm()
    assert setting() == '"true"'
    watched.database.release()
    assert setting() == ""
    own_ovs.vsctl("set", "Open_vSwitch", ".", "other_config:flow-restore-wait=true")
    watched.database.arm()
    watched.database.release()
    assert setting() == '"true"', "somebody else's setting stays"


def test_commands_of_vswitchd(own_ovs: PrivateOvs) -> None:
    own_ovs.lay_bridge()
    unixctl.revalidate_purge(own_ovs.rundir)
    unixctl.revalidate_wait(own_ovs.rundir)
    assert "Datapath actions: drop" in unixctl.trace(own_ovs.rundir, "br-int", "in_port=100")
    with pytest.raises(Invalid, match="not a valid command"):
        unixctl.call(own_ovs.rundir, "no/such-command")
    own_ovs.kill("vswitchd")
    with pytest.raises(Unavailable, match="no control socket"):
        unixctl.revalidate_wait(own_ovs.rundir)
