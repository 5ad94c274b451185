"""Whatever is posted, repeated, summed up, dropped and rebuilt, in any order: reports are those of a model.

The model is a dictionary of all intervals that were ever posted. It knows no sums.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from accounting.classes import INBOUND, Direction, direction_of
from accounting.ledger import Ledger
from accounting.ledger.check import check
from accounting.ledger.retention import Reason, release
from accounting.ledger.rollup import rebuild, roll
from accounting.ledger.tables import DAY, HOUR, hour_of
from accounting.records import Interval, Run
from accounting.report import Grouping, Query, report
from model.errors import Invalid
from model.ids import HostName
from tests.unit.accounting.examples import interval, owner_of

END = 3 * DAY
TENANTS = ("blue", "red")
TIMES = st.one_of(
    st.integers(0, END - 1),
    st.integers(0, END // HOUR - 1).flatmap(lambda h: st.sampled_from([h * HOUR, h * HOUR + HOUR - 1])),
)
"""Often the first and the last millisecond of an hour."""


@dataclass
class House:
    """A ledger beside its model. `dropped`: (host, hour) whose intervals went."""

    ledger: Ledger
    posted: dict[tuple[str, int], Interval] = field(default_factory=dict)
    dropped: set[tuple[str, int]] = field(default_factory=set)

    def post(self, batch: list[Interval]) -> None:
        new = {(i.run.host, i.sequence) for i in batch} - self.posted.keys()
        receipt = self.ledger.post(batch)
        assert (receipt.accepted, receipt.repeated) == (len(new), len(batch) - len(new))
        assert receipt.conflicts == ()
        self.posted |= {(i.run.host, i.sequence): i for i in batch}

    def release(self, before_ms: int) -> None:
        found = release(self.ledger, before_ms)
        assert all(reason is Reason.NOT_ROLLED for _, reason in found.refused)
        kept = {unit for unit, _ in found.refused}
        units = {(i.run.host, hour_of(i.to_ms)) for i in self.posted.values()}
        gone = {u for u in units if u[1] + HOUR <= before_ms} - kept
        self.dropped |= gone

    def compare(self, question: Query) -> None:
        from_ms, to_ms = question.from_ms, question.to_ms
        inside = [
            i for i in self.posted.values()
            if question.tenant in (None, i.owner.tenant_name) and from_ms <= i.to_ms < to_ms
            and direction_of(i.series[1]) is question.direction
        ]  # fmt: skip
        try:
            found = report(self.ledger, question)
        except Invalid:
            cut = {hour_of(at) for at in (from_ms, to_ms) if at % HOUR}
            assert cut & {hour for _, hour in self.dropped}, "refused without a reason"
            return
        sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
        for i in inside:
            keys = tuple(key_of(i, by) for by in question.by)
            for place, number in enumerate((i.packets, i.bytes, 1)):
                sums[keys][place] += number
        assert {r.keys: [r.packets, r.bytes, r.intervals] for r in found.rows} == sums
        assert found.bytes == sum(i.bytes for i in inside)
        carried = sum(i.bytes for i in inside if i.from_ms < from_ms)
        reach = sum(i.bytes for i in inside if i.from_ms < hour_of(i.to_ms) or i.from_ms < from_ms)
        assert carried <= found.straddling_bytes <= reach


def key_of(of: Interval, by: Grouping) -> str:
    """The key of its row."""
    ended = datetime.fromtimestamp(of.to_ms / 1000, UTC)
    return {
        Grouping.TENANT: of.owner.tenant_uid,
        Grouping.NETWORK: of.owner.network_uid,
        Grouping.PORT: of.owner.port_uid,
        Grouping.CLASS: str(of.series[1] % 256),
        Grouping.HOST: of.run.host,
        Grouping.HOUR: f"{ended:%Y-%m-%dT%H}:00:00Z",
        Grouping.DAY: f"{ended:%Y-%m-%d}",
    }[by]


QUESTIONS = st.builds(
    lambda tenant, from_ms, length, by, direction: Query(tenant, from_ms, from_ms + length, by, direction),
    st.sampled_from([None, *TENANTS]),
    TIMES,
    st.integers(1, 2 * DAY),
    st.lists(st.sampled_from(Grouping), min_size=1, max_size=len(Grouping), unique=True).map(tuple),
    st.sampled_from(Direction),
)


@st.composite
def batches(draw: st.DrawFn) -> list[Interval]:
    """Of one host; a number stands for one interval, so that repetitions are the same."""
    host = draw(st.sampled_from(["hv1", "hv2"]))
    found = []
    for sequence in draw(st.lists(st.integers(0, 60), min_size=1, max_size=12, unique=True)):
        # From the number itself: it always stands for the same. In few hours, so that they meet.
        ended = sequence % 5 * 14 * HOUR + [0, HOUR // 2, HOUR - 1][sequence % 3]
        port = sequence % 4
        found.append(
            interval(
                sequence,
                run=Run(HostName(host), "boot", "start"),
                series=(port, sequence % 2 + (INBOUND if sequence % 3 == 1 else 0), 1),
                class_name=f"class-{sequence % 2}",
                owner=owner_of(port, TENANTS[port % 2]),
                from_ms=max(ended - [1_000, HOUR, 30 * HOUR][sequence % 7 % 3], 0),
                to_ms=ended,
                packets=sequence + 1,
                bytes=1 << (sequence % 50),
            )
        )
    return found


ACTIONS = st.one_of(
    st.tuples(st.just("post"), batches()),
    st.tuples(st.just("post"), batches()),
    st.tuples(st.just("roll"), st.just(END) | TIMES),
    st.tuples(st.just("release"), st.just(END) | TIMES),
    st.tuples(st.just("both"), st.just(END)),
    st.tuples(st.just("rebuild"), st.just(0)),
    st.tuples(st.just("compare"), QUESTIONS),
)


@settings(max_examples=settings.default.max_examples // 3)  # each has a database of its own
@given(st.lists(ACTIONS, min_size=3, max_size=25))
def test_reports_are_those_of_the_model(actions):
    house = House(Ledger("sqlite://"))
    try:
        for name, value in actions:
            match name:
                case "post":
                    house.post(value)
                case "roll":
                    roll(house.ledger, value + HOUR)
                case "release":
                    house.release(value + HOUR)
                case "both":
                    roll(house.ledger, value + HOUR)
                    house.release(value + HOUR)
                case "rebuild":
                    rebuild(house.ledger)
                case "compare":
                    house.compare(value)
        for tenant in TENANTS:
            house.compare(Query(tenant, 0, END, (Grouping.PORT,)))
            house.compare(Query(tenant, DAY, 2 * DAY, (Grouping.CLASS, Grouping.DAY)))
        assert check(house.ledger, 0, END).hours == check(house.ledger, 0, END).days == ()
        roll(house.ledger, END + HOUR)
        for tenant in TENANTS:
            house.compare(Query(tenant, 0, END, (Grouping.HOST, Grouping.HOUR)))
            house.compare(Query(tenant, DAY + HOUR, 3 * DAY, (Grouping.NETWORK,)))
        house.compare(Query(None, 0, END, tuple(Grouping)))
    finally:
        house.ledger.close()
