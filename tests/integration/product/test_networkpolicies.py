"""NetworkPolicies of Kubernetes, from their YAML to packets: converted, applied, and judged as they say.

What each of their fields means is held by tests/unit/kubernetes, case by case; here is the way that an
operator goes with them, with the commands of docs/policy.md.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.integration.product.guarded import Guarded, build
from tests.integration.product.verdicts import CONTROL, Probe, probes, tcp, udp, wrong
from topologies.scenarios.two_tenants import TwoTenants

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.datapaths]

MANIFEST = f"""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: db, namespace: net}}
spec:
  podSelector: {{matchLabels: {{role: db}}}}
  policyTypes: [Ingress, Egress]
  ingress:
    - from: [{{podSelector: {{matchLabels: {{role: web}}}}}}]
      ports: [{{port: 80}}]
    - from:
        - namespaceSelector: {{matchLabels: {{zone: outer}}}}
          podSelector: {{matchLabels: {{role: web}}}}
        - ipBlock: {{cidr: 10.0.0.0/24, except: [10.0.0.21/32]}}
      ports: [{{port: 8000, endPort: 8010}}, {{protocol: UDP, port: 53}}]
    - ports: [{{protocol: UDP, port: {CONTROL}}}]
  egress:
    - to: [{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: far}}}}}}]
      ports: [{{port: 443}}]
    - ports: [{{protocol: UDP, port: {CONTROL}}}]
"""
NAMED = MANIFEST.replace("port: 80}", "port: http}")


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Guarded:
    """The namespaces `net` and `far` are the networks; `there` (net) is the database."""
    return build(two_tenants_lab(2))


def table(stage: Guarded) -> tuple[list[Probe], list[Probe]]:
    """What passes, and what does not. `here`, without labels, is 10.0.0.11, and `near` 10.0.0.21."""
    here, near, there, side, far = stage.of("here", "near", "there", "side", "far")
    passes = [
        *probes(near, there, tcp(80)),
        *probes(far, there, tcp(8000), tcp(8010), udp(53)),
        *probes(here, there, tcp(8005), udp(53), families=(4,)),
        *probes(there, [side, far], tcp(443)),
        *probes(here, near, tcp(80), udp(7)),
    ]
    drops = [
        *probes(near, there, tcp(81), tcp(8005), udp(53), udp(80)),
        *probes(far, there, tcp(80), tcp(7999), tcp(8011)),
        *probes(here, there, tcp(80)),
        *probes(here, there, tcp(8005), udp(53), families=(6,)),
        *probes(side, there, tcp(80), tcp(8000), udp(53)),
        *probes(there, [here, near], tcp(443)),
        *probes(there, [side, far], tcp(80), udp(443)),
    ]
    return passes, drops


def test_they_are_converted_applied_and_judge_packets(stage: Guarded, tmp_path: Path) -> None:
    passes, drops = table(stage)
    file = tmp_path / "networkpolicies.yaml"
    for manifest, flags in ((NAMED, ()), (MANIFEST, ("--count",)), (MANIFEST, ())):
        file.write_text(manifest, encoding="utf-8")
        said = stage.base.control.run("policy", "convert", "--tenant", "red", *flags, str(file))
        if manifest is NAMED:
            assert not said.ok and not said.stdout and "[named-port]" in said.stderr, said
            continue
        assert said.ok, said.stderr
        with stage.policed(*yaml.safe_load_all(said.stdout)):
            assert wrong(passes + drops if flags else passes, [] if flags else drops) == []
    assert wrong(passes + drops) == [], "once they are gone"
