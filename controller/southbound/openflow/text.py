"""A flow in words, for errors and logs: enough to find the feature and the object that emitted it.

Place: read by people. Must not be parsed; `pipelines.render` writes ovs-ofctl syntax.
"""

from __future__ import annotations

from model.flow import Flow


def describe(flow: Flow) -> str:
    """Shape, table, priority, match and cookie with the numbers in hexadecimal."""
    shape = flow.shape
    if len(flow.values) != len(shape.slots):
        return f"{shape.name} table={shape.table} cookie={flow.cookie:#018x} values={flow.values}"
    terms = []
    for match in shape.match:
        mask = "" if match.mask is None else f"/{flow.fill(match.mask):#x}"
        terms.append(f"{match.field.name}={flow.fill(match.value):#x}{mask}")
    where = f"table={shape.table} priority={flow.fill(shape.priority)} cookie={flow.cookie:#018x}"
    return f"{shape.name} {where} {','.join(terms)}"
