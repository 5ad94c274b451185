"""A desk: the plugin's directories, and what a runtime would ask, without a kernel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from controller.cni.main import respond
from tests.fakes.berths import gang, interface, page


class Desk:
    """Asks as a main plugin would ask its IPAM, so that no device moves."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.berths = root / "berths.json"
        self.claims = root / "claims"
        self.config: dict[str, Any] = {
            "cniVersion": "1.1.0",
            "name": "rail0",
            "type": "host-device",
            "ipam": {
                "type": "ringfence-cni",
                "tenant": "acme",
                "berths": str(self.berths),
                "dataDir": str(self.claims),
                "sysfs": str(root / "sys"),
            },
        }
        self.write(gang([interface(0), interface(1)]))

    def write(self, *gangs: dict[str, Any]) -> None:
        self.berths.write_text(page(*gangs), encoding="utf-8")

    def environ(self, command: str, container: str, **more: str) -> dict[str, str]:
        made = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_IFNAME": "net1",
            "CNI_NETNS": "/run/netns/none",
            "CNI_PATH": "/opt/cni/bin",
        }
        return made | more

    def ask(
        self, command: str, container: str = "c1", config: dict[str, Any] | None = None, **more: str
    ) -> tuple[int, Any]:
        """Exit code and answer; `config` on top of the usual one."""
        text = json.dumps(self.config | (config or {})).encode()
        return respond(self.environ(command, container, **more), text)

    def given(self, container: str = "c1", config: dict[str, Any] | None = None, **more: str) -> list[str]:
        """Addresses of a successful ADD."""
        code, answer = self.ask("ADD", container, config, **more)
        assert code == 0, answer
        return [ip["address"] for ip in answer["ips"]]

    def refused(
        self, command: str, container: str = "c1", config: Any = None, **more: str
    ) -> tuple[int, str]:
        """Code and message."""
        code, answer = self.ask(command, container, config, **more)
        assert code == 1
        assert set(answer) <= {"cniVersion", "code", "msg", "details"}
        return answer["code"], answer["msg"]

    def held(self) -> list[str]:
        """Names of claims."""
        return sorted(path.name for path in self.claims.glob("0*"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)
