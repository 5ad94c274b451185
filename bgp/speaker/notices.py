"""Notices: what ExaBGP says of a session that ended by a NOTIFICATION, in words (RFC 4271 section 4.5).

Place: asked by `bgp.speaker.relay` for the reason that is told. Pure. Must not guess: what it doesn't know
stays as it is.
"""

from __future__ import annotations

import re
from typing import Final

_NOTIFICATION: Final = re.compile(r"notification (sent|received) \((\d{1,3}),(\d{1,3})\)")
_CODES: Final = {
    1: "message header error",
    2: "OPEN refused",
    3: "UPDATE refused",
    4: "hold timer expired",
    5: "message out of place",
    6: "cease",
    7: "route refresh refused",
}
"""RFC 4271 section 4.5; 7: RFC 7313 section 5."""
_REASONS: Final = {
    (2, 1): "another BGP version",
    (2, 2): "bad peer AS: --asn of the speaker is not what the peer expects, or the other way round",
    (2, 3): "bad BGP identifier: two have the same --router-id, or one is 0.0.0.0",
    (2, 4): "an optional parameter that it does not know",
    (2, 6): "hold time not taken: see --hold",
    (2, 7): "a capability is missing: switch on l2vpn evpn for this neighbour on both ends",
    (6, 1): "too many prefixes",
    (6, 2): "shut down by its operator",
    (6, 3): "the neighbour was taken out of its configuration",
    (6, 4): "reset by its operator",
    (6, 5): "connection rejected: it does not know this host, or refuses it",
    (6, 6): "another of its settings changed",
    (6, 7): "two connections at once, this one gave way",
    (6, 8): "out of resources",
    (6, 9): "hard reset",
    (6, 10): "BFD lost",
}
"""RFC 4271 section 6.2; RFC 5492 section 5; RFC 4486 section 4; RFC 8538 section 3; RFC 9384 section 3."""


def explain(reason: str) -> str:
    """The reason with the meaning of its NOTIFICATION, and who said it."""
    found = _NOTIFICATION.search(reason)
    if found is None:
        return reason
    code, subcode = int(found[2]), int(found[3])
    who = "the speaker" if found[1] == "sent" else "the peer"
    words = [_CODES.get(code, ""), _REASONS.get((code, subcode), "")]
    meaning = ": ".join(word for word in words if word) or "a code that no RFC of ours has"
    return f"{who} ended it by NOTIFICATION {code}/{subcode}: {meaning}"
