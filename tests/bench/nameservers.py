"""Servers of names beside each other, in a network namespace of their own: ours, dnsmasq and Knot, with the
same ten thousand ports' names; and dnsperf, which asks them.

Place: used by `names`. dnsmasq, Knot and dnsperf are Debian 13's in a root of their own (scripts/names.sh):
installed, they would serve this machine. Must not measure more than dnsperf says.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model.intent import Port, Tenant
from model.snapshot import Snapshot
from tests.bench.rig import await_that

HERE: Final = Path(__file__).resolve().parents[2]
ROOT: Final = HERE / ".cache" / "names" / "root"
SUFFIX: Final = "internal"
ASKER: Final = "10.0.0.1"
"""By which `ringfenced services` knows the port with key 1; the others do not care."""
_PATIENCE = 60.0
_OURS, _DNSMASQ, _KNOT = "169.254.169.253", "127.0.0.11", "127.0.0.12"
_SITE: Final = f"""
ip link set lo up
for one in {ASKER} {_OURS} fd00:ec2::253 169.254.169.254 fd00:ec2::254; do
 ip address add $one dev lo
done
mount --rbind /dev {ROOT}/dev
mount -t tmpfs tmpfs {ROOT}/tmp
mkdir {ROOT}/tmp/knot
exec sleep infinity
"""
_KNOT_CONF: Final = f"""
server:
    rundir: "/tmp/knot"
    listen: [{_KNOT}@53]
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: warning
database:
    storage: "/tmp/knot"
template:
  - id: default
    storage: "/tmp/knot"
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
zone:
"""
_SOA: Final = "$TTL 30\n@ SOA ns.{origin}. nobody.{origin}. 1 60 60 60 5\n@ NS localhost.\n"
_RATE = re.compile(r"Queries per second: +([\d.]+)")
_LOST = re.compile(r"Queries lost: +(\d+)")
_DONE = re.compile(r"Queries completed: +(\d+)")
_CODES = re.compile(r"Response codes: +(.*)")
_BUCKET = re.compile(r"^ +[\d.]+ - ([\d.]+): +(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Server:
    """`pid` is the one process of it."""

    what: str
    address: str
    pid: int


@dataclass(frozen=True, slots=True)
class Said:
    """What dnsperf found: answers a second, how many in all, how many never came, and after how long (s)."""

    rate: float
    answers: int
    lost: int
    codes: str
    buckets: tuple[tuple[float, int], ...]

    def quantile(self, share: float) -> float:
        """Of the times that answers took; the upper end of the bucket in which it lies."""
        left = share * sum(count for _, count in self.buckets)
        for end, count in self.buckets:
            left -= count
            if left <= 0:
                return end
        raise ValueError("nothing was answered")


class Site:
    """The namespaces; what is started in them ends with the stack."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._holder = self._start(["unshare", "--net", "--mount", "sh", "-ec", _SITE], {})
        self.folder = Path(f"/proc/{self._holder}/root{ROOT}/tmp")
        """/tmp of dnsperf and the others."""
        await_that(
            lambda: (self.folder / "knot").exists() and _sleeps(self._holder), "a namespace", _PATIENCE
        )

    def start(self, words: Sequence[str]) -> int:
        """Its process id; in this machine's own files."""
        return self._start(["nsenter", f"--net=/proc/{self._holder}/ns/net", *words], {"cwd": str(HERE)})

    def start_apart(self, words: Sequence[str]) -> int:
        """The same in Debian 13's."""
        return self._start([*self._apart(), *words], {})

    def ask(self, server: Server, file: str, seconds: float, *more: str) -> Said:
        """dnsperf with a file of questions."""
        words = ["dnsperf", "-s", server.address, "-a", ASKER, "-d", f"/tmp/{file}", "-l", f"{seconds:g}"]
        settled = ["-T", "1", "-O", "latency-histogram", "-t", "2", *more]
        done = subprocess.run(
            [*self._apart(), *words, *settled], capture_output=True, text=True, timeout=seconds + 30
        )
        if done.returncode:
            raise RuntimeError(f"dnsperf: {done.stderr}")
        return read(done.stdout)

    def answers(self, address: str, name: str) -> str:
        """What dig is told, briefly."""
        words = ["dig", f"@{address}", "-b", ASKER, "+short", "+tries=1", "+time=1", name]
        inside = ["nsenter", f"--net=/proc/{self._holder}/ns/net", *words]
        return subprocess.run(inside, capture_output=True, text=True, timeout=30).stdout.strip()

    def _apart(self) -> list[str]:
        return ["nsenter", "-t", str(self._holder), "--net", "--mount", "chroot", str(ROOT)]

    def _start(self, words: Sequence[str], settings: dict[str, str]) -> int:
        command = ["setpriv", "--pdeathsig", "KILL", *words]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **settings)  # type: ignore[call-overload]
        self._stack.callback(_end, process)
        return int(process.pid)


def read(text: str) -> Said:
    """What dnsperf printed."""
    found = [pattern.search(text) for pattern in (_RATE, _DONE, _LOST, _CODES)]
    if not all(found):
        raise RuntimeError(f"dnsperf says nothing that we know:\n{text}")
    rate, done, lost, codes = (one.group(1) for one in found if one is not None)
    buckets = tuple((float(end), int(count)) for end, count in _BUCKET.findall(text))
    return Said(float(rate), int(done), int(lost), codes, buckets)


@contextmanager
def opened(state: Path, snapshot: Snapshot) -> Iterator[tuple[Site, tuple[Server, ...]]]:
    """All three, with all names of the snapshot that lies in `state`, and each of them answering."""
    port, tenant = next(ported(snapshot))
    with ExitStack() as stack:
        site = Site(stack)
        _write(site.folder, snapshot)
        dnsmasq = [
            *("dnsmasq", "--keep-in-foreground", "--user=root", "--group=root", "--conf-file=/tmp/empty"),
            *("--no-resolv", "--no-hosts", "--addn-hosts=/tmp/hosts", "--pid-file=/tmp/dnsmasq.pid"),
            *(f"--listen-address={_DNSMASQ}", "--bind-interfaces"),
            *(f"--local=/{zone}/" for zone in (SUFFIX, "in-addr.arpa", "ip6.arpa")),
        ]
        ours = [sys.executable, "-m", "tests.bench.serving", str(state)]
        made = (
            Server("ringfenced services", _OURS, site.start(ours)),
            Server("dnsmasq", _DNSMASQ, site.start_apart(dnsmasq)),
            Server("Knot", _KNOT, site.start_apart(["knotd", "-c", "/tmp/knot.conf"])),
        )
        name, address = f"{port.name}.{tenant.name}.{SUFFIX}", str(port.addresses[0])
        for one in made:
            await_that(
                lambda one=one: site.answers(one.address, name) == address, f"{one.what} answers", _PATIENCE
            )
        yield site, made


def ported(snapshot: Snapshot) -> Iterator[tuple[Port, Tenant]]:
    """Each port with its tenant, in order."""
    for key in sorted(snapshot.ports):
        port = snapshot.ports[key]
        yield port, snapshot.tenants[snapshot.networks[port.network].tenant]


def ask_for(site: Site, file: str, asked: Iterable[tuple[str, str]]) -> None:
    """A file of questions: names and types."""
    (site.folder / file).write_text("".join(f"{name} {kind}\n" for name, kind in asked))


def _write(folder: Path, snapshot: Snapshot) -> None:
    """The names, as dnsmasq and Knot want them."""
    hosts: list[str] = []
    zones: dict[str, list[str]] = {"10.in-addr.arpa": []}
    for port, tenant in ported(snapshot):
        origin = f"{tenant.name}.{SUFFIX}"
        long = f"{port.name}.{snapshot.networks[port.network].name}"
        for address in port.addresses:
            kind = "A" if address.version == 4 else "AAAA"
            # the first name is the one that dnsmasq has for the address
            hosts.append(f"{address} {long}.{origin} {port.name}.{origin}\n")
            zones.setdefault(origin, []).extend(f"{name} {kind} {address}\n" for name in (long, port.name))
            if address.version == 4:
                zones["10.in-addr.arpa"].append(f"{address.reverse_pointer}. PTR {long}.{origin}.\n")
    (folder / "empty").touch()
    (folder / "hosts").write_text("".join(hosts))
    conf = [_KNOT_CONF]
    for origin, lines in zones.items():
        conf.append(f'  - domain: {origin}\n    file: "{origin}"\n')
        (folder / "knot" / origin).write_text(_SOA.format(origin=origin) + "".join(lines))
    (folder / "knot.conf").write_text("".join(conf))


def _sleeps(pid: int) -> bool:
    return b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(30)
