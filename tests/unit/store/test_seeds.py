"""What instances are told, in a real store: written with their ports, read by the hosts of these alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.store.seeds import format_seed, parse_seed
from controller.store.server import Server
from controller.store.writer import Store
from model.change import Part
from model.seed import LONGEST_DATA, NOTHING, Seed
from model.wanted import Kind, Reference, WantedSeed
from tests.unit.ipam.test_seeds import KEY
from tests.unit.store.house import Collector, apply, base, delete, poll, port, watching

DATA = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)


@given(st.builds(Seed, st.sampled_from(["", "web"]), st.sampled_from([(), (KEY,), (KEY, KEY)]), DATA))
def test_it_is_read_back(seed: Seed) -> None:
    assert parse_seed(format_seed(seed)) == seed
    assert parse_seed('{"unheard_of":1}') == NOTHING


@pytest.mark.parametrize(
    "text",
    [
        *(
            "{",
            "[]",
            "7",
            '{"first":1}',
            '{"keys":"x"}',
            '{"keys":["x"]}',
            '{"data":null}',
            '{"data":"\\u0000"}',
        ),
        json.dumps({"data": "x" * (LONGEST_DATA + 1)}),
        json.dumps({"keys": [KEY] * 33}),
    ],
)
def test_what_does_not_fit_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_seed(text)


def told(seen: Collector) -> dict[int, Seed]:
    return {sown.port: sown.seed for sown in seen.part(Part.SEED).values()}


@pytest.fixture
def peopled(store: Store) -> Iterator[Store]:
    seed = WantedSeed(keys=(KEY,), data="#!/bin/sh")
    apply(store, *base(), port("web", "h1", seed=seed), port("plain", "h1"), port("b", "h2"))
    yield store


def key(store: Store, name: str) -> int:
    return store.contents().ports["acme", name].value.key


def test_it_is_kept_with_its_port_and_goes_with_it(peopled: Store) -> None:
    def held() -> dict[str, Seed]:
        whole, cached = peopled.read_all(), peopled.contents()
        poll(lambda: peopled.contents() == replace(whole, taken=peopled.contents().taken))
        assert cached is not None
        return {name: record.seed for (_, name), record in whole.ports.items()}

    assert held() == {"web": Seed("", (KEY,), "#!/bin/sh"), "plain": NOTHING, "b": NOTHING}
    apply(peopled, port("web", "h1", seed=WantedSeed(data="")), port("b", "h2", seed=WantedSeed("web")))
    assert held() == {"web": Seed("", (KEY,)), "plain": NOTHING, "b": Seed("web")}
    apply(peopled, port("web", "h1", seed=WantedSeed(keys=())), port("b", "h2"))
    assert held()["web"] == NOTHING
    apply(peopled, port("web", "h1", "h2", seed=WantedSeed(data="x")))
    assert held()["web"] == Seed(data="x")
    delete(peopled, Reference(Kind.PORT, "b", "acme"), Reference(Kind.PORT, "web", "acme"))
    assert held() == {"plain": NOTHING}
    apply(peopled, port("web", "h1"))
    assert held()["web"] == NOTHING, "nothing is left of the other port of that name"


def test_hosts_of_the_port_alone_hear_of_it(server: Server, peopled: Store) -> None:
    web = key(peopled, "web")
    with watching(server.remote, "h1") as one, watching(server.remote, "h2") as two:
        assert told(one) == {web: Seed("", (KEY,), "#!/bin/sh")} and told(two) == {}
        assert key(peopled, "plain") in two.part(Part.PORT), "the control: all ports of the tenant are known"
        apply(peopled, port("web", "h1", "h2"))
        two.wait(lambda: told(two) == told(one))
        apply(peopled, port("web", "h2", seed=WantedSeed(data="other")))
        one.wait(lambda: told(one) == {})
        two.wait(lambda: told(two) == {web: Seed("", (KEY,), "other")})
        delete(peopled, Reference(Kind.PORT, "web", "acme"))
        two.wait(lambda: told(two) == {})
