"""Names outside, asked by dig over the wire of a host, of a resolver in a namespace of its own: what is kept,
for whom, how long; what is not believed; what comes whole; what never leaves, and what ends in time.

The resolver is dnspython's messages behind plain sockets: one that really resolves would not lie.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
import pytest

from controller.agent import disk
from controller.services import door, roster
from controller.services.serving import Serving, Settings
from model.addresses import format_mac
from model.ids import PortKey
from model.serving import RESOLVERS, SERVICES_MAC, alias
from tests.contract.test_wires import IP, Door, Failed, Host, dig, snapshot
from tests.fakes.resolvers import Resolver
from topologies.deadline import until

WAIT = 30.0
HERE, THERE, DEAD = "192.0.2.1", "192.0.2.53", "192.0.2.54"
WEB, OTHER = 11, 12
"""Ports of two tenants."""
RECORDS = {
    "kept.example.": "600 A 198.51.100.1",
    "brief.example.": "1 A 198.51.100.2",
    "inside.example.": "60 A 10.0.0.2",
    "theirs.example.": "60 A 10.0.0.77",
    "metadata.example.": "60 A 169.254.169.254",
    "loop.example.": "60 AAAA ::1",
    "mapped.example.": "60 AAAA ::ffff:10.0.0.2",
    "alias.example.": "60 CNAME web.acme.internal.",
    "outside.example.": "60 A 203.0.113.9",
    "silent.example.": "",
}


class Outside:
    """Resolvers in a namespace that the host reaches, and what they were asked."""

    def __init__(self, host: Host) -> None:
        self.host = Host()
        self.resolver = Resolver(twist=self._say, at=(THERE, 53))
        peer = f"/proc/{os.getpid()}/fd/{self.host.fd}"
        host.run(IP, "link", "add", "up0", "type", "veth", "peer", "name", "up1")
        host.run(IP, "link", "set", "up1", "netns", peer)
        for where, name, own in ((host, "up0", HERE), (self.host, "up1", THERE)):
            where.run(IP, "address", "add", f"{own}/24", "dev", name)
            where.run(IP, "link", "set", name, "up")
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.host.do(self._thread.start)
        self._do(self.resolver.start())

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.resolver.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WAIT)
        self.loop.close()
        os.close(self.host.fd)

    def asked(self, name: str) -> list[tuple[str, dns.message.Message]]:
        """How and what, of this name in any case of letters."""
        found = tuple(self.resolver.asked)
        return [(by, m) for by, m in found if m.question[0].name.to_text().lower() == f"{name}."]

    def _do(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT)  # type: ignore[arg-type]

    def _say(self, response: dns.message.Message, transport: str) -> list[bytes]:
        (asked,) = response.question
        name = asked.name.to_text().lower()
        if name in ("large.example.", "huge.example."):
            count = 60 if name == "large.example." else 200
            values = [f"198.51.100.{n}" for n in range(count)]
            response.answer.append(dns.rrset.from_text(asked.name, 60, "IN", "A", *values))
            if transport == "udp" and name == "huge.example.":
                response.answer.clear()
                response.flags |= dns.flags.TC
        elif RECORDS.get(name, "x") == "":
            return []
        elif name in RECORDS:
            ttl, kind, value = RECORDS[name].split()
            response.answer.append(dns.rrset.from_text(asked.name, int(ttl), "IN", kind, value))
        return [response.to_wire(max_size=65535)]


@dataclass(frozen=True, slots=True)
class Stage:
    host: Host
    outside: Outside
    serving: Serving

    def dig(self, *words: str, key: int = WEB) -> str:
        return self.host.run(*dig(key, RESOLVERS[0], "+time=8", *words))

    def told(self, *words: str, key: int = WEB) -> list[str]:
        """The data of the answer."""
        return re.findall(r"\sIN\s+(?:A|AAAA|CNAME)\s+(\S+)$", self.dig(*words, key=key), re.MULTILINE)


@contextmanager
def served(host: Host, folder: Path, *resolvers: str) -> Iterator[Serving]:
    """`ringfenced services` of that host, in its namespace."""
    disk.save(snapshot(), folder / roster.FILE)
    entry = Door(host)
    at = tuple((ip_address(one), 53) for one in resolvers)
    one = Serving(Settings(folder, folder, "br-int", "internal", at), entry)
    loop, ready = asyncio.new_event_loop(), threading.Event()
    tasks: list[asyncio.Task[None]] = []

    def run() -> None:
        async def work() -> None:
            tasks.append(asyncio.create_task(one.run()))
            ready.set()
            with suppress(asyncio.CancelledError):
                await tasks[0]

        loop.run_until_complete(work())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    host.do(thread.start)
    try:
        assert ready.wait(WAIT) and entry.plugged.wait(WAIT)
        host.take_aliases(WEB, OTHER)
        yield one
    finally:
        loop.call_soon_threadsafe(tasks[0].cancel)
        thread.join(WAIT)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    host = Host()
    outside = Outside(host)
    with served(host, tmp_path_factory.mktemp("services"), THERE) as one:
        yield Stage(host, outside, one)
    outside.close()
    os.close(host.fd)


def ttl_of(said: str) -> int:
    found = re.search(r"^\S+\s+(\d+)\s+IN\s+A\s", said, re.MULTILINE)
    assert found is not None, said
    return int(found[1])


def test_an_answer_is_kept_for_its_tenant_and_grows_old(stage: Stage) -> None:
    first = ttl_of(stage.dig("kept.example"))
    assert 590 < first <= 600 and len(stage.outside.asked("kept.example")) == 1
    until("it grows old", lambda: ttl_of(stage.dig("kept.example")) < first, WAIT)
    assert ttl_of(stage.dig("KEPT.example", "+tcp")) < first
    assert len(stage.outside.asked("kept.example")) == 1
    assert ttl_of(stage.dig("kept.example", key=OTHER)) > first - 10
    assert len(stage.outside.asked("kept.example")) == 2, "nobody sees by an age what others asked for"


def test_what_is_over_is_asked_for_again(stage: Stage) -> None:
    assert stage.told("brief.example") == ["198.51.100.2"]
    begun = len(stage.outside.asked("brief.example"))
    until(
        "a second question",
        lambda: stage.told("brief.example") and len(stage.outside.asked("brief.example")) > begun,
        WAIT,
    )


def test_what_is_asked_outside_bears_nothing_of_who_asks(stage: Stage) -> None:
    stage.dig("bare.example", "+subnet=10.0.0.2/32", "+cookie=0123456789abcdef", "+dnssec")
    ((_, message),) = stage.outside.asked("bare.example")
    assert message.options == () and message.payload == 1232
    assert stage.outside.resolver.hosts == {HERE}, "the host asks, no port"


@pytest.mark.parametrize(
    ("name", "rdtype"),
    [
        ("inside.example", "A"),
        ("metadata.example", "A"),
        ("loop.example", "AAAA"),
        ("mapped.example", "AAAA"),
        ("alias.example", "A"),
    ],
)
def test_nobody_outside_leads_a_port_inside(stage: Stage, name: str, rdtype: str) -> None:
    said = stage.dig(name, rdtype)
    assert stage.outside.asked(name), "the control: it was answered"
    assert "status: NOERROR" in said and "EDE: 17 (Filtered)" in said
    assert stage.told(name, rdtype) == []


def test_addresses_of_another_tenants_network_are_not_special(stage: Stage) -> None:
    """Both have 10.0.0.0/24 here, so what is filtered for one is for the other; what is neither's passes."""
    assert stage.told("theirs.example") == stage.told("theirs.example", key=OTHER) == []
    assert stage.told("outside.example") == stage.told("outside.example", key=OTHER) == ["203.0.113.9"]


def test_names_of_tenants_and_of_private_space_never_leave(stage: Stage) -> None:
    before = len(stage.outside.resolver.asked)
    for name in ("web.rival.internal", "nobody.acme.internal", "x.local", "printer", "secret.internal"):
        assert "status: NXDOMAIN" in stage.dig(name)
    assert "status: NXDOMAIN" in stage.dig("-x", "192.168.7.7")
    assert "status: NXDOMAIN" in stage.dig("-x", "10.0.0.200")
    assert len(stage.outside.resolver.asked) == before
    stage.dig("control.example")
    assert len(stage.outside.resolver.asked) == before + 1


def test_large_answers_come_whole_by_tcp_and_cut_by_udp(stage: Stage) -> None:
    cut = stage.dig("large.example", "+bufsize=512", "+ignore")
    assert " tc" in cut and stage.told("large.example", "+bufsize=512", "+ignore") == []
    assert len(stage.told("large.example", "+bufsize=4096")) == 60, "in 1,232 octets, whatever was asked"
    assert len(stage.told("large.example", "+noedns")) == 60, "dig asks again by TCP"
    assert len(stage.told("huge.example")) == 200
    assert [by for by, _ in stage.outside.asked("huge.example")] == ["udp", "tcp"], "as we did"
    said = stage.dig("huge.example", "+bufsize=65535", "+ignore")
    assert " tc" in said and "udp: 1232" in said


def test_nothing_here_makes_much_of_little(stage: Stage) -> None:
    before = len(stage.outside.resolver.asked)
    for name in ("huge.example", "web.acme.internal", "acme.internal"):
        said = stage.dig(name, "ANY", "+notcp", "+ignore", "+bufsize=4096")
        assert len(re.findall(r"\sIN\s", said)) <= 1, "one HINFO (RFC 8482), or a refusal"
    assert "status: REFUSED" in stage.dig("fresh.example", "+norecurse")
    assert "status: REFUSED" in stage.dig("version.bind", "CH", "TXT")
    with pytest.raises(Failed):
        stage.host.run(*dig(77, RESOLVERS[0], "+time=1", "kept.example"))
    assert len(stage.outside.resolver.asked) == before


def test_no_port_reaches_the_resolver_by_itself(stage: Stage) -> None:
    """Behind the wire is a namespace that leads nowhere; only what is forwarded gets there."""
    own = str(alias(PortKey(WEB), 0, 4))
    before = stage.outside.resolver.hosts.copy()
    stage.host.run(IP, "route", "add", f"{DEAD}/32", "dev", door.NAME)
    stage.host.run(IP, "neigh", "replace", DEAD, "lladdr", format_mac(SERVICES_MAC), "dev", door.NAME)
    stage.outside.host.run(IP, "address", "add", f"{DEAD}/32", "dev", "lo")
    second = Resolver("60 A 198.51.100.9", at=(DEAD, 53))
    asyncio.run_coroutine_threadsafe(second.start(), stage.outside.loop).result(WAIT)
    try:
        with pytest.raises(Failed):
            stage.host.run("dig", f"@{DEAD}", "-b", own, "+tries=1", "+time=1", "kept.example")
        assert second.asked == []
        stage.host.run(IP, "route", "replace", f"{DEAD}/32", "via", THERE, "dev", "up0")
        assert "198.51.100.9" in stage.host.run("dig", f"@{DEAD}", "-b", HERE, "+time=5", "kept.example")
    finally:
        stage.outside.loop.call_soon_threadsafe(second.close)
    assert stage.outside.resolver.hosts == before


def test_who_hears_nothing_is_told_so_in_time(stage: Stage) -> None:
    """Within the time that dig and glibc wait by themselves, and kept for the next one."""
    said = stage.dig("silent.example", "+time=5")
    assert "status: SERVFAIL" in said
    asked = len(stage.outside.asked("silent.example"))
    assert "status: SERVFAIL" in stage.dig("silent.example", "+time=5")
    assert len(stage.outside.asked("silent.example")) == asked >= 1
    assert stage.told("outside.example") == ["203.0.113.9"], "others are answered meanwhile"
