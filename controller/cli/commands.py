"""Commands: their names, modules and one line each, in the order of `--help`.

Place: read by `controller.cli.main`. Must import nothing: this is what start-up costs.
"""

from typing import Final

Command = tuple[str, str, str]
"""(name, module, one line)."""

COMMANDS: Final[tuple[Command, ...]] = (
    ("apply", "controller.cli.apply", "create or change what manifests say; never deletes"),
    ("plan", "controller.cli.plan", "show what apply would do; nothing is written"),
    ("get", "controller.cli.get", "list objects, or show one"),
    ("delete", "controller.cli.delete", "delete one object, or those that manifests name"),
    ("policy", "controller.cli.policy", "rules that count and what they hit; promote them; convert"),
    ("gang", "controller.cli.gang", "interfaces of a job on the rails of its nodes, all or none"),
    ("status", "controller.cli.status", "cluster, hosts, pools and alarms"),
    ("egress", "controller.cli.egress", "egress per tenant, port and class"),
    ("evpn", "controller.cli.evpn", "EVPN as hosts see it: neighbours, routes, refusals"),
    ("ipam", "controller.cli.ipam", "hardware of nodes, pools of rails, audit, rules for leaves"),
    ("reflector", "controller.cli.reflector", "configuration of a FRR route reflector for this cluster"),
    ("trace", "controller.cli.trace", "where a packet goes, on every host, and why it ends"),
    ("flows", "controller.cli.flows", "the real flows of a host's switch, with names"),
    ("drift", "controller.cli.drift", "what hosts found changed in their switch, and mended"),
    ("migrate", "controller.cli.migrate", "move a port to another host with its workload"),
    ("switchover", "controller.cli.switchover", "have the other DPU of a server serve its ports"),
    ("freeze", "controller.cli.freeze", "tell a host's agent to change nothing"),
    ("unfreeze", "controller.cli.unfreeze", "end a freeze"),
    ("confirm", "controller.cli.confirm", "let a stopped host go on"),
    ("lab", "controller.cli.lab", "a lab on this machine: up, status, exec, down"),
)

OK: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
NOT_REACHED: Final = 3
UNREACHABLE: Final = 4
FAILED: Final = 5
DROPPED: Final = 6
DIFFERS: Final = 7
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

EXIT_CODES: Final[tuple[tuple[int, str], ...]] = (
    (OK, "done"),
    (
        REFUSED,
        "refused: invalid, in conflict, or not found; nothing was written; ipam audit: something is wrong",
    ),
    (USAGE, "wrong use of the command line"),
    (NOT_REACHED, "--wait: written, but not programmed in time; trace, flows, evpn: a host does not answer"),
    (UNREACHABLE, "the API or its store does not answer"),
    (FAILED, "the API failed in an unforeseen way; its log has the details"),
    (DROPPED, "trace: the packet is dropped"),
    (DIFFERS, "trace: a switch differs from what its agent compiled, or could not be asked"),
    (INTERRUPTED, "interrupted (Ctrl-C)"),
    (BROKEN_PIPE, "the reader of the output went away"),
)
