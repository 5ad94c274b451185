"""Talk: what is said to UFM Enterprise in one round, in the words of its REST API, and what came of it.

Place: effects between `ufm`, which decides, and `https`. Documented calls only, none of those
that it calls deprecated. Must not take a kind answer for the deed: what is read afterwards counts, and a job
that UFM speaks of (202) is not followed. Must not ask again when it was said that we may not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from ipam.fabric.credential import Credential
from ipam.fabric.https import Answer, Server, Trouble, Unanswered
from ipam.fabric.members import Change, Deed, Garbled, Members, Seat, parse_all, parse_one
from model.errors import Fault
from model.fabric import FULL_MEMBER, Fabric, Guid, PKey

MOST_GUIDS: Final = 128
"""Of one request: their names stand in the line of the request when they are taken out, and web servers allow
8,190 bytes there."""
_PARTITIONS: Final = "/resources/pkeys"
_WITH_GUIDS: Final = "?guids_data=true"
_QUOTED: Final = 120
_SHORT: Final = 1 << 16


class Came(Enum):
    """What came of a change. DONE: UFM says so. MAYBE: it was asked, and may do it yet. NOT: it was not
    asked, or did not do it, and may do it another time. REFUSED: it won't. BARRED: not for us.
    """

    DONE = "done"
    MAYBE = "maybe"
    NOT = "not"
    REFUSED = "refused"
    BARRED = "barred"


@dataclass(slots=True)
class Talk:
    """Of one round. `faults`: what went wrong, by rule, newest last. `barred`: nothing more is asked.
    `forbidden`: nothing more is changed.
    """

    server: Server
    credential: Credential
    fabric: Fabric
    faults: dict[str, Fault] = field(default_factory=dict)
    barred: bool = False
    forbidden: bool = False

    def everyone(self) -> Members | None:
        """All partitions with their members; None = it was not to be had, see `faults`."""
        answer = self._ask("GET", f"{_PARTITIONS}{_WITH_GUIDS}")
        if answer is None:
            return None
        if answer.status != 200:
            self._judge(answer)
            return None
        try:
            return parse_all(answer.body, self.fabric)
        except Garbled as error:
            self._fault("ufm-garbled", f"its answer is not understood: {error}", "see its version and log")
            return None

    def partition(self, pkey: PKey) -> tuple[bool, Mapping[Guid, Seat] | None]:
        """Whether it was told, and the members of one; None = it is not there."""
        answer = self._ask("GET", f"{_PARTITIONS}/{_key(pkey)}{_WITH_GUIDS}")
        if answer is None:
            return False, None
        if answer.status == 404:
            return True, None
        if answer.status != 200:
            self._judge(answer)
            return False, None
        try:
            return True, parse_one(answer.body, pkey)
        except Garbled as error:
            self._fault("ufm-garbled", f"its answer is not understood: {error}", "see its version and log")
            return False, None

    def carry(self, change: Change) -> Came:
        """At most MOST_GUIDS in one. Twice does what once does."""
        names = [f"{guid:016x}" for guid in change.guids]
        if change.deed is Deed.TAKE:
            return self._do("DELETE", f"{_PARTITIONS}/{_key(change.pkey)}/guids/{','.join(names)}")
        told = {
            "pkey": _key(change.pkey),
            "guids": names,
            "membership": "full" if change.level == FULL_MEMBER else "limited",
            "index0": True,
            "ip_over_ib": True,
        }
        return self._do("POST", _PARTITIONS, json.dumps(told).encode())

    def close(self, pkey: PKey) -> Came:
        """Away with a partition, all members included."""
        return self._do("DELETE", f"{_PARTITIONS}/{_key(pkey)}")

    def _do(self, method: str, path: str, body: bytes | None = None) -> Came:
        if self.barred or self.forbidden:
            return Came.BARRED
        try:
            answer = self._exchange(method, path, body, _SHORT)
        except Unanswered as error:
            self._unanswered(error)
            if error.why is Trouble.DISTRUSTED:
                return Came.BARRED
            return Came.NOT if error.why is Trouble.AWAY else Came.MAYBE
        return self._judge(answer)

    def _ask(self, method: str, path: str) -> Answer | None:
        if self.barred:
            return None
        try:
            return self._exchange(method, path)
        except Unanswered as error:
            self._unanswered(error)
            return None

    def _exchange(self, method: str, path: str, body: bytes | None = None, most: int | None = None) -> Answer:
        whole = self.credential.prefix + path
        if most is None:
            return self.server.ask(method, whole, self.credential.authorization, body)
        return self.server.ask(method, whole, self.credential.authorization, body, most)

    def _judge(self, answer: Answer) -> Came:
        status, words = answer.status, self._quoted(answer.body)
        if status in (200, 201, 204):
            return Came.DONE
        if status == 202:
            return Came.MAYBE
        if status in (401, 403):
            self.barred, self.forbidden = status == 401, True
            remedy = "see user and password, or whether the token has run out" if status == 401 else _RIGHTS
            self._fault("ufm-denied", f"it denies us ({status}){words}", remedy)
            return Came.BARRED
        if 300 <= status < 400:
            self.barred = True
            self._fault("ufm-redirect", f"it sends us elsewhere ({status})", "give the address that answers")
            return Came.BARRED
        if status in (408, 409, 425, 429) or status >= 500:
            self._fault("ufm-busy", f"it can't do it now ({status}){words}", "see its log and its health")
            return Came.NOT if status in (409, 425, 429) else Came.MAYBE
        self._fault("ufm-refused", f"it refuses ({status}){words}", "see its log: GUID, key or version")
        return Came.REFUSED

    def _unanswered(self, error: Unanswered) -> None:
        if error.why is Trouble.DISTRUSTED:
            self.barred = True
            self._fault(
                "ufm-distrusted", str(error), "see its certificate, the authorities' file and the pin"
            )
        elif error.why is Trouble.ODD:
            self._fault("ufm-garbled", str(error), "see what answers at that address")
        else:
            self._fault(f"ufm-{error.why.value}", str(error), "see that it runs and can be reached")

    def _fault(self, rule: str, message: str, remedy: str) -> None:
        self.faults.pop(rule, None)
        name = f"UFM {self.server.address.host}:{self.server.address.port}"
        self.faults[rule] = Fault(name, rule, message, remedy)

    def _quoted(self, body: bytes) -> str:
        """The beginning of what it says, if it is a text for people and has nothing of the secret."""
        text = body[: 4 * _QUOTED].decode("utf-8", "replace").strip()
        if not text or text.startswith("<") or not self.credential.clean(body.decode("utf-8", "replace")):
            return ""
        return ": " + "".join(c if c.isprintable() else " " for c in text[:_QUOTED])


_RIGHTS: Final = "give the account a role that may change partitions"


def _key(pkey: PKey) -> str:
    return f"0x{pkey:x}"
