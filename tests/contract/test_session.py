"""The OpenFlow session with a real switch: up, ports, down, restarts, threads, and no TCP port."""

from __future__ import annotations

import os
import queue
import resource
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from os_ken.ofproto.ofproto_v1_4 import (
    OFPP_CONTROLLER,
    OFPP_LOCAL,
    OFPP_TABLE,
    OFPT_BARRIER_REPLY,
    OFPT_BARRIER_REQUEST,
    OFPT_PACKET_OUT,
)

from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from controller.southbound.openflow.session import TARGETS, Callbacks, Listener, PortChange, SessionRunner
from controller.southbound.openflow.stream import VERSION, Message, Stream
from controller.southbound.ovsdb.database import SwitchDatabase
from controller.southbound.ovsdb.layout import PACKETS, Layout
from model.change import Patch
from model.errors import Unavailable
from model.flow import Flow, Match, Shape, Special
from model.ids import COOKIE_MARK
from pipelines.fields import ETH_TYPE
from tests.contract.ovs import WAIT, PrivateOvs, eventually

LAYOUT = Layout("br-int", "netdev", ip_address("192.0.2.1"), TARGETS)


class Heard:
    """What the callbacks said, in order."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self.callbacks = Callbacks(
            on_up=lambda datapath: self.events.put(("up", datapath)),
            on_down=lambda reason: self.events.put(("down", reason)),
            on_port=lambda change, number, name: self.events.put(("port", change, number, name)),
            on_packet=lambda cookie, port, frame: self.events.put(("packet", cookie, port, frame)),
        )

    def until(self, *wanted: Any) -> tuple[Any, ...]:
        """The next event that begins so; those before it are left out."""
        while True:
            event = self.events.get(timeout=WAIT)
            if event[: len(wanted)] == wanted:
                return event


@pytest.fixture
def bare(own_ovs: PrivateOvs) -> Iterator[SwitchDatabase]:
    """Without a bridge. Who listens before it lays one out gets one connection: the switch comes at once. Who
    listens later calls it, and it may have come by itself just then: the first connection ends soon again."""
    database = SwitchDatabase(own_ovs.remote, own_ovs.rundir, lambda _: None)
    database.start()
    yield database
    database.stop()


@pytest.fixture
def database(bare: SwitchDatabase) -> SwitchDatabase:
    bare.ensure(LAYOUT)
    return bare


def listening_tcp() -> set[str]:
    """Inodes of the TCP sockets on which this process listens (proc(5): state 0A)."""
    inodes = set()
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
        inodes |= {row[9] for row in rows if row[3] == "0A"}
    own = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            own.add(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue
    return {inode for inode in inodes if f"socket:[{inode}]" in own}


def test_up_ports_and_down(own_ovs: PrivateOvs, bare: SwitchDatabase) -> None:
    heard = Heard()
    runner = SessionRunner(own_ovs.rundir, heard.callbacks)
    runner.start()
    try:
        bare.ensure(LAYOUT)
        assert heard.until("up")[1] > 0
        own_ovs.vsctl(
            "add-port", "br-int", "p9", "--", "set", "Interface", "p9", "type=internal", "ofport_request=9"
        )
        assert heard.until("port", PortChange.ADDED)[2:] == (9, "p9")
        own_ovs.vsctl("del-port", "br-int", "p9")
        assert heard.until("port", PortChange.DELETED)[2:] == (9, "p9")
    finally:
        runner.stop()
    assert heard.until("down")
    assert not any((own_ovs.rundir / target.removeprefix("unix:")).exists() for target in TARGETS)


def test_packets_come_up_whole_at_a_bounded_rate_and_go_out(
    own_ovs: PrivateOvs, bare: SwitchDatabase
) -> None:
    heard = Heard()
    runner = SessionRunner(own_ovs.rundir, heard.callbacks)
    channel = Channel(own_ovs.management, Encoder())
    cookie = COOKIE_MARK << 48 | 5
    frame = bytes.fromhex("0a0052f1000102000000000188b5") + bytes(range(256)) * 5
    runner.start()
    try:
        bare.ensure(LAYOUT)
        heard.until("up")
        flow = Flow(Shape("up", 0, 7, (), (Special.CONTROLLER,)), cookie)
        channel.send(Patch((((flow,), ()),)))
        own_ovs.ofctl("packet-out", f"in_port=LOCAL packet={frame.hex()} actions=resubmit(,0)")
        assert heard.until("packet") == ("packet", cookie, OFPP_LOCAL, frame)
        limit = own_ovs.vsctl("--bare", "--columns=controller_rate_limit", "list", "Controller")
        assert int(limit) == PACKETS
        runner.send(OFPP_TABLE, frame)  # so that it comes back: sent from the controller's own port
        assert heard.until("packet") == ("packet", cookie, OFPP_CONTROLLER, frame)
    finally:
        channel.close()
        runner.stop()
    runner.send(OFPP_TABLE, frame)  # without a session it is lost, and that is all


@pytest.mark.parametrize(
    ("way", "all_arrive"), [(Special.CONTROLLER, False), (Special.CONTROLLER_APART, True)]
)
def test_hundreds_of_ports_that_hand_up_do_not_crowd_out_what_goes_apart(
    own_ovs: PrivateOvs, bare: SwitchDatabase, way: Special, *, all_arrive: bool
) -> None:
    """What comes home through one port, among what each of 400 others hands up. By the same queue much of it
    is lost, that is the control; by its own nothing is."""
    heard, rounds = Heard(), 20
    runner = SessionRunner(own_ovs.rundir, heard.callbacks)
    channel = Channel(own_ovs.management, Encoder())
    asked, home, last = (COOKIE_MARK << 48 | n for n in (5, 6, 7))
    kinds = ((0x88B5, asked, Special.CONTROLLER), (0x88B6, home, way), (0x88B7, last, Special.CONTROLLER))
    flows = [
        Flow(Shape(f"up-{kind}", 0, 7, (Match(ETH_TYPE, kind),), (action,)), cookie)
        for kind, cookie, action in kinds
    ]
    hostile, answer, marker = (bytes(12) + kind.to_bytes(2, "big") + bytes(50) for kind, _, _ in kinds)
    each = [(port, hostile) for port in range(1, 401)] + [(500, answer)]
    flood = b"".join(packet_out(port, frame) for port, frame in each) * rounds
    runner.start()
    try:
        bare.ensure(LAYOUT)
        heard.until("up")
        channel.send(Patch(((tuple(flows), ()),)))
        # as fast as the switch takes it: what is let up meanwhile goes by the time that it takes
        pour(own_ovs.management, flood)
        seen: Counter[int | str] = Counter()
        while seen["markers"] < 2:  # the queue is served port by port: two in a row, and it is empty
            runner.send(OFPP_TABLE, marker)
            cookie = heard.until("packet")[1]
            seen["markers"] = seen["markers"] + 1 if cookie == last else 0
            seen[cookie] += 1
    finally:
        channel.close()
        runner.stop()
    assert 0 < seen[asked] < 400 * rounds / 2, "it is a flood"
    assert (seen[home] == rounds) is all_arrive, seen


def packet_out(port: int, frame: bytes) -> bytes:
    """A frame that shall be taken as one of this port (OpenFlow 1.4.1 section 7.3.7)."""
    to_table = struct.pack("!HHIH6x", 0, 16, OFPP_TABLE, 0)
    body = struct.pack("!IIH6x", 0xFFFFFFFF, port, len(to_table)) + to_table + frame
    return struct.pack("!BBHI", VERSION, OFPT_PACKET_OUT, 8 + len(body), 1) + body


def pour(management: Path, messages: bytes) -> None:
    """Send all, and wait until the switch has taken it."""
    stream, seen = Stream(management, WAIT, time.monotonic), list[Message]()
    fence = struct.pack("!BBHI", VERSION, OFPT_BARRIER_REQUEST, 8, 2)

    def passed() -> bool:
        return any(message.type == OFPT_BARRIER_REPLY for message in seen)

    try:
        stream.exchange(messages + fence, seen.append, passed, time.monotonic() + WAIT)
    finally:
        stream.close()


def test_listens_on_no_tcp_port(own_ovs: PrivateOvs, database: SwitchDatabase) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))):
        assert len(listening_tcp()) == 1, "the control: a listener of our own is seen"
    heard = Heard()
    runner = SessionRunner(own_ovs.rundir, heard.callbacks, lambda: database.recall(TARGETS))
    runner.start()
    try:
        heard.until("up")
        assert listening_tcp() == set()
    finally:
        runner.stop()


def test_reconnects_leave_no_threads(own_ovs: PrivateOvs, database: SwitchDatabase) -> None:
    before = threading.active_count()
    heard = Heard()
    runner = SessionRunner(own_ovs.rundir, heard.callbacks, lambda: database.recall(TARGETS))
    runner.start()
    try:
        heard.until("up")
        running = threading.active_count()
        for _ in range(6):
            database.recall(TARGETS)  # a new connection, and the end of the old one
            heard.until("down")
            heard.until("up")
        eventually(lambda: threading.active_count() <= running, "threads of ended sessions stay")
    finally:
        runner.stop()
    eventually(lambda: threading.active_count() <= before, "threads stay after the end")


def test_survives_a_crash_of_vswitchd(own_ovs: PrivateOvs, database: SwitchDatabase) -> None:
    heard = Heard()
    runner = SessionRunner(own_ovs.rundir, heard.callbacks, lambda: database.recall(TARGETS))
    runner.start()
    try:
        first = heard.until("up")
        own_ovs.kill("vswitchd")
        heard.until("down")
        own_ovs.start_vswitchd()
        assert heard.until("up") == first
    finally:
        runner.stop()


def test_an_armed_switch_waits_for_its_flows(own_ovs: PrivateOvs, bare: SwitchDatabase) -> None:
    """flow-restore-wait: a new ovs-vswitchd takes flows over its management socket before it begins."""
    heard = Heard()
    runner = SessionRunner(own_ovs.rundir, heard.callbacks)
    channel = Channel(own_ovs.management, Encoder())
    flow = Flow(Shape("restored", 0, 7, (), (), 3), COOKIE_MARK << 48)
    runner.start()
    try:
        bare.ensure(LAYOUT)
        heard.until("up")
        bare.arm()
        own_ovs.kill("vswitchd")
        heard.until("down")
        own_ovs.start_vswitchd()
        eventually(lambda: _programmed(channel, flow), "an armed switch takes no flows")
        assert heard.events.empty(), "it calls no controller before its release"
        bare.release()
        heard.until("up")
        # its first controller comes only now, and OVS then flushes the bridge: hence an audit after each up
        channel.send(Patch(tuple(((f,), ()) for f in channel.audit([flow]).missing)))
        assert not channel.audit([flow])
    finally:
        channel.close()
        runner.stop()


def _programmed(channel: Channel, flow: Flow) -> bool:
    try:
        return channel.send(Patch((((flow,), ()),))).flows == 1
    except Unavailable:
        return False


def test_garbage_ends_the_connection_and_nothing_else(tmp_path: Path) -> None:
    heard = Heard()
    runner = SessionRunner(tmp_path, heard.callbacks)
    runner.start()
    try:
        path = str(tmp_path / TARGETS[0].removeprefix("unix:"))
        for garbage in (b"\xff" * 64, b"\x05\x00\x00\x08" + b"\0" * 4 + b"\x05\x06\x00\x20" + b"\xff" * 28):
            with closing(socket.socket(socket.AF_UNIX)) as peer:
                peer.settimeout(WAIT)
                peer.connect(path)
                peer.sendall(garbage)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(4096):
                    pass  # till the other side has hung up
        with closing(socket.socket(socket.AF_UNIX)) as peer:
            peer.settimeout(WAIT)
            peer.connect(path)
            assert peer.recv(8)[:2] == b"\x05\x00", "still greets"
    finally:
        runner.stop()
    assert heard.events.empty()


def test_a_lack_of_files_does_not_deafen_the_listener(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """accept(2) ends in EMFILE for a while; the switch that waits is taken afterwards."""
    path = tmp_path / "of.sock"
    listener = Listener((path,))
    listener.start()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    switch = socket.socket(socket.AF_UNIX)
    try:
        switch.settimeout(WAIT)
        try:
            # below all that are open: one that somebody closes meanwhile is no room
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            switch.connect(str(path))
            eventually(lambda: "not taken" in caplog.text, "the listener had no lack of files")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert switch.recv(1)[0] == VERSION, "the hello of a session"
    finally:
        switch.close()
        listener.stop()


def test_a_second_agent_is_refused_and_takes_nothing_from_the_first(tmp_path: Path) -> None:
    path = tmp_path / "of.sock"
    first, second = Listener((path,)), Listener((path,))
    first.start()
    try:
        with pytest.raises(Unavailable):
            second.start()
        second.stop()
        with closing(socket.socket(socket.AF_UNIX)) as switch:
            switch.settimeout(WAIT)
            switch.connect(str(path))
            assert switch.recv(1)[0] == VERSION, "the hello of a session"
    finally:
        first.stop()
    second.start()
    second.stop()


def test_a_second_runner_leaves_no_thread_behind(tmp_path: Path) -> None:
    """What stays would keep a process alive that has nothing to do."""
    holder = Listener((tmp_path / TARGETS[0].removeprefix("unix:"),))
    holder.start()
    before = threading.active_count()
    runner = SessionRunner(tmp_path, Heard().callbacks)
    try:
        with pytest.raises(Unavailable):
            runner.start()
        runner.stop()
        eventually(lambda: threading.active_count() <= before, "threads stay after the refusal")
    finally:
        holder.stop()
