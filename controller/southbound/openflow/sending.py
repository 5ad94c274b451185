"""A patch on its way to the switch: bundles staged, checked and committed, and the switch never idle.

Place: one `Sending` per `Channel.send`. While the switch works on the adds of a bundle, the next is encoded
and written; a bundle is committed only after a barrier has shown that none of its messages was refused, for
Open vSwitch would commit the rest. Must not retry on a broken connection.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import chain

from controller.southbound.openflow.bundles import Judging, Portion, divide, nothing, settle
from controller.southbound.openflow.conversation import Conversation, Refusal, Step
from controller.southbound.openflow.encoder import Encoder
from controller.southbound.openflow.reference import Command
from controller.southbound.openflow.text import describe
from model.change import Patch
from model.errors import Fault, Invalid
from model.flow import Flow


@dataclass(frozen=True, slots=True)
class Refused:
    """A flow that was not taken; its whole group was left as it was. `fault` names the flow in full."""

    flow: Flow
    fault: Fault


@dataclass(frozen=True, slots=True)
class Outcome:
    """`flows`: adds and deletes that the switch acknowledged."""

    flows: int
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class _Staged:
    """A bundle whose messages are written. Message `first` + k bears `sent[k]`: (index of group, flow)."""

    portion: Portion
    bundle: int
    first: int
    sent: tuple[tuple[int, Flow], ...]
    opened: int
    barrier: int


@dataclass(frozen=True, slots=True)
class _Committing:
    staged: _Staged
    xid: int


class Sending:
    """The bundles of one patch under way."""

    def __init__(self, conversation: Conversation, encoder: Encoder, judging: Judging = nothing) -> None:
        self._judging = judging
        self._conversation = conversation
        self._encoder = encoder
        self._todo: deque[Portion] = deque()
        self._refused: list[Refused] = []
        self._flows = 0

    def run(self, patch: Patch) -> Outcome:
        """Send all; returns when every bundle is acknowledged or its refused groups are left out."""
        self._todo.extend(divide(settle(patch), self._judging))
        staged: _Staged | None = None
        committing: _Committing | None = None
        while self._todo or staged or committing:
            upcoming = self._stage(self._todo.popleft()) if self._todo else None
            checked = self._check(staged) if staged else None
            if committing:
                self._acknowledge(committing)
            staged, committing = upcoming, checked
        return Outcome(self._flows, tuple(self._refused))

    def _stage(self, portion: Portion) -> _Staged | None:
        """Write a bundle's messages; None if nothing of it can be encoded."""
        drops, puts = portion.drops(), portion.puts()
        bundle = self._conversation.take(1)
        first = self._conversation.take(len(drops) + len(puts))
        try:
            dropped = self._encoder.batch([f for _, f in drops], Command.DELETE_STRICT, bundle, first)
            added = self._encoder.batch([f for _, f in puts], Command.ADD, bundle, first + len(drops))
        except Invalid:
            return self._stage_encodable(portion)
        sent = tuple(chain((drops[i] for i in dropped.order), (puts[i] for i in added.order)))
        opened, opening = self._conversation.bundle(Step.OPEN, bundle)
        barrier, closing = self._conversation.barrier()
        self._conversation.write(b"".join([opening, *dropped.chunks, *added.chunks, closing]))
        return _Staged(portion, bundle, first, sent, opened, barrier)

    def _stage_encodable(self, portion: Portion) -> _Staged | None:
        """The same without the groups that hold a flow which has no wire form."""
        bad: set[int] = set()
        for group, flow in chain(portion.drops(), portion.puts()):
            try:
                self._encoder.encode(flow, Command.ADD, 0, 0)
            except Invalid as error:
                bad.add(group)
                self._refused.extend(Refused(flow, fault) for fault in error.faults)
        rest = portion.without(bad)
        return self._stage(rest) if rest.groups else None

    def _check(self, staged: _Staged) -> _Committing | None:
        """Commit if the switch took every message; otherwise discard and queue what is good again."""
        refusal = self._conversation.wait(staged.opened) or self._conversation.wait(staged.barrier)
        errors = self._conversation.errors(staged.first, len(staged.sent))
        if refusal is None and not errors:
            xid, message = self._conversation.bundle(Step.COMMIT, staged.bundle)
            self._conversation.write(message)
            return _Committing(staged, xid)
        xid, message = self._conversation.bundle(Step.DISCARD, staged.bundle)
        self._conversation.write(message)
        self._conversation.wait(xid)
        self._leave_out(staged, errors, refusal)
        return None

    def _acknowledge(self, committing: _Committing) -> None:
        staged = committing.staged
        refusal = self._conversation.wait(committing.xid)
        if refusal is None:
            self._flows += len(staged.sent)
            return
        # the bundle is atomic: nothing of it was applied, and the flow at fault was named before
        self._leave_out(staged, self._conversation.errors(staged.first, len(staged.sent)), refusal)

    def _leave_out(self, staged: _Staged, errors: dict[int, Refusal], refusal: Refusal | None) -> None:
        """Report the flows at fault and queue the other groups; with no flow named, the whole bundle is."""
        if not errors and refusal is not None:
            errors = {staged.first + k: refusal for k in range(len(staged.sent))}
        bad: set[int] = set()
        for xid, error in errors.items():
            group, flow = staged.sent[xid - staged.first]
            bad.add(group)
            self._refused.append(Refused(flow, _fault(flow, error)))
        rest = staged.portion.without(bad)
        if rest.groups:
            self._todo.append(rest)


def _fault(flow: Flow, error: Refusal) -> Fault:
    return Fault(
        f"flow {describe(flow)}",
        "switch-refuses-flow",
        f"Open vSwitch answered {error}; no flow of its group was applied",
        "correct the feature in pipelines that emits this shape, or see ovs-vswitchd.log for the reason",
    )
