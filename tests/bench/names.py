"""Names a second: dnsperf asks what answers our ports, and, for scale, dnsmasq and Knot with the same names.

Place: part of `make bench`; needs root and scripts/names.sh. No switch takes part (`answers` has that), and
what bounds a port's questions is lifted. In turns, so that what else the machine does hits all of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from controller.agent import disk
from controller.services.roster import FILE
from model.ids import PortKey
from model.snapshot import Snapshot
from tests.bench import start
from tests.bench.figures import Row, Table, used
from tests.bench.nameservers import ROOT, SUFFIX, Said, Server, Site, ask_for, opened, ported

ROUNDS = 5
SECONDS = 2.0
PACE = 500
OUTSTANDING = 64
_EVERY, _FEW = "each", "few"
_FEW_NAMES = 25
_ASKER = PortKey(1)
_US = 1e6


def run() -> tuple[Table, ...]:
    """All three asked as fast as they answer, then at one pace."""
    if not (ROOT / "complete").exists():
        raise RuntimeError("dnsperf, dnsmasq and Knot are not here: `scripts/names.sh` fetches them")
    snapshot = start.snapshot()
    with tempfile.TemporaryDirectory(prefix="rfbench") as directory:
        disk.save(snapshot, Path(directory) / FILE)
        with opened(Path(directory), snapshot) as (site, servers):
            asked = list(_questions(snapshot))
            ask_for(site, _EVERY, asked)
            ask_for(site, _FEW, asked[: 4 * _FEW_NAMES])
            fast = {(one.what, file): [] for file in (_EVERY, _FEW) for one in servers}
            paced: dict[str, list[Said]] = {one.what: [] for one in servers}
            for _ in range(ROUNDS):
                for file in (_EVERY, _FEW):
                    for one in servers:
                        fast[one.what, file].append(_hurried(site, one, file))
                for one in servers:
                    paced[one.what].append(site.ask(one, _EVERY, SECONDS, "-Q", str(PACE)))
    return (_pace(fast, len(asked), len(snapshot.ports)), _delay(paced))


def _questions(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Of the asker's tenant: each port by name, both families, and back; and as many names as nobody has."""
    own = snapshot.tenants[snapshot.networks[snapshot.ports[_ASKER].network].tenant]
    for port, tenant in ported(snapshot):
        if tenant is own:
            origin = f"{tenant.name}.{SUFFIX}"
            yield f"{port.name}.{origin}", "A"
            yield f"{port.name}.{origin}", "AAAA"
            yield port.addresses[0].reverse_pointer, "PTR"
            yield f"no-{port.name}.{origin}", "A"


def _hurried(site: Site, server: Server, file: str) -> tuple[float, float]:
    """(answers a second, microseconds of the server's processor time for each)."""
    before = used((server.pid,))
    said = site.ask(server, file, SECONDS, "-c", "4", "-q", str(OUTSTANDING))
    _check(said, server)
    return said.rate, (used((server.pid,)) - before) * _US / said.answers


def _check(said: Said, server: Server) -> None:
    """That they answer, and alike: a quarter of the names is nobody's."""
    shares = dict(part.split(" ", 1) for part in said.codes.split(", "))
    share = int(shares.get("NXDOMAIN", "0 ").split()[0]) / said.answers
    if not 0.2 < share < 0.3 or set(shares) - {"NOERROR", "NXDOMAIN"}:
        raise RuntimeError(f"{server.what} answers {said.codes}")


def _pace(fast: dict[tuple[str, str], list[tuple[float, float]]], asked: int, names: int) -> Table:
    typical = {key: tuple(map(median, zip(*some, strict=True))) for key, some in fast.items()}
    (ours, _), *_ = typical
    words = {_EVERY: f"{asked:,} questions in a row", _FEW: f"{4 * _FEW_NAMES} questions again and again"}
    return Table(
        f"Names a second from one process, {names:,} ports known",
        ("median answers/s", "of ours", "processor us for each", "of our us"),
        tuple(
            Row(
                f"{what}: {words[file]}",
                (rate, rate / typical[ours, file][0], us, us / typical[ours, file][1]),
            )
            for (what, file), (rate, us) in typical.items()
        ),
        (
            f"medians of {ROUNDS} rounds of {SECONDS:g} s in turns; {OUTSTANDING} questions under way; UDP",
            "A, AAAA and PTR of each port of one tenant, and for each a name that nobody has; dnsmasq looks"
            " through all addresses for a PTR",
            "ours without its bound of 500 questions a second of a port, and without the switch; Knot with"
            " one worker; dnsperf has the other core",
        ),
    )


def _delay(paced: dict[str, list[Said]]) -> Table:
    rows = []
    for what, some in paced.items():
        times = [median(said.quantile(share) for said in some) * 1e3 for share in (0.5, 0.99)]
        rows.append(Row(what, (*times, sum(said.lost for said in some))))
    return Table(
        f"How long an answer takes at {PACE:,} questions a second",
        ("p50 ms", "p99 ms", "lost"),
        tuple(rows),
        (f"medians of {ROUNDS} rounds of {SECONDS:g} s, as dnsperf counts them",),
    )
