"""Representors and the bridge: what is put in, taken out, and left alone."""

from __future__ import annotations

from ipam.devices.netdevs import Representor
from ipam.devices.plugs import Attached, Changes, Plug, changes
from model.hardware import PciAddress
from model.ids import Uid

PF = PciAddress(0x1800)
A, B = Uid("0000000a-0000-4000-8000-000000000000"), Uid("0000000b-0000-4000-8000-000000000000")
ENDS = [Representor(f"rep{vf}", PF, vf, "b8cef6") for vf in range(3)]


def test_a_representor_becomes_the_interface_of_the_port_that_its_vf_serves() -> None:
    assert changes([Plug(PF, 1, A)], ENDS, []) == Changes((), (("rep1", A),), ())


def test_what_is_right_is_left_alone_whoever_made_it() -> None:
    for marked in (True, False):
        assert changes([Plug(PF, 1, A)], ENDS, [Attached("rep1", A, marked)]) == Changes((), (), ())


def test_what_serves_no_port_any_more_or_another_is_taken_out_first() -> None:
    there = [Attached("rep0", A, True), Attached("rep1", B, True)]
    assert changes([Plug(PF, 1, A)], ENDS, there) == Changes(("rep0", "rep1"), (("rep1", A),), ())
    assert changes([], ENDS, [Attached("gone", A, True)]) == Changes(("gone",), (), ())


def test_interfaces_of_others_are_never_touched() -> None:
    there = [Attached("tap0", B, False), Attached("rep1", B, False), Attached("eth9", "", False)]
    made = changes([Plug(PF, 1, A)], ENDS, there)
    assert (made.detach, made.attach) == ((), ())
    assert [(fault.object, fault.rule) for fault in made.faults] == [("VF 1 of 0000:18:00.0", "not-ours")]


def test_a_vf_without_representor_is_told() -> None:
    made = changes([Plug(PF, 7, A), Plug(PF, 0, B)], ENDS, [])
    assert made.attach == (("rep0", B),)
    assert [fault.rule for fault in made.faults] == ["representor-missing"]


def test_of_two_that_claim_the_same_none_is_plugged_and_one_that_was_is_taken_out() -> None:
    both = changes([Plug(PF, 0, A), Plug(PF, 1, A)], ENDS, [Attached("rep0", A, True)])
    assert (both.detach, both.attach) == (("rep0",), ())
    assert [fault.rule for fault in both.faults] == ["port-twice"]
    ports = changes([Plug(PF, 0, A), Plug(PF, 0, B)], ENDS, [])
    assert ports.attach == ()
    assert [fault.rule for fault in ports.faults] == ["vf-twice"]
