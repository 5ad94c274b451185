"""Probes: other hosts ask whether the tunnel to here works, and the switch itself says so.

Place: table classify, under a VNI that no network has. Requests go back to the VTEP that they came from,
without any agent; answers to this host's own go to its agent (docs/decisions/0018). Only VTEPs that may send
something here are answered. Must not let a probe any further.
"""

from __future__ import annotations

from model.flow import Flow
from pipelines import cookies
from pipelines.shapes.probes import PROBE4, PROBE6
from pipelines.views import PathView


def path(view: PathView) -> tuple[Flow, ...]:
    """Both directions, for one VTEP."""
    asked, home = PROBE4 if view.vtep.version == 4 else PROBE6
    values = (view.tunnel, int(view.vtep))
    return (
        Flow(asked, cookies.host(), values),
        Flow(home, cookies.probe(view.vtep), values),
    )
