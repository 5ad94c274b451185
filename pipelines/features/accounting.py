"""Accounting: one counter per port and egress class.

Place: table account. Its match holds nothing that policy or routes could change, and its cookie says port,
class and epoch. Nothing behind it drops, nothing before it in this pass meters.
"""

from __future__ import annotations

from model.flow import Flow
from pipelines import cookies
from pipelines.shapes.paths import ACCOUNT_ROUTER, COUNTER
from pipelines.views import HostView, PortView


def host(_: HostView) -> tuple[Flow, ...]:
    """What a router of this host says itself, to somebody on another one: nobody is billed."""
    return (Flow(ACCOUNT_ROUTER, cookies.host()),)


def port(view: PortView) -> tuple[Flow, ...]:
    """A flow for each class that exists, so that no class is left without a counter."""
    return tuple(
        Flow(COUNTER, cookies.account(view.key, cls, view.epoch), (view.key, cls)) for cls in view.classes
    )
