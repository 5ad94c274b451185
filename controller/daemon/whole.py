"""`ringfenced all`: store, API, speaker, agent and services of this machine, in one tree, self-declared.

Place: the zero-set-up default of one machine; a cluster runs the units one by one. Must not do what they do:
it starts them, declares this host through the CLI as an operator would, starts again what ends, stops all.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from controller.daemon import flags
from controller.southbound import rpc
from model.addresses import Address
from model.errors import Fault, RingfenceError, Unavailable

LOG: Final = logging.getLogger(__name__)
_LOOK: Final = 0.2
_READY: Final = 30.0
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_STEADY: Final = 30.0
"""A process that ran this long starts again without a growing pause."""
_TERM: Final = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    """`vtep`: this host's VTEP. `reflectors`: empty = no EVPN, a cluster of one host. `policy`, `holdings`,
    `resolvers`: flags that are handed on to the API, to the agent and to what answers ports."""

    directory: Path
    run: Path
    rundir: Path
    datapath: str
    vtep: Address
    asn: int
    reflectors: tuple[Address, ...]
    policy: tuple[str, ...] = ()
    resolvers: tuple[str, ...] = ()
    holdings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Child:
    """A process of ours. `ready`: whether it serves."""

    name: str
    command: list[str]
    ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    pause: float = field(default=_FIRST_PAUSE)
    again: float = 0.0

    def start(self) -> None:
        """With the death of this process comes theirs: nothing is left behind."""
        words = ["setpriv", "--pdeathsig", "TERM", *self.command]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        self.began = time.monotonic()
        LOG.info("started process=%s pid=%d", self.name, self.process.pid)

    def tend(self, now: float) -> None:
        """Start it again if it ended, later each time that it ends soon."""
        if self.process is None:
            if now >= self.again:
                self.start()
        elif self.process.poll() is not None:
            self.pause = _FIRST_PAUSE if now - self.began > _STEADY else min(self.pause * 2, _LONGEST_PAUSE)
            LOG.error(
                "ended process=%s code=%s: again in %.1f s", self.name, self.process.returncode, self.pause
            )
            self.process, self.again = None, now + self.pause

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after a while."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(_TERM)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run(argv: Sequence[str]) -> int:
    """Until terminated; 1 with a sentence if this machine lacks something."""
    settings = parse(argv)
    children: list[_Child] = []
    try:
        name = system_id(settings.rundir)
        for child in processes(settings):
            children.append(child)
            child.start()
            _await(child)
            if child.name == "api":
                _declare(settings, name)
        LOG.info("all run host=%s vtep=%s: ringfence status", name, settings.vtep)
        while True:
            for child in children:
                child.tend(time.monotonic())
            time.sleep(_LOOK)
    except RingfenceError as error:
        for fault in error.faults:
            LOG.error("%s: %s. %s", fault.object, fault.message, fault.remedy)
        return 1
    finally:
        for child in reversed(children):
            child.stop()


def parse(argv: Sequence[str]) -> Settings:
    """Flags to settings."""
    parser = argparse.ArgumentParser(prog="ringfenced all", description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=Path, default=Path("/var/lib/ringfence"), help="databases and state")
    parser.add_argument("--run-dir", type=Path, default=Path("/run/ringfence"), help="sockets")
    parser.add_argument("--ovs-rundir", type=Path, default=Path("/var/run/openvswitch"))
    parser.add_argument("--datapath", choices=("system", "netdev"), default="system")
    parser.add_argument("--vtep", type=ip_address, help="default: the address of the default route")
    parser.add_argument("--asn", type=int, default=65000)
    parser.add_argument(
        "--reflector", action="append", type=ip_address, default=[], help="none: no EVPN, one host"
    )
    parser.add_argument(
        "--resolver",
        action="append",
        default=[],
        metavar="ADDRESS[@PORT]",
        help="asked for names outside; none: ports are told of their own alone",
    )
    policy = (*flags.add_policy(parser), *flags.add_ledger(parser))
    holdings = flags.add_holdings(parser)
    given = parser.parse_args(argv)
    flags.holds(parser, given)
    flags.shares(parser, given)
    return Settings(
        directory=given.dir.absolute(),
        run=given.run_dir.absolute(),
        rundir=given.ovs_rundir,
        datapath=given.datapath,
        vtep=given.vtep or default_address(),
        asn=given.asn,
        reflectors=tuple(given.reflector),
        policy=tuple(flags.words(policy, given)),
        resolvers=tuple(word for each in given.resolver for word in ("--resolver", each)),
        holdings=tuple(flags.words(holdings, given)),
    )


def default_address() -> Address:
    """The address from which this host reaches the world; loopback if it does not. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # documentation prefix: connecting UDP only looks up the route
        return ip_address(probe.getsockname()[0])
    return ip_address("127.0.0.1")


def system_id(rundir: Path) -> str:
    """Open_vSwitch external_ids:system-id. Unavailable with what to do if there is none."""
    select = {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["external_ids"]}
    answer: Any = rpc.call(rundir / "db.sock", "transact", ["Open_vSwitch", select], _READY)
    rows = answer[0]["rows"]
    name = dict(rows[0]["external_ids"][1]).get("system-id", "") if rows else ""
    if not name:
        raise Unavailable(
            Fault(
                "Open vSwitch of this host",
                "system-id-missing",
                "it has no external_ids:system-id, which is the host's name",
                "Set it: ovs-vsctl set Open_vSwitch . external_ids:system-id=$(hostname -s)",
            )
        )
    return str(name)


def router_id(vtep: Address) -> str:
    """32 bits in dotted form: the VTEP itself, or the low bits of an IPv6 one."""
    return str(ip_address(int(vtep) & 0xFFFFFFFF))


def processes(settings: Settings) -> list[_Child]:
    """In the order of their start."""
    store, api = settings.run / "store.sock", settings.run / "api.sock"
    speaker = settings.run / "speaker.sock"
    peers = [word for r in settings.reflectors for word in ("--reflector", str(r))]
    found = [
        _Child(
            "store",
            _ringfenced("store", "--dir", str(settings.directory / "store"), "--remote", f"unix:{store}"),
            lambda: _answers(store),
        ),
        _Child(
            "api",
            _ringfenced(
                "api", "--store", f"unix:{store}", "--listen", f"unix:{api}", "--asn", str(settings.asn),
                "--ledger", f"sqlite:///{settings.directory / 'ledger.db'}", *peers, *settings.policy,
            ),
            lambda: _answers(api),
        ),
    ]  # fmt: skip
    if settings.reflectors:
        words = ["--router-id", router_id(settings.vtep), "--local-address", str(settings.vtep)]
        words += [
            "--asn",
            str(settings.asn),
            "--socket",
            str(speaker),
            "--dir",
            str(settings.run / "speaker"),
        ]
        words += [word for r in settings.reflectors for word in ("--peer", str(r))]
        found.append(_Child("speaker", _ringfenced("speaker", *words), lambda: _answers(speaker)))
    words = ["--store", f"unix:{store}", "--api", f"unix:{api}", "--ovs-rundir", str(settings.rundir)]
    words += ["--datapath", settings.datapath, "--state", str(settings.directory / "agent")]
    words += ["--speaker", f"unix:{speaker}" if settings.reflectors else "none"]
    words += ["--berths", str(settings.run / "berths.json")]
    words += settings.holdings
    found.append(_Child("agent", _ringfenced("agent", *words), lambda: True))
    words = ["--state", str(settings.directory / "agent"), "--ovs-rundir", str(settings.rundir)]
    found.append(_Child("services", _ringfenced("services", *words, *settings.resolvers), lambda: True))
    return found


def _ringfenced(*words: str) -> list[str]:
    return [sys.executable, "-m", "controller.daemon.main", *words]


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def _await(child: _Child) -> None:
    """Until it serves. Unavailable if it ends or is too late."""
    end = time.monotonic() + _READY
    while not child.ready():
        if child.process is None or child.process.poll() is not None or time.monotonic() > end:
            remedy = "See its messages above."
            raise Unavailable(Fault(f"process {child.name}", "not-started", "it does not serve", remedy))
        time.sleep(_LOOK / 4)  # a poll under the deadline above


def _declare(settings: Settings, name: str) -> None:
    """As an operator would: a Hypervisor of this name and VTEP. Unchanged if it is there already."""
    spec = {"vtep": str(settings.vtep), "routerId": router_id(settings.vtep)}
    document = {"apiVersion": "ringfence/v1", "kind": "Hypervisor", "metadata": {"name": name}, "spec": spec}
    done = subprocess.run(
        [sys.executable, "-m", "controller.cli.main", "apply", "-f", "-"],
        input=json.dumps(document).encode(),
        env={**os.environ, "RINGFENCE_API": f"unix:{settings.run / 'api.sock'}"},
        capture_output=True,
        timeout=_READY,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise Unavailable(Fault(f"Hypervisor {name}", "not-declared", reason, "Mend it, then start again."))
