"""A real agent in a process of its own, for tests: started, asked, killed, and started again."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.bare_host import BareService
from tests.waiting import until

TOKEN = "a-token-that-only-this-test-knows"


class RunningAgent:
    """An agent whose file is written from `services` and `more`."""

    def __init__(self, folder: Path, services: dict[str, Any], **more: Any) -> None:
        self.folder = folder
        self.root = folder / "state"
        (folder / "token").write_text(TOKEN)
        file = {
            "name": "host-7",
            "port": 0,
            "state_dir": "state",
            "tokens": [{"name": "platform", "token_file": "token"}],
            "services": services,
            **more,
        }
        self.path = folder / "agent.yaml"
        self.path.write_text(yaml.safe_dump(file))
        self.process: subprocess.Popen[bytes] | None = None
        self.url = self.otlp_url = ""

    def start(self) -> None:
        with (self.folder / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-m", "agent", self.path], stdout=subprocess.PIPE, stderr=log
            )
        line = self._first_line()
        assert line.startswith("agent.ready"), (self.folder / "agent.log").read_text()
        said = dict(word.split("=", 1) for word in line.split() if "=" in word)
        self.url, self.otlp_url = f"http://{said['address']}", f"http://{said.get('otlp', '')}"

    def _first_line(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        until(lambda: select.select([self.process.stdout], [], [], 0)[0], what="the agent")  # type: ignore[union-attr]
        return self.process.stdout.readline().decode()

    def stop(self, what: signal.Signals = signal.SIGTERM) -> None:
        if self.process:
            self.process.send_signal(what)
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ask(self, method: str, path: str, body: Any = None, *, key: str = "", token: str = TOKEN) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
        return httpx.request(method, self.url + path, json=body, headers=headers, timeout=120)

    def good(self, method: str, path: str, body: Any = None, *, key: str = "") -> Any:
        response = self.ask(method, path, body, key=key)
        assert response.status_code == 200, response.text
        return response.json()

    def begin(
        self, fault: str, seconds: float = 300.0, *, service: str = "orders", key: str = "", **arguments: Any
    ) -> str:
        body = {"service": service, "fault": fault, "seconds": seconds, "arguments": arguments}
        return str(self.good("POST", "/faults", body, key=key)["id"])

    def with_effect(self, fault_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            state: dict[str, Any] = self.good("GET", f"/faults/{fault_id}")
            return state if state["effect"] else None

        return until(look, what="the effect")  # type: ignore[return-value]

    def ended(self, fault_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            state: dict[str, Any] = self.good("GET", f"/faults/{fault_id}")
            return state if state["state"] == "ended" else None

        return until(look, what="the end")  # type: ignore[return-value]

    def audited(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.good("GET", "/audit?limit=1000")
        return rows


def allowed(service: BareService, **more: Any) -> dict[str, Any]:
    """A bare service as an agent's file lists it."""
    return {
        service.name: {
            "find": {"process": service.settings},
            "verbs": ["start", "stop", "restart", "resume"],
            "faults": ["hang", "kill"],
            "probe": {"url": f"http://127.0.0.1:{service.port}"},
            **more,
        }
    }


def kill_all(*pids: int) -> None:
    """At one blow: no one is told of the death of another before its own."""
    for what in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            try:
                os.kill(pid, what)
            except ProcessLookupError:
                continue
