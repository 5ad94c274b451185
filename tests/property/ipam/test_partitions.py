"""Partitions as a file: what is written is read back, by us and by OpenSM; what is damaged never passes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ipam.fabric.grammar import PartitionsError, parse, render
from ipam.fabric.partitions import Partition, Partitions
from model.fabric import DEFAULT_PKEY, Guid, PKey
from tests.fakes.opensm import read

GUIDS = st.integers(1, (1 << 64) - 2).map(Guid)


@st.composite
def wanted(draw: st.DrawFn) -> Partitions:
    managers = draw(st.sets(GUIDS, max_size=2))
    keys = draw(st.sets(st.integers(1, 0x7FFE), max_size=4))
    tenants = []
    for key in sorted(keys):
        guids = sorted(draw(st.sets(GUIDS, min_size=1, max_size=4)))
        full = draw(st.integers(0, len(guids)))
        tenants.append(Partition(PKey(key), tuple(guids[:full]), tuple(guids[full:])))
    return Partitions(tuple(sorted(managers)), tuple(tenants))


def meant(partitions: Partitions) -> dict[int, dict[str | int, bool]]:
    members: dict[int, dict[str | int, bool]] = {
        int(DEFAULT_PKEY): {"ALL": False, "SELF": True} | dict.fromkeys(map(int, partitions.managers), True)
    }
    for each in partitions.tenants:
        members[int(each.pkey)] = dict.fromkeys(map(int, each.full), True) | dict.fromkeys(
            map(int, each.limited), False
        )
    return members


@given(wanted())
def test_what_is_written_is_read_back(partitions: Partitions) -> None:
    text = render(partitions)
    assert parse(text) == partitions
    assert render(parse(text)) == text
    assert read(text).members == meant(partitions)
    assert all(read(text).flags[int(each.pkey)] == {"indx0", "ipoib"} for each in partitions.tenants)


EDITS = st.lists(
    st.tuples(
        st.integers(0, 100_000),
        st.integers(0, 12),
        st.one_of(st.text(alphabet="0x1f,;:=#\n \tALSEFdefulimtb", max_size=6), st.text(max_size=2)),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=200)
@given(wanted(), EDITS)
def test_what_is_damaged_is_refused_or_means_the_same_to_both(
    partitions: Partitions, edits: list[tuple[int, int, str]]
) -> None:
    """Never does OpenSM understand something else than what we accepted."""
    text = render(partitions)
    for place, gone, put in edits:
        at = place % (len(text) + 1)
        text = text[:at] + put + text[at + gone :]
    try:
        accepted = parse(text)
    except PartitionsError:
        return
    assert read(text).members == meant(accepted)


@given(wanted(), st.integers(0, 100_000))
def test_a_file_cut_short_is_never_taken_for_the_whole(partitions: Partitions, place: int) -> None:
    text = render(partitions)
    cut = text[: place % len(text)]
    try:
        accepted = parse(cut)
    except PartitionsError:
        return
    assert accepted != partitions
    assert cut.endswith(";\n")


@given(st.text(max_size=300))
def test_garbage_never_passes(text: str) -> None:
    try:
        parse(text)
    except PartitionsError:
        return
    raise AssertionError("accepted")
