"""Events: what reaches the agent's loop, as values on one queue.

Place: put by callbacks of the watches and threads, which do nothing else; taken by `controller.agent.loop`.
"""

from __future__ import annotations

from dataclasses import dataclass

from bgp import client
from bgp.trail import Spot
from controller.agent.announcements import Announced
from controller.agent.leasing import Leased
from controller.agent.pathing import PathsDown
from controller.agent.state import Seen
from controller.agent.telling import HandedUp
from controller.store.view import Batch
from model.addresses import Address
from model.ids import PortKey
from model.intent import Binding


@dataclass(frozen=True, slots=True)
class Inventory:
    """The local switch database as it is now. `system_id`: this host's name, empty if not set."""

    system_id: str
    seen: Seen


@dataclass(frozen=True, slots=True)
class SessionUp:
    """The OpenFlow session with the bridge stands."""


@dataclass(frozen=True, slots=True)
class SessionDown:
    reason: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The store's answer: the binding after a claim, None after a release, or why a claim was refused."""

    port: PortKey
    answer: Binding | str | None


@dataclass(frozen=True, slots=True)
class Silent:
    """A VTEP did not answer its probes."""

    vtep: Address


@dataclass(frozen=True, slots=True)
class Released:
    """The operator ended the damping of a MAC or an address."""

    spot: Spot


@dataclass(frozen=True, slots=True)
class Followed:
    """The data path goes by more of the changes that were made (`controller.agent.forgetting`)."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the loop."""


Event = (
    Batch
    | Inventory
    | SessionUp
    | SessionDown
    | Answered
    | Silent
    | HandedUp
    | Announced
    | PathsDown
    | Leased
    | Released
    | Followed
    | Stop
    | client.Event
)
