"""`ringfence egress explain` and `sums`, as typed, against a real API on a unix socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from accounting.classes import INBOUND, UNCLASSIFIED
from accounting.ledger import HOURS, sqlite_url
from accounting.ledger.rollup import roll
from accounting.ledger.tables import HOUR
from accounting.records import Run
from controller.api.usage_explain import usage_explain
from controller.cli import egress_explain, main
from controller.cli.commands import OK, REFUSED, USAGE
from model.ids import HostName, PortKey
from pipelines import cookies
from tests.unit.accounting.examples import gap, interval, owner_of
from tests.unit.accounting.test_upload import Site

NOV = 1_793_491_200_000
"""2026-11-01T00:00:00Z in milliseconds."""
WORDS: dict[str, int | None] = {}
"""What hosts say."""
MONTH = ["--tenant", "blue", "--from", "2026-11-01", "--to", "2026-12-01"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("explain")
    made = Site(folder, sqlite_url(folder / "ledger.db"))
    made.up(usage_explain(made.ledger, lambda: WORDS))
    made.ledger.post(
        [
            interval(1, from_ms=NOV - 5, to_ms=NOV + 1_000, packets=2, bytes=200, counter=(2, 228)),
            interval(2, from_ms=NOV + 1_000, to_ms=NOV + 2_000, packets=3, bytes=300, counter=(5, 570)),
            interval(3, from_ms=NOV, to_ms=NOV + 2_000, packets=1, bytes=7, series=(8, 0, 1),
                     owner=owner_of(8), class_name="same-network", counter=(1, 21)),
            interval(4, run=Run(HostName("hv2"), "b", "s"), from_ms=NOV, to_ms=NOV + HOUR, bytes=1_000),
            gap(5, from_ms=NOV, to_ms=NOV + 5_000, bound=999),
        ]
    )  # fmt: skip
    made.ledger.post([interval(2, from_ms=NOV + 1_000, to_ms=NOV + 2_000, bytes=301)])
    yield made
    made.down()
    made.journal.close()
    made.ledger.close()


def _run(site: Site, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        code = main.main(["--api", f"unix:{site.socket}", "egress", *words])
    except SystemExit as stop:
        code = stop.code
    out = capsys.readouterr()
    return code, out.out, out.err


def test_a_figure_is_explained_for_people(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(site, capsys, "explain", *MONTH, "--port", "vm7", "--host", "hv1", "--intervals")
    assert code == OK
    cookie = f"{cookies.account(PortKey(7), 1, 3):#x}"
    for text in (
        "sent by tenant blue, port vm7, host hv1, 2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z (UTC)",
        "500 bytes (about 500 B), 5 packets, 2 intervals",
        "0 to 570  yes",
        f"{cookie}: what port vm7 (key 7) sent to class everything-else (1): table=account, "
        "reg1=0x7,reg3=0x1",
        "Data path netdev: 570 bytes as the switch counts - 14 x 5 packets = 500 bytes of layer 3",
        "Gap of port vm7 on hv1, 2026-11-01T00:00:00Z to 2026-11-01T00:00:05Z: at most 999 bytes more "
        "(vswitchd-ended): ovs-vswitchd ended between two readings",
        "Refused once: hv1 posted 301 bytes of port vm7, 2026-11-01T00:00:02Z, where the ledger holds 300",
        "200 bytes are of 1 intervals that began before --from and ended after it",
        "May still come: hv1",
    ):
        assert text in out
    assert out.splitlines()[-1] == (
        "The parts add up to the figure exactly: 500 bytes, 5 packets, 2 intervals."
    )
    assert "hv2" not in out


def test_what_a_port_got_is_explained_by_its_own_flow(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    got, past = 1 | INBOUND, UNCLASSIFIED
    site.ledger.post(
        [
            interval(60, to_ms=NOV + 5, series=(7, got, 3), owner=owner_of(7, "green"), counter=(10, 1_140)),
            interval(
                61,
                to_ms=NOV + 5,
                series=(7, past, 3),
                owner=owner_of(7, "green"),
                datapath="vf",
                header_bytes=0,
            ),
        ]
    )
    green = ["explain", "--tenant", "green", "--from", "2026-11-01", "--to", "2026-12-01"]
    code, out, _ = _run(site, capsys, *green, "--direction", "in", "-o", "json")
    (flow,) = json.loads(out)["flows"]
    assert (code, flow["table"], flow["match"]) == (OK, "received", "reg10=0x7,reg3=0x1")
    assert flow["cookie"] == f"{cookies.account_in(PortKey(7), 1, 3):#x}"
    assert flow["words"] == "what port vm7 (key 7) got from outside, from class everything-else (1)"
    _, out, _ = _run(site, capsys, *green, "-o", "json")
    (flow,) = json.loads(out)["flows"]
    assert (flow["cookie"], flow["words"]) == (None, "what port vm7 (key 7) sent past the switch")
    code, out, _ = _run(site, capsys, *green)
    assert (code, "hv1: what port vm7 (key 7) sent past the switch" in out) == (OK, True)
    assert "Devices (vf): 1,000 bytes with layer 2" in out


def test_json_holds_every_interval_however_many_pages(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress_explain, "PAGE", 1)
    code, out, _ = _run(site, capsys, "explain", *MONTH, "-o", "json")
    found = json.loads(out)
    assert code == OK
    assert found["exact"] is True
    assert found["figure"]["bytes"] == found["parts"]["together"]["bytes"] == 1507
    assert [row["bytes"] for row in found["intervals"]] == [200, 300, 7, 1_000]
    assert (found["intervalsComplete"], found["intervalsTogether"]["bytes"]) == (True, 1507)
    assert sum(flow["bytes"] for flow in found["flows"]) == 1507
    assert found["intervals"][0]["layer2Bytes"] == 228


def test_a_host_that_says_that_this_is_all_is_not_waited_for(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = ["explain", "--tenant", "blue", "--from", "2026-11-01", "--to", "2026-11-01T01:00"]
    assert "May still come: hv1" in _run(site, capsys, *hour)[1]
    monkeypatch.setitem(WORDS, "hv1", NOV + HOUR - 1)
    assert "May still come: hv1" in _run(site, capsys, *hour)[1]
    monkeypatch.setitem(WORDS, "hv1", NOV + HOUR)
    out = _run(site, capsys, *hour)[1]
    assert "All hosts that sent for this tenant have told up to --to." in out


def test_a_report_of_nothing_is_explained_as_nothing(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(site, capsys, "explain", "--tenant", "nobody", "--from", "2026-11-01", "-o", "json")
    assert (code, json.loads(out)["intervals"]) == (OK, [])
    code, out, err = _run(site, capsys, "explain", "--tenant", "nobody", "--from", "2026-11-01")
    assert (code, out.splitlines()[-1].startswith("The parts add up")) == (OK, True)
    assert "holds nothing of tenant 'nobody'" in err


def test_a_row_that_is_not_there_is_refused(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _run(site, capsys, "explain", *MONTH, "--class", "storage")
    assert code == REFUSED
    assert "no row of class 'storage'; it has everything-else, same-network" in err


def test_parts_that_are_not_the_figure_are_said_loudly(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    roll(site.ledger, NOV + 2 * HOUR)
    spoiled = sa.update(HOURS).where(HOURS.c.host == "hv2").values(bytes=HOURS.c.bytes + 1)
    period = ["--tenant", "blue", "--from", "2026-11-01", "--to", "2026-11-01T02:00"]
    with site.ledger.writing() as connection:
        connection.execute(spoiled)
    try:
        code, out, err = _run(site, capsys, "explain", *period)
        assert code == REFUSED
        assert "THE PARTS ARE NOT THE FIGURE: they are 1,507 bytes" in out
        assert "ringfence egress sums check" in err
        code, out, _ = _run(site, capsys, "sums", "check", "--from", "2026-11-01", "--to", "2026-12-31")
        assert code == REFUSED
        assert "hour 2026-11-01T01:00:00Z of hv2: the sum is not that of its parts" in out
        assert _run(site, capsys, "sums", "rebuild")[0] == USAGE, "it wants to be meant"
        code, out, _ = _run(site, capsys, "sums", "rebuild", "--yes")
        assert (code, out) == (OK, "2 hours of hosts will be summed up anew; see: ringfence egress sums\n")
        code, out, err = _run(site, capsys, "sums")
        assert code == OK
        assert "to be summed up                      2" in out
        assert "2026-11-01T00:00:00Z" in err
        assert _run(site, capsys, "explain", *period)[0] == OK, "a report reads intervals meanwhile"
    finally:
        roll(site.ledger, NOV + 2 * HOUR)
    code, out, _ = _run(site, capsys, "sums", "check", "--from", "2026-11-01", "--to", "2026-12-31")
    assert (code, out) == (
        OK,
        "2 hours of hosts compared with their intervals, and days with hours: all agree\n",
    )
    found = json.loads(_run(site, capsys, "sums", "check", "--from", "2026-11-01", "-o", "json")[1])
    assert found == {"hours": 2, "hoursThatDiffer": [], "daysThatDiffer": []}


@pytest.mark.parametrize(
    "words",
    [
        ["explain", "--from", "tomorrow"],
        ["explain", "--from", "now", "--to", "-1h"],
        ["explain", "-n", "0"],
        ["explain", "-o", "csv"],
        ["explain", "--colour", "red"],
        ["sums", "mend"],
        ["sums", "check", "--from", "now", "--to", "-1h"],
    ],
)
def test_wrong_use_says_so(site: Site, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, out, err = _run(site, capsys, *words)
    assert (code, out) == (USAGE, "")
    assert err.startswith("usage: ")


@pytest.mark.parametrize(
    "after", ["x", "e30=", "W10=", "W3siZXF1YWxzIjpbWyJkaWdlc3QiLDFdXX0sW11d", "ä", "%00"]
)
def test_a_page_that_follows_none_is_refused(site: Site, after: str) -> None:
    target = f"/v1/usage/explain/intervals?from={NOV}&to={NOV + 1}&after={quote(after)}"
    status, found = site.ask("GET", target)
    assert (status, found["faults"][0]["rule"]) == (422, "malformed-page")
    status, found = site.ask("GET", f"/v1/usage/explain?from={NOV}&to={NOV}")
    assert (status, found["faults"][0]["rule"]) == (422, "time-order")
