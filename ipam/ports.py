"""Ports: planning of workload interfaces: key, MAC, addresses, hosts.

Place: one part of `ipam.plan`. What is written is claimed for all ports before anything is handed out, so
that the order in a manifest never matters. Must not write anything but the trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from ipam.claims import address_claim, vf_claims
from ipam.contents import NetworkRecord, PortRecord
from ipam.pairs import Spans, check_pairs, check_written, spans
from ipam.pools import MAC, PORT_KEY
from ipam.seeds import sown
from ipam.subnets import reservation
from ipam.trial import Trial
from model.addresses import Address, format_mac, is_unicast
from model.errors import Conflict, Invalid
from model.ids import HostName, Mac, PortKey
from model.intent import Network, Pair, Port
from model.order import address_rank, pair_rank
from model.outlet import Outlet
from model.seed import NOTHING
from model.wanted import Kind, Reference, WantedPort, refer


@dataclass(frozen=True, slots=True)
class _Admitted:
    """`addresses` None: to be handed out; `mac` None: likewise."""

    want: WantedPort
    before: PortRecord | None
    network: Network
    mac: Mac | None
    addresses: tuple[Address, ...] | None
    hosts: tuple[HostName, ...]
    vf: Outlet | None = None


def plan_ports(trial: Trial, wanted: Sequence[WantedPort]) -> None:
    """Admit all, give up what changes let go, claim what is written, then hand out the rest."""
    admitted = [port for port in (_admit(trial, want) for want in wanted) if port is not None]
    for port in admitted:
        if port.before is not None and port.addresses is not None:
            kept = set(port.addresses)
            gone = (a for a in port.before.value.addresses if a not in kept)
            trial.release(refer(port.want), (address_claim(port.network, a) for a in gone))
        if port.before is not None:
            had = vf_claims(port.before.value.hosts, port.before.value.vf)
            trial.release(refer(port.want), set(had) - set(vf_claims(port.hosts, port.vf)))
    claimed = [port for port in admitted if _claim(trial, port)]
    covered = _Covered(trial, claimed)
    apart = [port for port in claimed if _check_apart(trial, port, covered)]
    for port in apart:
        _complete(trial, port, covered)


class _Covered:
    """What pairs cover in each network that is asked about: stored ones and those of this plan."""

    def __init__(self, trial: Trial, ports: Sequence[_Admitted]) -> None:
        self._trial = trial
        self._new: dict[tuple[str, str], list[Pair]] = {}
        self._known: dict[tuple[str, str], Spans] = {}
        for port in ports:
            if port.want.allowed:
                self._new.setdefault((port.want.tenant, port.want.network), []).extend(port.want.allowed)

    def of(self, want: WantedPort) -> Spans:
        name = (want.tenant, want.network)
        if name not in self._known:
            self._known[name] = spans(self._trial.draft, name, self._new.get(name, ()))
        return self._known[name]


def _check_apart(trial: Trial, port: _Admitted, covered: _Covered) -> bool:
    written = check_written(trial, port.want, covered.of(port.want))
    return check_pairs(trial, port.want, port.network) and written


def _admit(trial: Trial, want: WantedPort) -> _Admitted | None:
    record = trial.draft.networks.get((want.tenant, want.network))
    before = trial.draft.ports.get((want.tenant, want.name))
    hosts = _hosts(trial, want, before)
    if record is None:
        _refuse_network(trial, want)
        return None
    sound = _check_identity(trial, want, before)
    addresses = _addresses(trial, want, before, record)
    if hosts is None or isinstance(addresses, _Answer) or not sound:
        return None
    mac = before.value.mac if before is not None else want.mac
    vf = before.value.vf if before is not None else None
    vf = vf if want.vf is None else next(iter(want.vf), None)
    return _Admitted(want, before, record.value, mac, addresses, hosts, vf)


def _claim(trial: Trial, port: _Admitted) -> bool:
    want = port.want
    held = True
    if port.before is None and port.mac is not None:
        held = trial.hold(want, (MAC, port.mac), f"MAC {format_mac(port.mac)}", "spec.mac")
    for claim in vf_claims(port.hosts, port.vf):
        held = trial.hold(want, claim, f"VF {claim[1]}", "spec.vf") and held
    written = want.addresses or ()
    for index, address in enumerate(written):
        what = f"address {address} of network {want.tenant}/{want.network}"
        path = f"spec.addresses[{index}]"
        held = trial.hold(want, address_claim(port.network, address), what, path) and held
    return held


def _complete(trial: Trial, port: _Admitted, covered: _Covered) -> None:
    want, before = port.want, port.before
    if before is not None:
        value = replace(before.value, hosts=port.hosts, addresses=port.addresses or (), vf=port.vf)
        value = _limited(value, want)
        if value.migration and value.migration not in value.hosts:
            value = replace(value, migration=HostName(""), activate=False)
        labels = before.labels if want.labels is None else want.labels
        value, seed = replace(value, labels=labels), sown(before.seed, want.seed)
        trial.settle(want, before, replace(before, value=value, labels=labels, seed=seed))
        return
    pools = trial.draft.pools
    key = trial.allocate(want, pools[PORT_KEY], "pool port-key", "")
    mac = port.mac
    if mac is None:
        number = trial.allocate(want, pools[MAC], "pool mac", "spec.mac")
        mac = None if number is None else Mac(number)
    addresses = _hand_out(trial, port, covered.of(want)) if port.addresses is None else port.addresses
    if key is None or mac is None or addresses is None:
        return
    value = Port(trial.new_uid(), port.network.key, want.name, PortKey(key), mac, addresses, port.hosts)
    value = replace(_limited(value, want), vf=port.vf, labels=want.labels or ())
    seed = sown(NOTHING, want.seed)
    trial.settle(want, None, PortRecord(value, want.tenant, want.network, value.labels, seed))


def _limited(value: Port, want: WantedPort) -> Port:
    """With what is written of pairs, rates and state."""
    if {want.allowed, want.rate_out, want.rate_in, want.enabled, want.sticky} == {None}:
        return value
    return replace(
        value,
        allowed=value.allowed if want.allowed is None else tuple(sorted(want.allowed, key=pair_rank)),
        rate_out=value.rate_out if want.rate_out is None else want.rate_out,
        rate_in=value.rate_in if want.rate_in is None else want.rate_in,
        enabled=value.enabled if want.enabled is None else want.enabled,
        sticky=value.sticky if want.sticky is None else want.sticky,
    )


def _hand_out(trial: Trial, port: _Admitted, covered: Spans) -> tuple[Address, ...] | None:
    """One address of each family that the network has; None if one is lacking."""
    found: list[Address | None] = []
    for version, make in ((4, IPv4Address), (6, IPv6Address)):
        pool = trial.draft.subnet_pool(port.network, version)
        if pool is not None:
            what = f"the IPv{version} pool of network {port.want.tenant}/{port.want.network}"
            skip = partial(covered.end_of, version) if covered.by_version else None
            number = trial.allocate(port.want, pool, what, "spec.addresses", skip)
            found.append(None if number is None else make(number))
    complete = tuple(a for a in found if a is not None)
    return complete if len(complete) == len(found) else None


def _hosts(trial: Trial, want: WantedPort, before: PortRecord | None) -> tuple[HostName, ...] | None:
    if want.hosts is None:
        return () if before is None else before.value.hosts
    sound = True
    for index, host in enumerate(want.hosts):
        if host in trial.draft.hypervisors or Reference(Kind.HYPERVISOR, host) in trial.asked:
            continue
        sound = False
        trial.refuse(
            Conflict,
            want,
            "unknown-host",
            f"there is no hypervisor {host}",
            f"Declare a Hypervisor {host}, or correct the name.",
            f"spec.hosts[{index}]",
        )
    return tuple(sorted(set(want.hosts))) if sound else None


def _check_identity(trial: Trial, want: WantedPort, before: PortRecord | None) -> bool:
    sound = True
    if want.mac is not None and not is_unicast(want.mac):
        sound = False
        trial.refuse(
            Invalid,
            want,
            "mac-not-unicast",
            f"{format_mac(want.mac)} is no address of a single interface",
            "Write a unicast MAC, or leave it out to get one.",
            "spec.mac",
        )
    if before is None:
        return sound
    if want.mac is not None and want.mac != before.value.mac:
        sound = False
        _refuse_change(trial, want, "MAC", format_mac(before.value.mac), format_mac(want.mac), "spec.mac")
    if want.network != before.network:
        sound = False
        _refuse_change(trial, want, "network", before.network, want.network, "spec.network")
    return sound


class _Answer(Enum):
    """Stands for addresses that were refused."""

    REFUSED = "refused"


def _addresses(
    trial: Trial, want: WantedPort, before: PortRecord | None, network: NetworkRecord
) -> tuple[Address, ...] | _Answer | None:
    """What is written, sorted; what the port has, if nothing is; None for a new port that wants some."""
    if want.addresses is None:
        return None if before is None else before.value.addresses
    reasons = [_objection(network, want.addresses, index) for index in range(len(want.addresses))]
    for index, (rule, message, remedy) in enumerate(reasons):
        if rule:
            trial.refuse(Invalid, want, rule, message, remedy, f"spec.addresses[{index}]")
    if any(rule for rule, _, _ in reasons):
        return _Answer.REFUSED
    return tuple(sorted(want.addresses, key=address_rank))


def _objection(network: NetworkRecord, addresses: tuple[Address, ...], index: int) -> tuple[str, str, str]:
    """(rule, message, remedy) against one address; empty texts if there is none."""
    address, name = addresses[index], f"{network.tenant}/{network.value.name}"
    subnets = [s for s in network.value.subnets if s.version == address.version]
    if not subnets:
        return (
            "family-missing",
            f"network {name} has no IPv{address.version} subnet for {address}",
            f"Add an IPv{address.version} subnet to the network, or leave the address out.",
        )
    subnet = subnets[0]
    if address not in subnet:
        return (
            "address-out-of-subnet",
            f"{address} is not in {subnet} of network {name}",
            f"Choose an address in {subnet}, or leave it out to get a free one.",
        )
    why = reservation(subnet, address)
    if why:
        return (
            "address-reserved",
            f"{address} {why} of {subnet} in network {name}",
            "Choose another address, or leave it out to get a free one.",
        )
    if address in addresses[:index]:
        return ("address-twice", f"{address} is written twice", "Remove one of the two.")
    return ("", "", "")


def _refuse_change(trial: Trial, want: WantedPort, what: str, old: str, new: str, path: str) -> None:
    trial.refuse(
        Conflict,
        want,
        "immutable",
        f"its {what} is {old} and can't become {new}",
        "Delete the port and make it again, or leave the field as it is.",
        path,
    )


def _refuse_network(trial: Trial, want: WantedPort) -> None:
    if Reference(Kind.NETWORK, want.network, want.tenant) in trial.asked:
        return  # that network's own faults say why
    if want.tenant not in trial.draft.tenants and Reference(Kind.TENANT, want.tenant) not in trial.asked:
        trial.refuse(
            Conflict,
            want,
            "unknown-tenant",
            f"there is no tenant {want.tenant}",
            f"Add a Tenant {want.tenant} to the manifest, or correct metadata.tenant.",
            "metadata.tenant",
        )
        return
    trial.refuse(
        Conflict,
        want,
        "unknown-network",
        f"tenant {want.tenant} has no network {want.network}",
        "Add the Network to the manifest, or correct spec.network.",
        "spec.network",
    )
