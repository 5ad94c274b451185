"""Asking: a question to the agent of one host, and its answer as values that may be trusted in form.

Place: under `controller.api.tracing`. A host that is known to be dead is not asked; what an agent answers is
foreign: taken apart, bounded, printable. Must not interpret it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from controller.api.concern import DEAD_AFTER_MS
from controller.api.entrance import printable
from controller.api.service import Service
from controller.store.questions import silent
from model.errors import Conflict, Fault, NotFound, Unavailable
from model.ids import HostName

PATIENCE: Final = 10.0
"""Seconds that an agent may take."""
_LONGEST: Final = 2_000
_MOST_FAULTS: Final = 20

Document = dict[str, Any]


def ask(service: Service, host: str, kind: str, body: Document) -> Document:
    """The answer of a host's agent. Raises Unavailable (`host-silent`), or Conflict with its faults."""
    _alive(service, host)
    text = service.store.ask(HostName(host), kind, json.dumps(body), PATIENCE)
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _garbled(host) from error
    if isinstance(answer, dict) and isinstance(answer.get("faults"), list) and answer["faults"]:
        raise Conflict(*(_fault(host, each) for each in answer["faults"][:_MOST_FAULTS]))
    if not isinstance(answer, dict) or not isinstance(answer.get("ok"), dict):
        raise _garbled(host)
    return dict(answer["ok"])


def declared(service: Service, host: str) -> None:
    """Raises NotFound if there is no such host, Conflict if no agent of ours runs there."""
    found = service.store.contents().hypervisors.get(HostName(host))
    name = f"Hypervisor {printable(host)}"
    if found is None:
        raise NotFound(Fault(name, "not-found", "it does not exist", "See: ringfence get hypervisors"))
    if found.value.external:
        message = "it is external: no agent of ours runs there"
        raise Conflict(Fault(name, "external-host", message, "Look at that host itself."))


def text(value: Any, longest: int = _LONGEST) -> str:
    """Text of a foreign document, bounded; empty if it is none."""
    return value[:longest] if isinstance(value, str) else ""


def number(value: Any) -> int:
    """A whole number of 64 bits of a foreign document; 0 if it is none."""
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64
    return value if fits else 0


def mapping(value: Any) -> Document:
    """An object of a foreign document; empty if it is none."""
    return value if isinstance(value, dict) else {}


def listed(value: Any, most: int) -> list[Document]:
    """The objects of a list of a foreign document."""
    return [each for each in value[:most] if isinstance(each, dict)] if isinstance(value, list) else []


def _alive(service: Service, host: str) -> None:
    report = service.reports(frozenset({host})).readable.get(host)
    if report is None:
        raise silent(host, "it has never reported: does its agent run?")
    age = service.clock() - report.stamp_ms
    if age > DEAD_AFTER_MS:
        raise silent(host, f"no heartbeat for {age // 1000} s: its agent is dead, or can't reach the store")


def _fault(host: str, plain: Any) -> Fault:
    each = plain if isinstance(plain, dict) else {}
    subject = text(each.get("object"), 200) or f"Hypervisor {host}"
    return Fault(
        subject, text(each.get("rule"), 50) or "refused", text(each.get("message")), text(each.get("remedy"))
    )


def _garbled(host: str) -> Unavailable:
    message = "the answer of its agent can't be read"
    return Unavailable(
        Fault(f"Hypervisor {host}", "answer-garbled", message, "Let API and agents be of the same version.")
    )
