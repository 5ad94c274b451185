"""Which tests run in the guest, on the kernel data path: all of tests/integration but what is listed here.

Place: read by `python -m tests.kernel` and held together by a meta test. A file is left out for a reason that
has to do with the data path, not because it fails there; what is open says so. Labs are dear
there: minutes of a processor each.
"""

from __future__ import annotations

SHARED = "RINGFENCE_LAB_SHARED"
"""Set in the guest: files that want the same lab, one after another, use it together."""

EVERYTHING = ("tests/kernel", "tests/integration")

LEFT_OUT: tuple[tuple[str, str], ...] = (
    (
        "tests/integration/evpn",
        "BGP sessions, codec and guard, without a switch: no packet takes another way",
    ),
    (
        "tests/integration/topologies",
        "labs and their tools: no packet of the product",
    ),
    (
        "tests/integration/product/test_all.py",
        "how the processes of one machine are started and watched",
    ),
    (
        "tests/integration/product/test_store.py",
        "what survives while store and API are away",
    ),
    (
        "tests/integration/product/test_sight.py",
        "questions to agents; ovs-vswitchd, which answers them, compiles flows alike for both",
    ),
    (
        "tests/integration/product/test_compromised.py",
        "what hosts may say in BGP, judged before there is a flow",
    ),
    (
        "tests/integration/product/test_border.py",
        "a way out through a border, which test_outward.py takes as well",
    ),
    (
        "tests/integration/product/test_interop.py",
        "what other stacks make of our routes; packets to them take the ways of test_external.py",
    ),
    (
        "tests/integration/product/test_leaves.py",
        "rules of nftables on a switch of Linux: nothing passes Open vSwitch",
    ),
    (
        "tests/integration/product/test_opensm.py",
        "a simulated InfiniBand fabric: nothing passes Open vSwitch",
    ),
    (
        "tests/integration/devices/test_cni.py",
        "a CNI plugin that moves links between namespaces: nothing passes Open vSwitch",
    ),
    (
        "tests/integration/product/test_rails.py",
        "simulated NICs and InfiniBand: nothing passes Open vSwitch",
    ),
    (
        "tests/integration/product/test_outlets.py",
        "when interfaces come and go: their packets take the ways of any veth",
    ),
    (
        "tests/integration/product/test_reflectors.py",
        "which reflector is lost when: flows stay as they are",
    ),
    (
        "tests/integration/product/test_fuzz.py",
        "thousands of damaged frames: test_isolation.py's attacks take the same ways",
    ),
    (
        "tests/integration/product/test_floods.py",
        "how long answers take beside a flood, of which an emulated processor says nothing",
    ),
    (
        "tests/integration/product/test_bad_input.py",
        "hostile bytes for processes: store, API, agent and speaker, in front of any data path",
    ),
    (
        "tests/integration/product/test_ipv6_underlay.py",
        "another underlay, not another data path: the tables are those of test_mtu.py and test_routing.py",
    ),
    (
        "tests/integration/product/test_duplicates.py",
        "which of two claims a host believes, and when it stops following them: flows as for any MAC",
    ),
    (
        "tests/integration/product/test_drift.py",
        "flows that differ in the tables, in front of any data path; what mends them is compiled alike",
    ),
    (
        "tests/integration/product/test_classes.py",
        "changes at a standstill, as the limits of test_quality.py, which come and go there",
    ),
    (
        "tests/integration/product/test_egress.py::test_nothing_is_lost_or_billed_twice_while_the_centre_is_away",
        "journal and upload: what was counted has been counted",
    ),
    (
        "tests/integration/product/test_isolation.py::test_without_the_guard_the_spoofed_frames_arrive",
        "a control of the attacks: a flow is taken out, and they succeed; compiled alike for both",
    ),
    (
        "tests/integration/product/test_isolation.py::test_without_the_tunnel_check_the_forged_frames_arrive",
        "the same control, of what comes out of tunnels",
    ),
    (
        "tests/integration/product/test_restarts.py::test_reflector_killed_and_back_loses_nothing",
        "as test_reflectors.py: flows stay as they are",
    ),
    (
        "tests/integration/product/test_restarts.py::test_speaker_killed_and_back_loses_nothing",
        "flows stay as they are, whatever happens beside the agent",
    ),
    (
        "tests/integration/product/test_outward.py::test_a_trace_walks_to_the_gateway_and_out_to_the_border",
        "as test_sight.py: ovs-vswitchd, which answers, compiles flows alike for both",
    ),
    (
        "tests/integration/product/test_outward.py::test_a_trace_walks_over_three_hosts_and_two_translations",
        "as test_sight.py: ovs-vswitchd, which answers, compiles flows alike for both",
    ),
    (
        "tests/integration/product/test_quality.py::test_the_limit_of_one_receiver_is_nobody_elses",
        "a copy for each receiver, as in test_who_is_sent_too_much_loses_it_and_the_sender_pays",
    ),
    (
        "tests/integration/product/test_quality.py::test_a_rate_changes_under_traffic_and_no_count_is_lost",
        "a meter that is changed in its place: the flows stay as they are",
    ),
    (
        "tests/integration/product/test_quality.py::test_a_connection_lives_with_its_limit[4]",
        "TCP against a meter, which an emulated processor takes minutes for; seen to pass there",
    ),
    (
        "tests/integration/product/test_tenants.py::test_each_tenant_reaches_its_own_and_nothing_else[4-True]",
        "the same on a fabric of four hosts, which one processor builds in minutes; [2-False] runs",
    ),
    (
        "tests/integration/product/test_tenants.py::test_a_cut_cable_changes_exactly_its_cells",
        "the same fabric; a cable that is cut is the underlay's matter",
    ),
    (
        "tests/integration/product/test_inward.py::test_by_floating_ips[6]",
        "the other family, compiled alike for both data paths; seen to pass there",
    ),
    (
        "tests/integration/product/test_inward.py::test_what_ports_send_each_other_is_not_counted_a_second_time[4]",
        "the other family, compiled alike for both data paths; seen to pass there",
    ),
    (
        "tests/integration/product/test_inward.py::test_answers_for_the_egress_address_are_counted_at_their_ports[6]",
        "the other family, compiled alike for both data paths; seen to pass there",
    ),
    (
        "tests/integration/product/test_inward.py::test_nothing_that_came_is_lost_with_the_interface_that_is_pulled_out[4]",
        "the other family, compiled alike for both data paths; seen to pass there",
    ),
)

TOGETHER: tuple[tuple[str, ...], ...] = tuple(
    tuple(f"tests/integration/product/test_{name}.py" for name in names)
    for names in (
        (
            "tenants",
            "egress",
            "pairs",
            "migration",
            "peering",
            "restarts",
            "policy",
            "networkpolicies",
            "promotion",
            "answers",
            "names",
            "forwarding",
            "resolving",
        ),
        ("paths", "inward", "outward"),
        ("routing", "next_hops", "mtu", "quality", "external", "irb"),
    )
)
"""Files that use one lab, in the order in which they get it."""


_PRODUCT = "tests/integration/product/test_"
CHOSEN: tuple[str, ...] = tuple(
    f"{_PRODUCT}{name}"
    for name in (
        "isolation.py::test_nothing_of_a_hostile_vm_reaches_another_tenant[known unicast]",
        "isolation.py::test_oversized_frames_reach_nobody_else",
        "isolation.py::test_forged_vxlan_reaches_nobody",
        "egress.py::test_bytes_in_the_ledger_are_bytes_sent[4]",
        "policy.py::test_rules_of_whom_comes_in",
        "policy.py::test_a_change_ends_what_it_denies_and_keeps_the_rest[far-target]",
        "outward.py::test_out_and_in_by_a_floating_ip[4]",
        "outward.py::test_behind_the_gateway[6]",
        "outward.py::test_nothing_untranslated_reaches_the_border[4]",
        "routing.py::test_routed_packets_lose_one_ttl_a_router[4]",
        "routing.py::test_routed_packets_lose_one_ttl_a_router[6]",
        "routing.py::test_no_other_tenant_is_reached[4]",
        "irb.py",
        "answers.py::test_a_flood_harms_its_own_port_alone",
        "names.py::test_equal_addresses_of_two_tenants_lead_to_each_ones_own_names[169.254.169.253-+notcp]",
        "names.py::test_each_port_is_told_of_its_own_instance[fd00:ec2::254]",
    )
)
"""What `make test-all` runs there: isolation, the bill, policy, the way out, routing, a flood of questions,
names and metadata, what exists there only.
All of it takes one processor one to three hours: `make test-guest`."""


def arguments() -> list[str]:
    """For pytest: folders, what to leave out of them, and of long tests those of both data paths."""
    words = (f"--{'deselect' if '::' in path else 'ignore'}={path}" for path, _ in LEFT_OUT)
    return [*EVERYTHING, "-m", "not long or datapaths", *words]
