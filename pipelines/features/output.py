"""Output: out through the port that resolve chose, or copies to everybody.

Place: table output, the end for frames of local ports. Replication stands here, after accounting: a group
frame is billed once.
"""

from __future__ import annotations

from model.flow import Flow
from pipelines import cookies
from pipelines.shapes.paths import OUTPUT_NOWHERE, OUTPUT_SINGLE, output_group
from pipelines.views import HostView, NetworkView


def host(_: HostView) -> tuple[Flow, ...]:
    """Unicast frames, for somebody or for nobody."""
    return (Flow(OUTPUT_SINGLE, cookies.host()), Flow(OUTPUT_NOWHERE, cookies.host()))


def network(view: NetworkView) -> tuple[Flow, ...]:
    """Group frames, head-end to each VTEP of RT-3 (RFC 7432 section 11.2, RFC 8365 section 9)."""
    if not view.network.replicate:
        return ()
    vteps = tuple(int(vtep) for vtep in view.vteps)
    version = view.vteps[0].version if view.vteps else 4
    shape = output_group(len(view.ofports), len(vteps), version, len(view.limited), len(view.judged))
    values: tuple[int, ...] = (view.network.key, *view.ofports)
    if vteps:
        values += (view.network.vni, view.tunnel, *vteps)
    return (Flow(shape, cookies.network(view.network.key), (*values, *view.limited, *view.judged)),)
