"""Operations on NICs in memory: they end as desired, are done once, survive a crash after each, and undo."""

from __future__ import annotations

import copy

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ipam.devices.desired import IDENTITY, DesiredPf, DesiredVf, Setting, VfDriver
from ipam.devices.operations import NATIVE, plan, undo
from model.hardware import Eswitch, PciAddress
from tests.fakes.nics import Host, Pf, Vf, bind

PFS = (PciAddress(0x1800), PciAddress(0x4000))
MOST = 6
VALUES = {
    Setting.MAC: st.sampled_from([0, 0x020000000001, 0x020000000002]),
    Setting.NODE_GUID: st.sampled_from([0, 2 << 56 | 2, 2 << 56 | 4]),
    Setting.PORT_GUID: st.sampled_from([0, 2 << 56 | 3, 2 << 56 | 5]),
    Setting.VLAN: st.sampled_from([(0, 0), (100, 0), (100, 3)]),
    Setting.RATES: st.sampled_from([(0, 0), (10, 1000)]),
    Setting.SPOOF: st.integers(0, 1),
    Setting.TRUST: st.integers(0, 1),
    Setting.LINK: st.integers(0, 2),
}


@st.composite
def vfs(draw: st.DrawFn, driver: str) -> Vf:
    made = Vf()
    made.settings |= draw(st.fixed_dictionaries(VALUES))
    bound = draw(st.sampled_from(["", NATIVE[driver], "vfio-pci"]))
    made.settings[Setting.OVERRIDE] = draw(st.sampled_from(["", bound]))
    if bound:
        bind(made, bound)
    return made


@st.composite
def pfs(draw: st.DrawFn) -> Pf:
    driver = draw(st.sampled_from(["mlx5_core", "igb"]))
    there = draw(st.one_of(st.just([]), st.lists(vfs(driver), min_size=1, max_size=MOST)))
    mode = draw(st.sampled_from(["legacy", "switchdev"]))
    return Pf(driver, MOST, draw(st.integers(0, 1)), mode, there)


@st.composite
def wishes(draw: st.DrawFn, pci: PciAddress) -> DesiredPf:
    wanted = []
    for index in sorted(draw(st.sets(st.integers(0, MOST - 1), max_size=4))):
        chosen = draw(st.fixed_dictionaries({}, optional=VALUES))
        # Nobody asks for a GUID that is nobody's.
        asked = {s: v for s, v in chosen.items() if v or s not in {Setting.NODE_GUID, Setting.PORT_GUID}}
        wanted.append(DesiredVf(index, draw(st.sampled_from(VfDriver)), asked))
    mode = draw(st.sampled_from([None, *Eswitch]))
    return DesiredPf(pci, draw(st.integers(0, MOST)), mode, tuple(wanted))


HOSTS = st.fixed_dictionaries({pci: pfs() for pci in PFS}).map(Host)
WISHES = st.tuples(*(wishes(pci) for pci in PFS))


def run(host: Host, wanted: tuple[DesiredPf, ...]) -> None:
    for one in plan(wanted, host.found()).operations:
        host.write(one)


def blocked(host: Host, wanted: tuple[DesiredPf, ...]) -> set[str]:
    return {fault.object for fault in plan(wanted, host.found()).faults}


def assert_as_desired(host: Host, wanted: tuple[DesiredPf, ...], faults: set[str]) -> None:
    for want in wanted:
        pf = host.pfs[want.pci]
        if any(f"{want.pci >> 8 & 0xFF:02x}:" in name for name in faults):
            continue
        there = [v for v in want.vfs if v.driver is not VfDriver.NONE or v.index < len(pf.vfs)]
        for one in there:
            vf = pf.vfs[one.index]
            native = NATIVE[pf.driver] if one.driver is VfDriver.NATIVE else one.driver.value
            assert vf.settings[Setting.DRIVER] == vf.settings[Setting.OVERRIDE] == native
            assert {s: vf.settings[s] for s in one.settings} == dict(one.settings)
            if one.driver is VfDriver.NATIVE:
                asked = [s for s in IDENTITY if s in one.settings]
                assert all(vf.read[s] == one.settings[s] for s in asked), "its driver read another identity"
        if any(v.driver is not VfDriver.NONE for v in want.vfs) and want.eswitch is not None:
            assert pf.eswitch == want.eswitch.value


@given(HOSTS, WISHES)
def test_what_is_desired_is_reached_and_then_nothing_is_left_to_do(
    host: Host, wanted: tuple[DesiredPf, ...]
) -> None:
    faults = blocked(host, wanted)
    run(host, wanted)
    assert_as_desired(host, wanted, faults)
    again = plan(wanted, host.found())
    assert again.operations == ()
    assert {fault.object for fault in again.faults} == faults


@given(HOSTS, WISHES)
def test_nothing_else_is_touched(host: Host, wanted: tuple[DesiredPf, ...]) -> None:
    before = copy.deepcopy(host.pfs)
    faults = blocked(host, wanted)
    run(host, wanted)
    ours = {(pf.pci, vf.index) for pf in wanted for vf in pf.vfs}
    for one in host.written:
        assert one.vf is None or (one.pf, one.vf) in ours
    for pci, pf in before.items():
        want = next(each for each in wanted if each.pci == pci)
        if not want.vfs or any(f"{pci >> 8 & 0xFF:02x}:" in name for name in faults):
            assert host.pfs[pci] == pf, "a PF without a gang, or one that can't be served, was changed"
        elif pf.vfs:
            after = host.pfs[pci]
            assert (after.autoprobe, after.eswitch, len(after.vfs)) == (pf.autoprobe, pf.eswitch, len(pf.vfs))
            for index, vf in enumerate(pf.vfs):
                assert (pci, index) in ours or after.vfs[index] == vf


@settings(max_examples=40)
@given(HOSTS, WISHES)
def test_a_crash_after_any_operation_is_mended_by_the_next_run(
    host: Host, wanted: tuple[DesiredPf, ...]
) -> None:
    faults = blocked(host, wanted)
    operations = plan(wanted, host.found()).operations
    for count in range(len(operations) + 1):
        crashed = copy.deepcopy(host)
        for one in operations[:count]:
            crashed.write(one)
        run(crashed, wanted)
        assert_as_desired(crashed, wanted, faults)
        assert plan(wanted, crashed.found()).operations == ()


@settings(max_examples=40)
@given(HOSTS, WISHES)
def test_undo_restores_what_was_from_any_point(host: Host, wanted: tuple[DesiredPf, ...]) -> None:
    operations = plan(wanted, host.found()).operations
    for count in range(len(operations) + 1):
        changed = copy.deepcopy(host)
        for one in operations[:count]:
            changed.write(one)
        for one in undo(operations[:count]):
            changed.write(one)
        for pf, old in zip(changed.pfs.values(), host.pfs.values(), strict=True):
            assert (pf.autoprobe, pf.eswitch, len(pf.vfs)) == (old.autoprobe, old.eswitch, len(old.vfs))
            for vf, was in zip(pf.vfs, old.vfs, strict=True):
                for setting, value in was.settings.items():
                    kept = setting in {Setting.NODE_GUID, Setting.PORT_GUID} and value == 0
                    assert kept or vf.settings[setting] == value, setting


@given(HOSTS, WISHES)
def test_each_operation_changes_something(host: Host, wanted: tuple[DesiredPf, ...]) -> None:
    """The shortest list: no write that finds already what it writes, but on VFs that were just made."""
    existed = {pci for pci, pf in host.pfs.items() if pf.vfs}
    assume(existed)
    for one in plan(wanted, host.found()).operations:
        if one.pf in existed:
            was = copy.deepcopy(host.pfs)
            host.write(one)
            assert host.pfs != was, one


def test_these_tests_see_every_kind_of_operation() -> None:
    host = Host({PFS[0]: Pf("igb"), PFS[1]: Pf("mlx5_core", vfs=[Vf()])})
    bind(host.pfs[PFS[1]].vfs[0], "mlx5_core")
    full = dict.fromkeys(VALUES, 1) | {Setting.VLAN: (5, 0), Setting.RATES: (0, 9)}
    wanted = (
        DesiredPf(PFS[0], 4, Eswitch.SWITCHDEV, (DesiredVf(2, VfDriver.NATIVE, full),)),
        DesiredPf(PFS[1], 4, None, (DesiredVf(0, VfDriver.VFIO, {Setting.MAC: 1, Setting.LINK: 2}),)),
    )
    run(host, wanted)
    assert {one.setting for one in host.written} == set(Setting)
    assert [one.setting for one in host.written if one.pf == PFS[1]] == [
        *(Setting.LINK, Setting.DRIVER, Setting.MAC, Setting.OVERRIDE, Setting.DRIVER),
    ]
    assert len(host.pfs[PFS[0]].vfs) == 4
    assert host.pfs[PFS[0]].autoprobe == 0
