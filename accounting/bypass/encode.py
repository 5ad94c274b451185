"""Encode: steps and states of devices as JSON, for a journal of their own.

Place: between `accounting.bypass.count` and the bytes on disk. A step's records have the form of
`accounting.encode`, whose `parse_step` reads them for the upload. Must not do I/O.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from accounting.bypass.count import Account, Holding, State, Step
from accounting.encode import FORMAT, Plain, parse_step, plain
from accounting.records import Gap, Interval, Owner
from model.ids import PortKey
from model.tally import Manner, Medium, Tally

OF_DEVICES: Final = "devices"
"""In the place of a run's start: the records of a step bear their own."""


def step_bytes(step: Step) -> bytes:
    """A journal body."""
    return _dump(
        {
            "format": FORMAT,
            "run": [step.host, step.boot_id, OF_DEVICES],
            "at_ms": step.at_ms,
            "records": [plain(record) for record in step.records],
            "wires": [],
            "accounts": _plain_accounts(step.accounts),
        }
    )


def parse_bypass(body: bytes) -> Step:
    """The inverse of `step_bytes`; ValueError for anything else."""
    told = parse_step(body)
    records = tuple(record for record in told.records if isinstance(record, Interval | Gap))
    try:
        accounts = _accounts(json.loads(body)["accounts"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a step of devices: {error!r}") from error
    return Step(told.run.host, told.run.boot_id, told.at_ms, records, accounts)


def state_bytes(state: State) -> bytes:
    """A checkpoint body."""
    accounts = _plain_accounts(state.accounts)
    return _dump({"format": FORMAT, "next_sequence": state.next_sequence, "accounts": accounts})


def parse_state(body: bytes) -> State:
    """The inverse of `state_bytes`, for a process that just began; ValueError for anything else."""
    raw = json.loads(body)
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ValueError(f"not of journal format {FORMAT}")
    try:
        return State(int(raw["next_sequence"]), _accounts(raw["accounts"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a checkpoint of devices: {error!r}") from error


def _dump(raw: Plain) -> bytes:
    return json.dumps(raw, separators=(",", ":")).encode()


def _plain_accounts(accounts: Mapping[str, Account]) -> Plain:
    return {place: _plain_account(account) for place, account in sorted(accounts.items())}


def _plain_account(account: Account) -> list[Any]:
    hold, tally = account.holding, account.tally
    return [
        account.boot_id,
        account.at_ms,
        account.up_ms,
        [account.flowing, account.settled, account.doubted],
        None
        if tally is None
        else [
            tally.life,
            tally.medium.value,
            tally.manner.value,
            tally.unit,
            *tally.sent,
            *tally.received,
            tally.speed,
        ],
        None
        if hold is None
        else [hold.number, hold.generation, hold.up, hold.going, _plain_owner(hold.owner)],
    ]


def _plain_owner(owner: Owner) -> list[str]:
    return [
        owner.port_uid,
        owner.port_name,
        owner.tenant_uid,
        owner.tenant_name,
        owner.network_uid,
        owner.network_name,
    ]


def _accounts(raw: Mapping[str, Any]) -> dict[str, Account]:
    return {place: _account(each) for place, each in raw.items()}


def _account(raw: list[Any]) -> Account:
    boot_id, at_ms, up_ms, (flowing, settled, doubted), tally, hold = raw
    return Account(
        boot_id,
        int(at_ms),
        int(up_ms),
        None if tally is None else _tally(tally),
        None if hold is None else _holding(hold),
        bool(flowing),
        bool(settled),
        bool(doubted),
    )


def _tally(raw: list[Any]) -> Tally:
    life, medium, manner, unit, *counts, speed = raw
    sent, data, received, got = map(int, counts)
    return Tally(life, Medium(medium), Manner(manner), int(unit), (sent, data), (received, got), speed)


def _holding(raw: list[Any]) -> Holding:
    number, generation, up, going, owner = raw
    return Holding(PortKey(int(number)), int(generation), Owner(*owner), bool(up), bool(going))
