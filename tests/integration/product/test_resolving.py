"""The resolvers of real guests ask us for names: glibc's, which most programs have, and systemd-resolved,
which asks for them on many images. What they make of our answers is what a program in a VM sees.

systemd-resolved is Debian 13's, in a root of its own (scripts/names.sh): installed, it would take the
/etc/resolv.conf of this machine over.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.product.witness import document
from topologies.deadline import until
from topologies.errors import LabError
from topologies.process import Daemon
from topologies.scenarios.two_tenants import NETWORK, TwoTenants, Workload

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.datapaths]

ROOT = Path(__file__).parents[3] / ".cache" / "names" / "root"
NAMES, PATIENCE = "169.254.169.253", 60
NOT_FOUND = 2
"""As getent(1) says it."""
LEARNED = """ADMIN_STATE=configured
OPER_STATE=routable
CARRIER_STATE=carrier
ADDRESS_STATE=routable
NETWORK_FILE=/run/systemd/network/eth0.network
LLMNR=yes
DNS={resolver}
DOMAINS={domain}
"""
"""A file of systemd-networkd, which systemd-resolved reads."""
# What a resolver of glibc can be told (resolv.conf(5)): the usual, TCP alone, one question after another.
OPTIONS = ("edns0", "use-vc", "single-request no-aaaa")


@pytest.fixture(scope="module")
def base(two_tenants_lab: Callable[..., TwoTenants]) -> Iterator[TwoTenants]:
    made = two_tenants_lab()
    made.await_reachability()
    for host in made.lab.hypervisors:
        made.control.serve(host)
    for workload in made.workloads:
        # As DHCP says it: by the gateway, as everything else.
        workload.vm.run("ip route replace default via 10.0.0.1")
    yield made
    for host in made.lab.hypervisors:
        made.control.unserve(host)


Ask = Callable[..., list[str] | None]
"""getent(1): the words of its lines, None if there is nothing."""


@contextmanager
def by_glibc(who: Workload, options: str) -> Iterator[Ask]:
    """Only by DNS: what this machine's files say is none of the guest's business."""
    settings = {
        "resolv.conf": f"nameserver {NAMES}\nsearch {who.tenant}.internal\noptions {options}\n",
        "nsswitch.conf": "hosts: dns\n",
    }
    lines = []
    for name, text in settings.items():
        (who.vm.directory / name).write_text(text)
        lines.append(f"mount --bind {who.vm.directory / name} /etc/{name}")
    yield lambda *words: asked(who, [*lines, f"exec getent {' '.join(words)}"])


@contextmanager
def by_resolved(who: Workload, more: str = "") -> Iterator[Ask]:
    """Told of the resolver as systemd-networkd tells it what DHCP said of a link; all else as it comes.

    Told for all links (`DNS=` in resolved.conf) it would ask for names of its own subnet by LLMNR only.
    """
    if not (ROOT / "complete").exists():
        raise LabError("systemd-resolved is missing: run 'make setup-all'")
    state = who.vm.directory / "resolved"
    shutil.rmtree(state, ignore_errors=True)  # of an earlier one
    (state / "resolve").mkdir(parents=True)
    (number,) = {link["ifindex"] for link in json.loads(who.vm.run("ip -j link show eth0"))}
    for name, text in {
        "resolved.conf.d/lab.conf": f"[Resolve]\n{more}\n",
        f"netif/links/{number}": LEARNED.format(resolver=NAMES, domain=f"{who.tenant}.internal"),
    }.items():
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text(text)
    lines = [
        f"mount -t proc proc {ROOT}/proc",
        f"mount --rbind /dev {ROOT}/dev",
        f"mount -t tmpfs tmpfs {ROOT}/tmp",
        f"mount -t tmpfs tmpfs {ROOT}/run",
        f"mkdir {ROOT}/run/systemd",
        f"mount --bind {state} {ROOT}/run/systemd",
    ]
    owned = f"chroot {ROOT} chown systemd-resolve:systemd-resolve /run/systemd/resolve"
    start = f"exec chroot {ROOT} /usr/lib/systemd/systemd-resolved"
    command = ["unshare", "--mount", "sh", "-ec", "\n".join([*lines, owned, start])]
    # It makes its socket, on which the library asks it, last of all.
    daemon: Daemon = who.vm.daemon(
        "systemd-resolved", command, (state / "resolve" / "io.systemd.Resolve").exists
    )
    daemon.start()
    try:
        yield lambda *words: asked(who, [*lines, f"exec chroot {ROOT} getent -s resolve {' '.join(words)}"])
    finally:
        daemon.stop()


def asked(who: Workload, lines: list[str]) -> list[str] | None:
    said = who.vm.attempt(["unshare", "--mount", "sh", "-ec", "\n".join(lines)], PATIENCE)
    assert said.code in (0, NOT_FOUND), said
    return said.stdout.split() if said.ok else None


def finds_its_own(base: TwoTenants, who: Workload, ask: Ask) -> None:
    """Names to addresses and back; nothing of the other tenant, which has the same ones."""
    far = next(w for w in base.of(who.tenant) if w.host != who.host)
    (other,) = {w.tenant for w in base.workloads} - {who.tenant}
    until("names are served", lambda: ask("ahostsv4", f"{who.port}.{who.tenant}.internal"), PATIENCE)
    long = f"{far.port}.{NETWORK}.{who.tenant}.internal"
    for name in (far.port, f"{far.port}.{who.tenant}.internal", long):
        assert far.ipv4 in (ask("ahostsv4", name) or ()), name
    for address in far.addresses:
        assert long in (ask("hosts", address) or ())
    for name in (f"{far.port}.{other}.internal", "nobody", f"nobody.{who.tenant}.internal"):
        assert ask("ahosts", name) is None, name


@pytest.mark.parametrize("options", OPTIONS)
def test_glibc(base: TwoTenants, options: str) -> None:
    for tenant in ("red", "blue"):
        who, far = base.of(tenant)
        with by_glibc(who, options) as ask:
            finds_its_own(base, who, ask)
            if "no-aaaa" not in options:
                assert set(far.addresses) <= set(ask("ahosts", far.port) or ())
                assert far.ipv6 in (ask("ahostsv6", far.port) or ())


@pytest.mark.parametrize("more", ["", "DNSSEC=allow-downgrade", "DNSSEC=yes"])
def test_systemd_resolved(base: TwoTenants, more: str) -> None:
    """Also where it insists on signatures: it knows of `internal` that nobody can sign it."""
    for tenant in ("red", "blue"):
        who, far = base.of(tenant)
        with by_resolved(who, more) as ask:
            finds_its_own(base, who, ask)
            assert set(far.addresses) <= set(ask("ahosts", far.port) or ())


def test_resolved_finds_what_it_asked_for_too_early_and_who_comes_back(base: TwoTenants) -> None:
    """It remembers that there was nothing, and for as long as we say; of a server that is away it expects
    less and less, and must find that all is well again."""
    who, far = base.of("red")
    services = base.control.services[who.host]
    with by_resolved(who) as ask:
        until("names are served", lambda: ask("ahostsv4", far.port), PATIENCE)
        assert ask("ahosts", "early") is None
        spec = {"network": NETWORK, "addresses": ["10.0.0.79"], "hosts": [far.host]}
        early = document("Port", {"name": "early", "tenant": "red"}, spec)
        base.control.apply([early])
        until("the new name", lambda: "10.0.0.79" in (ask("ahostsv4", "early") or ()), PATIENCE)
        services.kill()
        try:
            # of what it has not asked for yet; by its stub, which who does not want to wait may leave
            question = ["dig", "@127.0.0.53", "+tries=1", "+time=8", f"{who.port}.{who.tenant}.internal"]
            assert not who.vm.attempt(question, PATIENCE).ok
        finally:
            services.start()
        until("it is asked again", lambda: who.ipv4 in (ask("ahostsv4", who.port) or ()), PATIENCE)
        assert base.control.run("delete", "port", "early", "--tenant", "red").ok
