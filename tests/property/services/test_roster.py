"""The roster follows the agent's file as if it had read it for the first time, whatever came between."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from controller.agent import disk
from controller.agent.shelf import Shelf
from controller.services import roster
from controller.services.roster import Roster
from model.ids import HostName, PortKey, Uid
from model.intent import StaticRoute
from model.seed import Seed, Sown
from model.snapshot import Snapshot
from tests.fakes.tenants import ACME, RIVAL, gang, network, port, tenant
from tests.fakes.world import added

EMPTY: Final = roster.empty("internal")
ADDRESSES: Final = ("10.0.0.2", "10.0.0.3", "fd00::2")

tenants = st.lists(
    st.builds(lambda key, name: tenant(name, key), st.sampled_from((ACME, RIVAL)), st.sampled_from("ab")),
    unique_by=(lambda one: one.key, lambda one: one.name),
)
networks = st.lists(
    st.builds(
        lambda key, name, owner, subnets: network(name, key, owner, *subnets),
        st.integers(1, 3),
        st.sampled_from(("n1", "n2", "n3")),
        st.sampled_from((ACME, RIVAL)),
        st.sampled_from((("10.0.0.0/24",), ("10.1.0.0/24", "fd00::/64"))),
    ),
    unique_by=lambda one: one.key,
)
ports = st.lists(
    st.builds(
        lambda key, home, addresses: port(f"p{key}", key, home, *addresses),
        st.integers(1, 6),
        st.integers(1, 4),
        st.lists(st.sampled_from(ADDRESSES), unique=True, max_size=2),
    ),
    unique_by=lambda one: one.key,
)
gangs = st.dictionaries(
    st.integers(1, 3),
    st.builds(gang, st.sampled_from("ab"), st.sampled_from(("job", "train")), st.just(("10.9.0.1",))),
    max_size=2,
)
seeds = st.dictionaries(
    st.integers(1, 6), st.builds(Seed, st.sampled_from(("", "p1", "p2")), data=st.sampled_from(("", "x")))
)

routes = st.lists(
    st.builds(
        lambda number, owner, prefix: StaticRoute(Uid(f"r{number}"), owner, "r", ip_network(prefix), ()),
        st.integers(1, 3),
        st.sampled_from((ACME, RIVAL)),
        st.sampled_from(("10.9.0.0/16", "0.0.0.0/0", "fd09::/64")),
    ),
    unique_by=lambda one: one.uid,
)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    made = added(
        Snapshot(HostName("hv1")),
        *draw(tenants),
        *draw(networks),
        *(replace(one, hosts=(HostName("hv1"),)) for one in draw(ports)),
    )
    rolls = {number: replace(one, generation=number) for number, one in draw(gangs).items()}
    sown = {PortKey(key): Sown(PortKey(key), seed) for key, seed in draw(seeds).items()}
    made = replace(made, static_routes=Map({one.uid: one for one in draw(routes)}))
    return replace(made, gangs=Map(rolls), seeds=Map(sown))


def bare(found: Roster) -> Roster:
    """Without how it came to be."""
    return replace(found, others=(), read=None)


@given(st.lists(snapshots(), min_size=1, max_size=5))
def test_step_by_step_is_the_same_as_at_once(steps: list[Snapshot]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / roster.FILE
        shelf, known, told = Shelf(path), EMPTY, EMPTY
        for step in steps:
            shelf.save(step)
            before, known = known, _loaded(path, known)
            told = roster.read(step, told)
            assert bare(known) == bare(_loaded(path, EMPTY)) == bare(told)
            assert known.read is not None
            changed = {key for key, asker in before.askers.items() if known.askers.get(key) != asker}
            assert {*known.others} >= changed
            assert {key for key in known.others if known.askers.get(key) == before.askers.get(key)} == set()
            for key in known.askers:
                assert roster.facts(known, known.askers[key]) == roster.facts(told, told.askers[key])
        assert disk.load(path) == steps[-1]


def _loaded(path: Path, known: Roster) -> Roster:
    found = roster.load(path, known)
    assert found is not None
    return found
