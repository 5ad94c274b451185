"""Seeds: planning of what instances are told: whose first NIC a port is, user data, public keys.

Place: used by `ipam.ports`, and as a law by `ipam.laws`. Must not write anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from ipam.contents import PortRecord
from ipam.needs import of_port
from ipam.steps import Step
from ipam.trial import Trial
from model.errors import Conflict
from model.seed import Seed
from model.wanted import Kind, WantedSeed, title

_PATH = "spec.instance"


def sown(before: Seed, want: WantedSeed) -> Seed:
    """What holds then: field by field what is written, else what was."""
    return Seed(
        first=before.first if want.first is None else want.first,
        keys=before.keys if want.keys is None else want.keys,
        data=before.data if want.data is None else want.data,
    )


def check_seeds(trial: Trial, steps: Iterable[Step]) -> None:
    """An instance has one first NIC, which is there, and says what it is told."""
    for step in steps:
        record = step.after
        if not isinstance(record, PortRecord) or not record.seed.first:
            continue
        _check_other(trial, step, record)
        others = trial.draft.dependants(of_port(record.tenant, record.value.name))
        held = [r for r in others if r.kind is Kind.PORT and r.name != record.value.name]
        if held:
            message = f"it would be a further NIC of {record.seed.first}, and {title(held[0])} is one of it"
            advice = f"Write instance: {record.seed.first} there as well, or none here."
            trial.refuse(Conflict, trial.written(step.reference), "instance-chain", message, advice, _PATH)


def _check_other(trial: Trial, step: Step, record: PortRecord) -> None:
    seed, blamed = record.seed, trial.written(step.reference)
    first = trial.draft.ports.get((record.tenant, seed.first))
    if seed.first == record.value.name:
        advice = "Leave instance out: a port is the first of its own."
        trial.refuse(Conflict, blamed, "instance-self", "it names itself", advice, _PATH)
    elif first is None:
        message = f"tenant {record.tenant} has no port {seed.first}"
        advice = "Name a port of the same tenant, or declare it in the same request."
        trial.refuse(Conflict, blamed, "instance-unknown", message, advice, _PATH)
    elif first.seed.first:
        message = f"port {seed.first} is itself a further NIC, of {first.seed.first}"
        advice = f"Write instance: {first.seed.first}."
        trial.refuse(Conflict, blamed, "instance-chain", message, advice, _PATH)
    if seed.data or seed.keys:
        message = f"user data and public keys of its instance are those of port {seed.first}"
        advice = "Write them there, and here userData: '' and publicKeys: []."
        trial.refuse(Conflict, blamed, "instance-data", message, advice, _PATH)
