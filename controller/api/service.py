"""Service: what the API can do, without HTTP: apply, delete, get, status, wait, freeze, confirm.

Place: between the routes and the store. Each call is complete in itself; all are safe from several threads.
Must not keep state between calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any, Protocol

from controller.api import answer, asked, gang_life, health, inventory, pairing, promoting, subjects, view
from controller.api.advice import advise
from controller.api.concern import Pending, concerned, pending
from controller.api.heaviness import warn
from controller.api.migration import Moment, plan_cancellation, plan_forgetting, plan_migration
from controller.manifest.cross import cross
from controller.manifest.manifest import Manifest, merge, sort_faults
from controller.manifest.tree import show
from controller.store.leases import Lease
from controller.store.records import Contents, HostReport, HypervisorRecord, Outcome, PortRecord, PortRow
from controller.store.words import Word
from controller.store.writer import LARGE, Writing
from ipam.deletion import plan_deletion
from ipam.plan import plan
from ipam.steps import Plan, Step, Verb
from model.errors import Conflict, Fault, Invalid, NotFound, RingfenceError, Unavailable
from model.ids import HostName, Uid
from model.intent import Hypervisor
from model.report import MAX_TEXT, PortReport, PortState, Report, parse, refresh
from model.wanted import Kind, Reference, WantedNetwork, title

Build = Callable[[Contents], Plan]


class Storage(Protocol):
    """What the service needs of `controller.store.writer.Store`."""

    def contents(self) -> Contents: ...

    def reports(self, hosts: Iterable[HostName] | None = None) -> tuple[HostReport, ...]: ...

    def report_heads(self, hosts: Iterable[HostName]) -> tuple[HostReport, ...]: ...

    def want_lease(self, host: HostName, partner: HostName) -> Lease | None: ...

    def headless_reports(self) -> tuple[HostReport, ...]: ...

    def report_versions(self, hosts: Iterable[HostName]) -> tuple[tuple[HostName, str], ...]: ...

    def host_words(self, names: Iterable[str] | None = None) -> tuple[Word, ...]: ...

    def fabric_words(self) -> tuple[Word, ...]: ...

    def evidence(self, names: Iterable[str] | None = None) -> tuple[Word, ...]: ...

    def port_rows(self, uid: str | None = None) -> tuple[tuple[HostName, str, PortRow], ...]: ...

    def ask(self, host: HostName, kind: str, text: str, patience: float) -> str: ...

    def change(
        self, build: Build, key: str, digest: str, summarise: Callable[[Plan], str]
    ) -> tuple[Plan | None, Outcome]: ...

    def write(
        self, build: Callable[[Contents], Writing], key: str, digest: str, patience: float = LARGE
    ) -> Outcome: ...


class Mode(Enum):
    """WRITE it, or only TRY: the same checks and allocations, nothing written."""

    WRITE = "write"
    TRY = "try"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Idempotency: `key` from the client, `digest` of the request that it stands for."""

    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class Reports:
    """The hosts' reports, and why some could not be read."""

    readable: dict[str, Report]
    broken: dict[str, str]


@dataclass(frozen=True, slots=True)
class Service:
    """`clock`: Unix ms. `new_uid`: a fresh UUID."""

    store: Storage
    clock: Callable[[], int]
    new_uid: Callable[[], Uid]

    def apply(self, manifest: Manifest, mode: Mode, ticket: Ticket) -> dict[str, Any]:
        """Write all objects of a manifest, or none. Raises model.errors with every fault at once;
        what is only worth a word is told in `warnings`."""
        if manifest.faults:
            # Nothing will be written: the store is asked for further faults only, and may be away.
            raise Invalid(*self._all_faults(manifest))
        done = self._write(lambda contents: self._plan(contents, manifest), mode, ticket)
        said = self.store.contents(), manifest.wanted, manifest.drafts
        warnings = (*advise(*said), *warn(*said))
        return done | {"warnings": [asdict(fault) for fault in warnings]}

    def delete(self, references: Sequence[Reference], mode: Mode, ticket: Ticket) -> dict[str, Any]:
        """Delete all named objects, or none."""
        return self._write(lambda contents: plan_deletion(contents, references, self.clock()), mode, ticket)

    def find(self, kind: Kind, tenant: str | None) -> list[view.Document]:
        """All objects of a kind, of one tenant if given, by tenant and name."""
        contents = self.store.contents()
        states = self._port_states(None) if kind is Kind.PORT else {}
        found = [view.document(record, contents, states) for record in view.records(contents, kind)]
        if kind is Kind.NODE:
            self._compare(contents, found)
        found = [each for each in found if tenant is None or each["metadata"].get("tenant") == tenant]
        subjects.describe(contents, kind, found)
        return found

    def read(self, reference: Reference) -> view.Document:
        """One object; NotFound if there is none."""
        contents = self.store.contents()
        record = contents.find(reference)
        if record is None:
            raise NotFound(_missing(reference))
        states = self._port_states(record.value.uid) if isinstance(record, PortRecord) else {}
        found = view.document(record, contents, states)
        if isinstance(record, PortRecord) and (host := found["status"]["host"]):
            said = self.reports(frozenset((host,))).readable.get(host)
            found["status"] |= asked.status(said, record.value.uid)
        if reference.kind is Kind.NODE:
            self._compare(contents, [found])
        subjects.describe(contents, reference.kind, [found])
        return found

    def inventory(self, name: str | None) -> list[dict[str, Any]]:
        """Nodes beside what their hosts see, by name; NotFound if there is none of that name."""
        contents = self.store.contents()
        if name is not None and name not in contents.nodes:
            raise NotFound(_missing(Reference(Kind.NODE, show(name)[1:-1])))
        return self._inventory(contents, sorted(contents.nodes) if name is None else [name])

    def _inventory(self, contents: Contents, names: Iterable[str]) -> list[dict[str, Any]]:
        nodes = [contents.nodes[name].value for name in names]
        reports = self.reports(frozenset(node.host for node in nodes)).readable
        return inventory.listing(contents, nodes, reports, self.clock())

    def _compare(self, contents: Contents, documents: list[view.Document]) -> None:
        """Add to the status of nodes whether they are as their SKU says."""
        compared = self._inventory(contents, [each["metadata"]["name"] for each in documents])
        for each, seen in zip(documents, compared, strict=True):
            each["status"] |= inventory.brief(seen)

    def status(self) -> dict[str, Any]:
        """See controller.api.health."""
        reports = self.reports()
        for host, found in _by_host(self.store.port_rows()).items():
            if host in reports.readable:
                reports.readable[host] = replace(reports.readable[host], ports=found)
        contents, now = self.store.contents(), self.clock()
        found = health.status(contents, reports.readable, reports.broken, now)
        found["alarms"] += gang_life.alarms(contents, gang_life.said(self.store.fabric_words(), now))
        return found

    def agents(self) -> list[str]:
        """The declared hosts that run an agent of ours."""
        hypervisors = self.store.contents().hypervisors
        return sorted(name for name, record in hypervisors.items() if not record.value.external)

    def waiting(self, hosts: Iterable[str], generation: int) -> tuple[Pending, ...]:
        """Which of `hosts` have not programmed `generation` yet."""
        names = frozenset(HostName(host) for host in hosts)
        heads = _readable(self.store.report_heads(names))
        return pending(names, heads.readable, generation, self.clock())

    def versions(self, hosts: Iterable[str]) -> tuple[tuple[HostName, str], ...]:
        """Of the last reports of `hosts`: `waiting` says the same while these are the same, but for hosts
        that fall silent."""
        return self.store.report_versions(HostName(host) for host in hosts)

    def migrate(self, port: Reference, target: str, moment: Moment, ticket: Ticket) -> dict[str, Any]:
        """Let a port move to another host. NotFound, Conflict: see plan_migration."""
        host = HostName(target)
        return self._write(
            lambda contents: plan_migration(contents, port, host, moment, self.clock()), Mode.WRITE, ticket
        )

    def stay(self, port: Reference, ticket: Ticket) -> dict[str, Any]:
        """A port that was to move does not. NotFound, Conflict: see plan_cancellation."""
        return self._write(
            lambda contents: plan_cancellation(contents, port, self.clock()), Mode.WRITE, ticket
        )

    def forget(self, port: Reference, host: str, ticket: Ticket) -> dict[str, Any]:
        """A port may not be on a host any more. NotFound, Conflict: see plan_forgetting."""
        name = HostName(host)
        return self._write(
            lambda contents: plan_forgetting(contents, port, name, self.clock()), Mode.WRITE, ticket
        )

    def promote(self, asked: promoting.Asked, mode: Mode, ticket: Ticket) -> dict[str, Any]:
        """Enforce what counted, if the evidence is there. NotFound, Invalid, Conflict: see promoting."""
        found = promoting.Promotion(asked, self.store.evidence(), self.clock(), self.new_uid)
        return self._write(found.plan, mode, ticket) | {"promotion": found.told()}

    def freeze(self, host: str, ticket: Ticket) -> dict[str, Any]:
        """Ask a host's agent to change nothing until it is confirmed. NotFound, Conflict (external)."""
        return self._steer(host, ticket, lambda value: replace(value, frozen=True))

    def unfreeze(self, host: str, ticket: Ticket) -> dict[str, Any]:
        """End the operator's freeze, and nothing else."""
        return self._steer(host, ticket, lambda value: replace(value, frozen=False))

    def confirm(self, host: str, token: str, ticket: Ticket) -> dict[str, Any]:
        """End the operator's freeze, and let the stop that the host reports (Report.stop) pass.

        `token`: the stop that is meant, empty for the one reported now. Conflict if the host has another.
        """
        report = _readable(self.store.report_heads([HostName(host)])).readable.get(host)
        stop = report.stop if report else ""
        if token and stop and token != stop:
            raise Conflict(_other_stop(host, token, stop))
        # The agent compares again: a token that came too late releases nothing there.
        stop = token or stop
        done = self._steer(
            host, ticket, lambda value: replace(value, frozen=False, confirm=stop or value.confirm)
        )
        return done | {"stop": stop, "reason": report.reason if report else ""}

    def switch_over(self, host: str) -> dict[str, Any]:
        """See pairing.switch_over."""
        return pairing.switch_over(self.store, host)

    def _steer(self, host: str, ticket: Ticket, change: Callable[[Hypervisor], Hypervisor]) -> dict[str, Any]:
        """Write what the agent shall see into its host's row."""

        def build(contents: Contents) -> Plan:
            before = contents.hypervisors.get(HostName(host))
            if before is None:
                raise NotFound(_missing(Reference(Kind.HYPERVISOR, host)))
            if before.value.external:
                raise Conflict(_no_agent(host))
            after = replace(before, value=change(before.value))
            return _change(host, before, after, self.clock())

        return self._write(build, Mode.WRITE, ticket)

    def reports(self, only: frozenset[str] | None = None) -> Reports:
        """The reports of all hosts, or of some; one that can't be read is set aside with the reason.

        Of hosts that say it in rows of their own, `ports` is empty.
        """
        hosts = None if only is None else [HostName(host) for host in only]
        return _readable(self.store.reports(hosts))

    def heads(self, hosts: Iterable[HostName]) -> dict[str, Report]:
        """What hosts say of themselves in short; those that can be read."""
        return _readable(self.store.report_heads(hosts)).readable

    def _port_states(self, uid: Uid | None) -> dict[tuple[str, str], PortReport]:
        """(host, uid) -> what that host says of the port; of all ports, or of one."""
        states = view.port_states(_readable(self.store.headless_reports()).readable.values())
        for host, found in _by_host(self.store.port_rows(uid)).items():
            states.update({(host, port.uid): port for port in found})
        return states

    def _plan(self, contents: Contents, manifest: Manifest) -> Plan:
        """The plan; raises with the faults of the planner and of the rules between objects."""
        crossed = cross(contents, manifest.wanted)
        try:
            below = self._underlay(contents, manifest)
            made = plan(contents, manifest.wanted, self.clock(), self.new_uid, below)
        except RingfenceError as error:
            raise type(error)(*merge(manifest, (*crossed, *error.faults))) from error
        if crossed:
            raise Conflict(*merge(manifest, crossed))
        return made

    def _underlay(self, contents: Contents, manifest: Manifest) -> int:
        """The smallest MTU that an agent reports, 0 = none does; asked for only where a network needs one."""
        wanted = (one for one in manifest.wanted if isinstance(one, WantedNetwork) and one.mtu is None)
        if all((one.tenant, one.name) in contents.networks for one in wanted):
            return 0
        heads = _readable(self.store.report_heads(contents.hypervisors)).readable.values()
        return min((head.underlay for head in heads if head.underlay), default=0)

    def _all_faults(self, manifest: Manifest) -> tuple[Fault, ...]:
        try:
            self._plan(self.store.contents(), manifest)
        except Unavailable:
            return merge(manifest, ())
        except RingfenceError as error:
            return sort_faults(error.faults)
        return merge(manifest, ())

    def _write(self, build: Build, mode: Mode, ticket: Ticket) -> dict[str, Any]:
        """Plan on the store's contents; hosts concerned are those before the change and after it."""
        if mode is Mode.TRY:
            contents = self.store.contents()
            made = build(contents)
            hosts = concerned(contents, answer.touched(made))
            told = answer.summarise(made, contents)
            generation = contents.cluster.generation if contents.cluster else 0
            return told | _frame(hosts, generation) | {"dryRun": True, "replayed": False}
        seen: list[Contents] = []

        def observed(contents: Contents) -> Plan:
            seen[:] = [contents]
            return build(contents)

        done, outcome = self.store.change(
            observed, ticket.key, ticket.digest, answer.shorten if ticket.key else _nothing
        )
        after = self.store.contents()
        if done is None:
            told, hosts = answer.lengthen(outcome.result, after), frozenset[HostName]()
        else:
            told, hosts = answer.summarise(done, seen[0]), concerned(seen[0], answer.touched(done))
        hosts |= concerned(after, answer.named(told))
        return told | _frame(hosts, outcome.generation) | {"dryRun": False, "replayed": outcome.replayed}


def _readable(rows: Iterable[HostReport]) -> Reports:
    readable: dict[str, Report] = {}
    broken: dict[str, str] = {}
    for row in rows:
        try:
            report = parse(row.report or row.head)
            if row.head:
                report = refresh(report, parse(row.head))
        except ValueError as error:
            broken[row.host] = f"its report can't be read: {error}"
            continue
        # The row's key is what the store vouches for, not the text.
        readable[row.host] = replace(report, host=row.host, stamp_ms=row.stamp)
    return Reports(readable, broken)


def _by_host(rows: Iterable[tuple[HostName, str, PortRow]]) -> dict[HostName, tuple[PortReport, ...]]:
    """What is no report of a port is left out: a host may be compromised."""
    found: dict[HostName, list[PortReport]] = {}
    for host, uid, (state, reason, ofport) in rows:
        try:
            port = PortReport(uid, PortState(state), reason[:MAX_TEXT], ofport)
        except ValueError:
            continue
        found.setdefault(host, []).append(port)
    return {host: tuple(sorted(ports, key=lambda port: port.uid)) for host, ports in found.items()}


def _frame(hosts: frozenset[HostName], generation: int) -> dict[str, Any]:
    return {"concerned": sorted(hosts), "generation": generation, "warnings": []}


def _nothing(_made: Plan) -> str:
    """Without a key nobody can ask for the answer again."""
    return ""


def _change(host: str, before: HypervisorRecord, after: HypervisorRecord, now: int) -> Plan:
    verb = Verb.UNCHANGED if before == after else Verb.CHANGE
    return Plan((Step(verb, Reference(Kind.HYPERVISOR, host), before, after),), now=now)


def _missing(reference: Reference) -> Fault:
    advice = f"See those that exist: ringfence get {reference.kind.value.lower()}"
    return Fault(title(reference), "not-found", "it does not exist", advice)


def _other_stop(host: str, token: str, stop: str) -> Fault:
    now = f"it is stopped by {show(stop)}"
    return Fault(
        f"Hypervisor {host}",
        "other-stop",
        f"{show(token)} is not its stop: {now}",
        "Look at ringfence status first.",
    )


def _no_agent(host: str) -> Fault:
    return Fault(
        f"Hypervisor {host}",
        "external-host",
        "it is external: no agent of ours runs there",
        "Act on that host itself.",
    )
