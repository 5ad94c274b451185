"""What moved how often outlives the agent: killed, restarted later, rebooted, with a broken file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from immutables import Map

from bgp import learn, moves
from bgp.codec.update import Update
from bgp.table import Limits, Table
from bgp.trail import Damped, Past, Trail
from controller.agent.fights import Fights
from model.route import RemoteAddress
from model.snapshot import with_port
from tests.unit.bgp.test_learn import RR1, announced, hear, up, withdrawn
from tests.unit.bgp.test_moves import SPOT, fight, fought, where
from tests.unit.bgp.world import HERE, RED, ROAMING, mac, mac_route, port, world


@dataclass
class Life:
    """A life of the agent. `clock` begins anew with each; `wall` goes on."""

    directory: Path
    clock: float
    wall: float

    def fights(self) -> Fights:
        return Fights(self.directory, lambda: self.clock, lambda: self.wall)


def again(table: Table, before: Life, later: float, clock: float = 50.0) -> tuple[Table, Life]:
    """The table of the next life, `later` seconds on; its snapshot is as the last one saved it."""
    before.fights().keep(table)
    life = Life(before.directory, clock, before.wall + later)
    saved = replace(world(), remotes=table.remotes, claimed=table.claimed)
    return learn.restore(saved, Limits(), life.fights().recall()), life


def test_what_was_counted_before_a_restart_counts_after_it(tmp_path: Path) -> None:
    table, life = again(fight(up(), 4), Life(tmp_path, 5.0, 1000.0), 10.0)
    assert not table.damped and where(table) == "h2"
    table, _ = learn.peer_up(table, RR1, life.clock)
    table, _ = hear(table, RR1, announced(mac_route("h3", ROAMING, sequence=5)), life.clock + 1)
    assert list(table.damped) == [SPOT] and where(table) == "h2"


def test_but_not_what_was_too_long_ago(tmp_path: Path) -> None:
    table, life = again(fight(up(), 4), Life(tmp_path, 5.0, 1000.0), 178.0)
    table, _ = learn.peer_up(table, RR1, life.clock)
    table, _ = hear(table, RR1, announced(mac_route("h3", ROAMING, sequence=5)), life.clock + 1)
    assert not table.damped and where(table) == "h3"


def test_what_was_damped_stays_so_and_where_it_was(tmp_path: Path) -> None:
    """Also when the agent comes back again and again; only an operator, the store or silence ends it."""
    table, life = fight(up(), 5), Life(tmp_path, 6.0, 1000.0)
    for _ in range(3):
        table, life = again(table, life, 30.0)
        assert list(table.damped) == [SPOT] and where(table) == "h2"
        table, _ = learn.peer_up(table, RR1, life.clock)
        table, outcome = hear(table, RR1, announced(mac_route("h3", ROAMING, sequence=99)), life.clock)
        assert outcome == learn.Outcome()
    table, _ = learn.release(table, SPOT)
    table, _ = again(table, life, 1.0)
    assert not table.damped and not any(trail.moves for trail in table.trails.values())


def test_nobody_has_it_once_the_peers_have_replayed_without_it(tmp_path: Path) -> None:
    table, _ = hear(fight(up(), 5), RR1, withdrawn(mac_route("h3", ROAMING)), 10.0)
    table, _ = learn.tick(table, 11.0)
    table, life = again(table, Life(tmp_path, 11.0, 1000.0), 100.0)
    table, _ = learn.peer_up(table, RR1, life.clock)
    table, _ = learn.receive(table, RR1, Update(end_of_rib=True), life.clock + 1)
    table, _ = learn.tick(table, life.clock + 2)
    assert table.damped[SPOT].quiet is not None and where(table) == "h2"
    assert not learn.tick(table, life.clock + 183)[0].damped


def test_where_the_store_says_otherwise_meanwhile_it_is_not_damped(tmp_path: Path) -> None:
    table = fight(up(), 5)
    life = Life(tmp_path, 6.0, 1000.0)
    life.fights().keep(table)
    forbidden = with_port(world(), port(ROAMING, RED, ("h3",)))
    assert not learn.restore(forbidden, Limits(), life.fights().recall()).damped


def test_a_lost_contest_is_lost_after_a_restart(tmp_path: Path) -> None:
    table = up(snapshot=fought())
    for number in range(6):
        table, _ = hear(table, RR1, announced(mac_route("ext", HERE, sequence=3 + number)), number)
    assert moves.is_lost(table, HERE)
    life = Life(tmp_path, 6.0, 1000.0)
    life.fights().keep(table)
    assert moves.is_lost(learn.restore(fought(), Limits(), life.fights().recall()), HERE)


def test_addresses_are_kept_too_and_a_clock_that_was_set_back_makes_nothing_younger(tmp_path: Path) -> None:
    place = RemoteAddress(RED, ip_address("fd00::9"), mac(3), ip_address("192.0.2.3"), 7)
    spot = ("address", RED, place.address)
    past = Past(Map({spot: Damped(place, 2.0, 5)}), Map({spot: Trail(place, (1.0, 2.0), 2.0)}))
    life = Life(tmp_path, 10.0, 1000.0)
    life.fights().keep(replace(up(), damped=past.damped, trails=past.trails))
    found = Life(tmp_path, 10.0, 400.0).fights().recall()
    assert found == past and found.now == 10.0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}', '{"format": 1, "stamp": 1.0}', "\x00"])
def test_a_broken_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "moves").write_text(text)
    assert Life(tmp_path, 0.0, 0.0).fights().recall() == Past()


def test_a_file_cut_short_anywhere_counts_as_none(tmp_path: Path) -> None:
    life = Life(tmp_path, 6.0, 1000.0)
    life.fights().keep(fight(up(), 5))
    whole = (tmp_path / "moves").read_text()
    for size in range(0, len(whole), 31):
        (tmp_path / "moves").write_text(whole[:size])
        assert life.fights().recall() == Past()


def test_it_is_written_when_something_changed_and_only_then(tmp_path: Path) -> None:
    fights, table = Life(tmp_path, 6.0, 1000.0).fights(), fight(up(), 3)
    fights.keep(table)
    (tmp_path / "moves").unlink()
    fights.keep(learn.tick(table, 4.0)[0])
    assert not (tmp_path / "moves").exists()
    fights.keep(fight(up(), 4))
    assert (tmp_path / "moves").stat().st_mode & 0o777 == 0o600
