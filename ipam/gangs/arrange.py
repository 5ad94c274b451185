"""Arrange: which of the nodes that would do are taken.

Place: asked by `place` once it is known which nodes can. Pure. Must not know what a node has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from model.gang import Arrange

Leaves = tuple[str, ...]


def arrange(way: Arrange, leaves: Mapping[str, Leaves], load: Mapping[str, int], wanted: int) -> list[str]:
    """`wanted` of the nodes in `leaves` (the switches that each meets), by name. `load`: VFs in use there.

    PACK: the smallest group of nodes at the same leaves that has enough; else the largest groups first. Full
    nodes first. SPREAD: groups in turns, those with most nodes first, and empty nodes first.
    """
    groups: dict[Leaves, list[str]] = {}
    for name in sorted(leaves):
        groups.setdefault(leaves[name], []).append(name)
    full_first = way is Arrange.PACK
    for members in groups.values():
        members.sort(key=lambda name: (-load.get(name, 0) if full_first else load.get(name, 0), name))
    chosen = _pack(groups, wanted) if full_first else _spread(groups, wanted)
    return sorted(chosen)


def _pack(groups: Mapping[Leaves, Sequence[str]], wanted: int) -> list[str]:
    chosen: list[str] = []
    left = dict(groups)
    while len(chosen) < wanted:
        missing = wanted - len(chosen)
        enough = [group for group in left if len(left[group]) >= missing]
        # The tightest that ends it, or else the largest.
        if enough:
            best = min(enough, key=lambda group: (len(left[group]), group))
        else:
            best = min(left, key=lambda group: (-len(left[group]), group))
        chosen.extend(left.pop(best)[:missing])
    return chosen


def _spread(groups: Mapping[Leaves, Sequence[str]], wanted: int) -> list[str]:
    order = sorted(groups, key=lambda group: (-len(groups[group]), group))
    longest = max(map(len, groups.values()), default=0)
    turns = [groups[group][turn] for turn in range(longest) for group in order if turn < len(groups[group])]
    return turns[:wanted]
