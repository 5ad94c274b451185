"""Usage: agents post what they counted.

Place: the only door into the egress ledger. A host may post for itself alone: every record is keyed by the
batch's host. Who posts is not checked here: on the unix socket its mode is the trust (0660), over TLS
`controller.api.uploads` looks at the host's certificate first. Must not change or drop a record: all of a
batch is kept, or none.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from accounting.classes import CLASSES
from accounting.encode import billable
from accounting.ledger import Ledger
from accounting.records import Cause
from model.errors import Fault, Invalid
from model.ids import HostName

MAX_RECORDS: Final = 5_000
"""Records in one batch."""
_LAST: Final = 1 << 53
"""What JSON's readers hold exactly."""
_LAST_MS: Final = 1 << 47
"""In the year 6429: reports could not write the date of much later ones, whoever posts them."""

# No character 0: PostgreSQL has no place for it, and a batch that it refuses would come again for ever.
_PRINTED: Final = r"^[^\x00]*$"
Text = Annotated[str, Field(max_length=255, pattern=_PRINTED)]
Name = Annotated[str, Field(min_length=1, max_length=255, pattern=_PRINTED)]
Whole = Annotated[int, Field(ge=0, lt=1 << 63)]
Time = Annotated[int, Field(ge=0, lt=_LAST_MS)]
PortNumber = Annotated[int, Field(ge=1, lt=1 << 24)]


class _Strict(BaseModel):
    """No unknown keys, no text in place of numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OwnerBody(_Strict):
    """Whose port it was; all empty if the host did not know."""

    port_uid: Text
    port_name: Text
    tenant_uid: Text
    tenant_name: Text
    network_uid: Text
    network_name: Text


class _RecordBody(_Strict):
    boot_id: Name
    vswitchd_start: Name
    sequence: Annotated[int, Field(ge=0, lt=_LAST)]
    from_ms: Time
    to_ms: Time
    port: PortNumber
    owner: OwnerBody


class IntervalBody(_RecordBody):
    """Layer-3 bytes of one (port, class, epoch); `counter_*` are the flow's own, with layer 2."""

    kind: Literal["interval"]
    class_id: Annotated[int, Field(ge=0, lt=len(CLASSES), alias="class")]
    epoch: Annotated[int, Field(ge=0, lt=1 << 12)]
    class_name: Name
    packets: Whole
    bytes: Whole
    datapath: Annotated[str, Field(min_length=1, max_length=32, pattern=_PRINTED)]
    header_bytes: Annotated[int, Field(ge=0, le=64)]
    counter_packets: Whole
    counter_bytes: Whole


class GapBody(_RecordBody):
    """What could not be known. `bound`: bytes at most, null = unknown."""

    kind: Literal["gap"]
    cause: Annotated[str, Field(max_length=32)]
    bound: Whole | None


class BalanceBody(_RecordBody):
    """What the port's interface took in, null = not known, and what was counted of it, with layer 2."""

    kind: Literal["balance"]
    wire_bytes: Whole | None
    counted_bytes: Whole


Body = IntervalBody | GapBody | BalanceBody


class Batch(_Strict):
    """What one host uploads."""

    host: Name
    records: Annotated[list[Annotated[Body, Field(discriminator="kind")]], Field(max_length=MAX_RECORDS)]


class ReceiptBody(_Strict):
    """`conflicts`: keys that the ledger holds with other content; those records were refused and counted."""

    accepted: int
    repeated: int
    conflicts: list[str]


def usage(ledger: Ledger) -> APIRouter:
    """All routes of this file."""
    routes = APIRouter(prefix="/v1/usage", tags=["usage"])

    @routes.post("", response_model=ReceiptBody)
    def post(batch: Batch) -> JSONResponse:
        """Keep intervals, gaps and balances of one host. Safe to repeat; on disk when the answer comes."""
        return keep(ledger, batch)

    return routes


def keep(ledger: Ledger, batch: Batch) -> JSONResponse:
    """All of it, or Invalid; the answer is the receipt."""
    receipt = ledger.post([record_of(batch.host, body, place) for place, body in enumerate(batch.records)])
    return JSONResponse(asdict(receipt))


def record_of(host: str, body: Body, place: int) -> Any:
    """What the ledger keeps of one body. `place`: which of its batch it is, for the error. Invalid."""
    if body.from_ms > body.to_ms:
        raise _refused(place, "time-order", "it ends before it begins", "from_ms")
    if isinstance(body, GapBody) and body.cause not in {cause.value for cause in Cause}:
        raise _refused(place, "gap-cause", f"{body.cause!a} is no cause of a gap", "cause")
    return billable(HostName(host), body.model_dump(by_alias=True))


def _refused(place: int, rule: str, message: str, field: str) -> Invalid:
    remedy = "nothing of this batch was kept: post the others without it"
    return Invalid(Fault(f"usage record {place}", rule, message, remedy, f"records[{place}].{field}"))
