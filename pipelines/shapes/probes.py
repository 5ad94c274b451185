"""Shapes of path probes: what comes back to its sender, and what comes home.

Place: table classify. See pipelines.shapes for the rules of all shapes.
"""

from __future__ import annotations

from typing import Final

from model.addresses import PROBE_REPLY_MAC, PROBE_REQUEST_MAC
from model.flow import Field, Match, SetField, Shape, Slot, Special
from model.ids import PROBE_VNI, Mac
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.terms import AT_OWN, IS_UNTAGGED, PORT, VTEP4, VTEP6, shape


def _from(field: Field, vtep: Slot, mac: Mac) -> tuple[Match, ...]:
    return (
        Match(f.IN_PORT, PORT),
        Match(f.TUN_ID, PROBE_VNI),
        Match(field, vtep),
        IS_UNTAGGED,
        Match(f.ETH_DST, mac),
    )


# Answers go apart: OVS holds back what is handed up by port of entry, and hundreds of ports that have much to
# hand up would leave the tunnel too little. A host that hears no answers calls its tunnels down.
def _pair(family: str, source: Field, target: Field, vtep: Slot) -> tuple[Shape, Shape]:
    back = (
        SetField(f.ETH_DST, PROBE_REPLY_MAC),
        SetField(f.TUN_ID, PROBE_VNI),
        SetField(target, vtep),
        Special.IN_PORT,
    )
    asked = shape(
        f"probe{family}", t.CLASSIFY, AT_OWN, _from(source, vtep, PROBE_REQUEST_MAC), (PORT, vtep), back
    )
    home = shape(
        f"probe{family}-answer",
        t.CLASSIFY,
        AT_OWN,
        _from(source, vtep, PROBE_REPLY_MAC),
        (PORT, vtep),
        (Special.CONTROLLER_APART,),
    )
    return asked, home


PROBE4: Final = _pair("4", f.TUN_SRC, f.TUN_DST, VTEP4)
PROBE6: Final = _pair("6", f.TUN_IPV6_SRC, f.TUN_IPV6_DST, VTEP6)
PROBES: Final = (*PROBE4, *PROBE6)
