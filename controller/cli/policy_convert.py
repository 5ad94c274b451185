"""`ringfence policy convert`: NetworkPolicies of Kubernetes as manifests of ours.

Place: an action of `ringfence policy`; reads files only. Must not need the API, nor give a part where
something could not be converted.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from controller.cli.client import Refused
from controller.cli.commands import OK
from controller.cli.session import Session
from controller.cli.sources import gather


def declare(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    parser.description = (
        "Writes the SecurityPolicies of a tenant that mean what the NetworkPolicies mean: a namespace is the "
        "tenant's network of that name, a pod a port with the pod's labels. What cannot be said exactly (a "
        "port by its name) is refused, each with file and line, and then nothing is written."
    )
    parser.epilog = (
        "examples:\n  ringfence policy convert --tenant acme networkpolicies.yaml > policies.yaml\n"
        "  ringfence policy convert --tenant acme folder/ | ringfence apply -f -\n"
        "  ringfence policy convert --tenant acme --count networkpolicies.yaml   drops nothing yet\n"
        "  kubectl get networkpolicies -A -o yaml | ringfence policy convert --tenant acme - -o json"
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a file, a folder, or - for standard input; YAML or JSON"
    )
    parser.add_argument(
        "--count",
        action="store_true",
        help="what would be denied only counts, for now: nothing is dropped (see docs/policy.md)",
    )
    parser.add_argument("-t", "--tenant", required=True, metavar="T", help="whose policies they become")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if anything is refused."""
    sources = gather(arguments.files)
    from controller.kubernetes.sources import convert_sources, counting
    from controller.manifest.manifest import Source
    from controller.manifest.policy_documents import policy_document
    from controller.manifest.readers import Misfit, read_name
    from controller.manifest.schema import API_VERSION
    from controller.manifest.tree import Scalar, Sort
    from model.errors import Fault

    try:
        read_name(Scalar(Sort.TEXT, arguments.tenant, 0))
    except Misfit as misfit:
        fault = Fault("--tenant", misfit.rule, str(misfit), misfit.remedy)
        raise Refused(422, [asdict(fault)]) from None
    found = convert_sources((Source(one["name"], one["text"]) for one in sources), arguments.tenant)
    if found.faults:
        raise Refused(422, [asdict(fault) for fault in found.faults])
    policies = [counting(policy) for policy in found.policies] if arguments.count else found.policies
    items = [policy_document(policy) for policy in policies]
    # For people, too: a table of policies could not be applied.
    form = "json" if session.form == "json" else "yaml"
    shown = Session(session.api, form, session.out, session.err)
    shown.show({"apiVersion": API_VERSION, "kind": "List", "items": items}, lambda _: None)
    return OK
