"""Service: what the API can do, without HTTP: apply, delete, get, status, wait, freeze, confirm.

Place: between the routes and the store. Each call is complete in itself; all are safe from several threads.
Must not keep state between calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final, Protocol

from controller.api import health, view
from controller.api.concern import Pending, concerned, pending
from controller.manifest.cross import cross
from controller.manifest.manifest import Manifest, merge, sort_faults
from controller.manifest.tree import show
from controller.store.records import Contents, HostReport, HypervisorRecord, Outcome
from ipam.deletion import plan_deletion
from ipam.plan import plan
from ipam.steps import Plan, Step, Verb
from model.errors import Conflict, Fault, Invalid, NotFound, RingfenceError, Unavailable
from model.ids import HostName, Uid
from model.intent import Hypervisor
from model.report import PortReport, Report, parse
from model.wanted import Kind, Reference, title

Build = Callable[[Contents], Plan]
MAX_CHANGES: Final = 100_000


class Storage(Protocol):
    """What the service needs of `controller.store.writer.Store`."""

    def contents(self) -> Contents: ...

    def reports(self) -> tuple[HostReport, ...]: ...

    def change(
        self, build: Build, key: str, digest: str, summarise: Callable[[Plan], str]
    ) -> tuple[Plan | None, Outcome]: ...


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
        """Write all objects of a manifest, or none. Raises model.errors with every fault at once."""
        if manifest.faults:
            # Nothing will be written: the store is asked for further faults only, and may be away.
            raise Invalid(*self._all_faults(manifest))
        return self._write(lambda contents: self._plan(contents, manifest), mode, ticket)

    def delete(self, references: Sequence[Reference], mode: Mode, ticket: Ticket) -> dict[str, Any]:
        """Delete all named objects, or none."""
        return self._write(lambda contents: plan_deletion(contents, references, self.clock()), mode, ticket)

    def find(self, kind: Kind, tenant: str | None) -> list[view.Document]:
        """All objects of a kind, of one tenant if given, by tenant and name."""
        contents = self.store.contents()
        states = self._port_states(kind)
        found = (view.document(record, contents, states) for record in view.records(contents, kind))
        return [each for each in found if tenant is None or each["metadata"].get("tenant") == tenant]

    def read(self, reference: Reference) -> view.Document:
        """One object; NotFound if there is none."""
        contents = self.store.contents()
        record = contents.find(reference)
        if record is None:
            raise NotFound(_missing(reference))
        states = self._port_states(reference.kind)
        return view.document(record, contents, states)

    def status(self) -> dict[str, Any]:
        """See controller.api.health."""
        reports = self.reports()
        return health.status(self.store.contents(), reports.readable, reports.broken, self.clock())

    def agents(self) -> list[str]:
        """The declared hosts that run an agent of ours."""
        hypervisors = self.store.contents().hypervisors
        return sorted(name for name, record in hypervisors.items() if not record.value.external)

    def waiting(self, hosts: Iterable[str], generation: int) -> tuple[Pending, ...]:
        """Which of `hosts` have not programmed `generation` yet."""
        names = frozenset(hosts)
        return pending(names, self.reports(names).readable, generation, self.clock())

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
        report = self.reports(frozenset({host})).readable.get(host)
        stop = report.stop if report else ""
        if token and stop and token != stop:
            raise Conflict(_other_stop(host, token, stop))
        # The agent compares again: a token that came too late releases nothing there.
        stop = token or stop
        answer = self._steer(
            host, ticket, lambda value: replace(value, frozen=False, confirm=stop or value.confirm)
        )
        return answer | {"stop": stop, "reason": report.reason if report else ""}

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
        """The reports of all hosts, or of some; one that can't be read is set aside with the reason."""
        readable: dict[str, Report] = {}
        broken: dict[str, str] = {}
        for row in self.store.reports():
            if only is not None and row.host not in only:
                continue
            try:
                report = parse(row.report)
            except ValueError as error:
                broken[row.host] = f"its report can't be read: {error}"
                continue
            # The row's key is what the store vouches for, not the text.
            readable[row.host] = replace(report, host=row.host, stamp_ms=row.stamp)
        return Reports(readable, broken)

    def _port_states(self, kind: Kind) -> dict[tuple[str, str], PortReport]:
        """Only ports show what hosts say of them."""
        return view.port_states(self.reports().readable.values()) if kind is Kind.PORT else {}

    def _plan(self, contents: Contents, manifest: Manifest) -> Plan:
        """The plan; raises with the faults of the planner and of the rules between objects."""
        crossed = cross(contents, manifest.wanted)
        try:
            made = plan(contents, manifest.wanted, self.clock(), self.new_uid)
        except RingfenceError as error:
            raise type(error)(*merge(manifest, (*crossed, *error.faults))) from error
        if crossed:
            raise Conflict(*merge(manifest, crossed))
        return made

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
            return self._summary(build(contents), contents) | {"dryRun": True, "replayed": False}
        touched: list[Contents] = []

        def observed(contents: Contents) -> Plan:
            touched[:] = [contents]
            return build(contents)

        def summarise(made: Plan) -> str:
            return json.dumps(self._summary(made, touched[0]), sort_keys=True)

        _, outcome = self.store.change(observed, ticket.key, ticket.digest, summarise)
        summary = json.loads(outcome.result) if outcome.result else self._summary(Plan(()), Contents())
        after = self.store.contents()
        references = [_reference(change) for change in summary["changes"]]
        hosts = set(summary["concerned"]) | concerned(after, references)
        return summary | {
            "concerned": sorted(hosts),
            "generation": outcome.generation,
            "dryRun": False,
            "replayed": outcome.replayed,
        }

    def _summary(self, made: Plan, contents: Contents) -> dict[str, Any]:
        """JSON-ready: what each step does, with the allocated values of what it makes or changes."""
        touched = [step for step in made.steps if step.verb is not Verb.UNCHANGED]
        generation = contents.cluster.generation if contents.cluster else 0
        return {
            "generation": generation,
            "changed": bool(made),
            "counts": {verb.value: len(made.of(verb)) for verb in Verb},
            "changes": [_show(step, contents) for step in made.steps[:MAX_CHANGES]],
            "concerned": sorted(concerned(contents, (step.reference for step in touched))),
        }


def _show(step: Step, contents: Contents) -> dict[str, Any]:
    reference = step.reference
    shown: dict[str, Any] = {"verb": step.verb.value, "kind": reference.kind.value, "name": reference.name}
    if reference.tenant is not None:
        shown["tenant"] = reference.tenant
    if step.verb in {Verb.CREATE, Verb.CHANGE} and step.after is not None:
        after = view.document(step.after, contents, {})
        shown["spec"] = after.get("spec", {})
        shown["uid"] = after["metadata"].get("uid", "")
        if step.before is not None:
            before = view.document(step.before, contents, {})
            shown["before"] = before.get("spec", {})
    return shown


def _reference(change: dict[str, Any]) -> Reference:
    return Reference(Kind(change["kind"]), change["name"], change.get("tenant"))


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
