"""Story: what each peer's sessions were like: since when, how often, what it said, why it was lost.

Place: kept by `bgp.learn` beside the routes, shown by `ringfence evpn neighbors`. Pure. Must not decide
anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from immutables import Map

from bgp.codec.update import Update

_LONGEST: Final = 500
"""Characters of an error that are kept: its peer decides how long it is."""


@dataclass(frozen=True, slots=True)
class Story:
    """`since`: seconds of the learner's clock, when `up` became what it is. `sessions`: how many so far.

    `announced`, `withdrawn`: routes in UPDATEs of this session, or of the last one. `malformed`: faults in
    all of them. `error`: the last fault, or why the last session was lost. `silence`: why there is none now,
    as far as this end can tell; empty while there is one.
    """

    up: bool = False
    since: float = 0.0
    sessions: int = 0
    announced: int = 0
    withdrawn: int = 0
    malformed: int = 0
    error: str = ""
    silence: str = ""


Stories = Map[str, Story]
_NEW: Final = Story()


def came(stories: Stories, peer: str, now: float) -> Stories:
    """A session came up."""
    old = stories.get(peer, _NEW)
    fresh = replace(old, up=True, since=now, sessions=old.sessions + 1, announced=0, withdrawn=0)
    fresh = replace(fresh, silence="")
    return stories.set(peer, fresh)


def went(stories: Stories, peer: str, reason: str, now: float) -> Stories:
    """A session was lost."""
    old = stories.get(peer, _NEW)
    return stories.set(peer, replace(old, up=False, since=now, error=reason[:_LONGEST] or old.error))


def missed(stories: Stories, peer: str, reason: str) -> Stories:
    """An attempt came to nothing."""
    old = stories.get(peer, _NEW)
    return stories if old.up else stories.set(peer, replace(old, silence=reason[:_LONGEST]))


def last_error(story: Story) -> str:
    """In words: what went wrong last, and why there is no session."""
    return "; now: ".join(one for one in (story.error, story.silence) if one)


def said(stories: Stories, updates: Iterable[tuple[str, Update]]) -> Stories:
    """Peers said something."""
    for peer, update in updates:
        old = stories.get(peer, _NEW)
        new = replace(
            old,
            announced=old.announced + len(update.announced),
            withdrawn=old.withdrawn + len(update.withdrawn),
            malformed=old.malformed + len(update.faults),
            error=update.faults[-1][:_LONGEST] if update.faults else old.error,
        )
        stories = stories.set(peer, new)
    return stories
