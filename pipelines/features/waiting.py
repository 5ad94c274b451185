"""Waiting: a port that is moving here and lives elsewhere still passes nothing, but is listened to.

Place: table classify. Its workload's first word (RARP, gratuitous ARP, unsolicited neighbour advertisement)
goes to the agent, which then claims the port; all else is counted and ends here (docs/decisions/0017). Must
not forward anything.
"""

from __future__ import annotations

from model.flow import Flow
from pipelines import cookies
from pipelines.shapes.entry import CLASSIFY_REFUSED
from pipelines.shapes.waiting import WAITING_ARP, WAITING_ND, WAITING_RARP
from pipelines.views import WaitingView


def waiting(view: WaitingView) -> tuple[Flow, ...]:
    """What it may say, and the count of the rest."""
    cookie = cookies.announced(view.key)
    made = [
        Flow(CLASSIFY_REFUSED, cookies.port(view.key), (view.ofport,)),
        Flow(WAITING_RARP, cookie, (view.ofport, view.mac)),
    ]
    for address in view.addresses:
        shape = WAITING_ARP if address.version == 4 else WAITING_ND
        made.append(Flow(shape, cookie, (view.ofport, view.mac, int(address))))
    return tuple(made)
