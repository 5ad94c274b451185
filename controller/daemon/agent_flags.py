"""What `ringfenced agent` is told: flags over an optional settings file.

Place: `controller.daemon.agent` runs by it; flags that other commands have too are in `flags`. Must not open
what is named there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bgp.table import Limits
from controller.agent import berthing
from controller.agent.lease import LEAST, MOST, Timing
from controller.agent.pace import Pace
from controller.agent.post import TlsPost
from controller.agent.shares import Shares
from controller.agent.upload import Post, UnixPost
from controller.daemon import flags
from controller.store.calling import Caller
from controller.tls.endpoint import HEAD
from controller.tls.papers import Current, calling

_NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class Settings:
    """`caller`: for a store over TLS. `speaker` None: no EVPN on this host (a cluster of one). `post`: makes
    one for a thread. `evidence`: seconds between readings of what rules counted."""

    store: str
    caller: Caller | None
    rundir: Path
    bridge: str
    datapath: str
    speaker: Path | None
    post: Callable[[], Post]
    state: Path
    berths: Path
    pace: Pace
    evidence: float
    limits: Limits
    shares: Shares
    timing: Timing


def parse(argv: Sequence[str]) -> Settings:
    """Flags over an optional JSON settings file with the same names."""
    parser = argparse.ArgumentParser(prog="ringfenced agent", description="The agent of one hypervisor.")
    parser.add_argument("--config", type=Path, help="JSON file with the same keys, dashes as underscores")
    flags.add_store(parser)
    parser.add_argument("--ovs-rundir", type=Path, default=Path("/run/openvswitch"))
    parser.add_argument("--bridge", default="br-int")
    parser.add_argument("--datapath", choices=("system", "netdev"), default="system")
    parser.add_argument(
        "--speaker", default="unix:/run/ringfence/speaker.sock", help="unix:PATH, or none: no EVPN"
    )
    parser.add_argument(
        "--api",
        default="unix:/run/ringfence/api.sock",
        metavar="unix:PATH|tls:HOST:PORT",
        help="where egress records go (default %(default)s); tls: with this host's certificate, below",
    )
    flags.add_papers(parser, "--api", "the API's")
    parser.add_argument("--state", type=Path, default=Path("/var/lib/ringfence/agent"))
    parser.add_argument(
        "--berths", type=Path, default=berthing.PATH, help="file that tells the CNI plugin of this host's VFs"
    )
    parser.add_argument("--read-every", type=float, default=10.0, help="seconds between counter readings")
    parser.add_argument("--audit-every", type=float, default=60.0, help="seconds between audits")
    parser.add_argument("--evidence-every", type=float, default=60.0, help="the same for counters of rules")
    flags.add_holdings(parser)
    parser.add_argument(
        "--lease",
        type=int,
        default=LEAST,
        help="seconds without a sign of life after which its partner takes over the ports of a host that has"
        " one (default %(default)s)",
    )
    file = parser.parse_known_args(argv)[0].config
    if file is not None:
        values: dict[str, Any] = json.loads(file.read_text())
        parser.set_defaults(**{k: type(parser.get_default(k) or "")(v) for k, v in values.items()})
    given = parser.parse_args(argv)
    hold, peer_hold = flags.holds(parser, given)
    if not LEAST <= given.lease <= MOST:
        parser.error(f"--lease {given.lease}: write {LEAST}..{MOST} seconds")
    speaker = None if given.speaker == _NONE else Path(given.speaker.removeprefix("unix:"))
    return Settings(
        store=given.store,
        caller=flags.caller(parser, given),
        rundir=given.ovs_rundir,
        bridge=given.bridge,
        datapath=given.datapath,
        speaker=speaker,
        post=_post(parser, given),
        state=given.state,
        berths=given.berths,
        pace=Pace(read=given.read_every, audit=given.audit_every),
        evidence=given.evidence_every,
        limits=Limits(hold=hold, peer_hold=peer_hold),
        shares=flags.shares(parser, given),
        timing=Timing(given.lease),
    )


def _post(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Callable[[], Post]:
    """Certificates are first read when there is something to post: a host without one still has its flows."""
    papers = flags.papers(parser, given, "--api")
    if not given.api.startswith(HEAD):
        if papers is not None:
            parser.error(f"--api-cert, --api-key and --api-ca are for --api {HEAD}HOST:PORT")
        return partial(UnixPost, Path(given.api.removeprefix("unix:")))
    if papers is None:
        parser.error(f"--api {given.api}: name --api-cert, --api-key and --api-ca, too")
    try:
        endpoint = flags.endpoint(given.api)
    except argparse.ArgumentTypeError as error:
        parser.error(f"--api: {error}")
    return lambda: TlsPost(endpoint, Current(papers, calling))
