"""The library as services of an agent: what its file says, and how callers are led through the agent's proxies."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from chaos.foreign import remote
from chaos.foreign.programs import SERVICES
from chaos.foreign.system import CALLS, FIRST_VERSION, NODE_SERVICES, Library

# A request that each program answers, as its callers send it; the others take none over HTTP.
PROBES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "nginx": "/books/1",
        "desk": "/books/1",
        "catalogue": "/titles/1",
        "recommend": "/similar/1",
        "readers": "/reader/1",
        "lending": "/loans/1",
    }
)
VERBS: Final = ("start", "stop", "restart", "resume")
LONGEST_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFile:
    """An agent's file as a mapping, and the port of the agent's proxy in front of each program that has one."""

    content: Mapping[str, Any]
    proxies: Mapping[str, int]

    def lead_callers(self, library: Library) -> None:
        """Lead callers through the agent's proxies: once they listen, not before."""
        for name, port in self.proxies.items():
            for path in library.paths_to(name):
                path.target = port

    def lead_callers_straight(self, library: Library) -> None:
        """As it was without an agent."""
        for name in self.proxies:
            for path in library.paths_to(name):
                path.target = library.ports[name]


def agent_file(
    library: Library,
    state_dir: Path,
    *,
    port: int,
    token_sha256: str,
    free_port: Callable[[], int],
    faults: Iterable[str] | None = None,
) -> AgentFile:
    """What an agent beside the library may do: every verb, and every fault that is installed, or those of `faults`.

    Args:
        state_dir: where the agent keeps its records.
        port: where the agent listens.
        token_sha256: the digest of its only token.
        free_port: gives a port that nothing listens on.
    """
    installed = tuple(sorted({point.name for point in entry_points(group="watchkeeper.agent_faults")}))
    allowed = list(installed if faults is None else faults)
    called = sorted({callee for callees in CALLS.values() for callee in callees})
    proxies: dict[str, int] = {}
    for name in called:
        while (listen := free_port()) in {*library.ports.values(), *proxies.values()}:
            pass  # free now, but not once everything runs
        proxies[name] = listen
    (library.folder / "filled").mkdir(exist_ok=True)
    services = {name: _service(library, name, allowed, proxies) for name in library.ports}
    content = {
        "name": f"library of {library.folder.name}",
        "port": port,
        "state_dir": str(state_dir),
        "tokens": [{"name": "watchkeeper", "sha256": token_sha256}],
        "bounds": {"seconds": LONGEST_S},
        "services": services,
    }
    return AgentFile(content=content, proxies=proxies)


def _service(library: Library, name: str, faults: list[str], proxies: Mapping[str, int]) -> dict[str, Any]:
    own_port = library.ports[name]
    command = [sys.executable, "-P", str(Path(remote.__file__)), str(library.remote)]
    # A deploy gives the library's programs the port that they had: it is part of how they are found.
    find: dict[str, Any] = {"pattern": _pattern(library, name)}
    find |= {"start": [*command, "start", name], "stop": [*command, "stop", name]}
    if library.restarts:
        find["supervised"] = True
    settings = {
        "fill_folder": str(library.folder / "filled"),
        "fill_most_mb": "200",  # it is the disk of this machine
        "dependencies": ", ".join(
            f"{callee}=127.0.0.1:{proxies[callee]}" for callee in CALLS.get(name, ()) if callee in proxies
        ),
    }
    if name == "postgresql" or "postgresql" in CALLS.get(name, ()):
        settings["postgresql_url"] = f"postgresql://library@127.0.0.1:{library.ports['postgresql']}/library"
        settings["postgresql_tables"] = "titles" if name in ("catalogue", "postgresql") else "loans"
    if name == "redis" or "redis" in CALLS.get(name, ()):
        settings["redis_url"] = f"redis://127.0.0.1:{library.ports['redis']}"
    if name in NODE_SERVICES:
        settings["command.bad_deploy.do"] = shlex.join([*command, "deploy", name, "1.5.0", "BROKEN_SHARE=0.7"])
        settings["command.bad_deploy.undo"] = shlex.join([*command, "deploy", name, FIRST_VERSION])
    service: dict[str, Any] = {
        "find": {"process": find},
        "verbs": list(VERBS),
        "faults": faults,
        "settings": {key: value for key, value in settings.items() if value},
    }
    if name in NODE_SERVICES:
        service["commands"] = {"roll-back": {"run": [*command, "deploy", name, FIRST_VERSION]}}
    if name in proxies:
        service["proxy"] = {"listen": proxies[name], "to": own_port}
    if name in PROBES:
        service["probe"] = {"url": f"http://127.0.0.1:{proxies.get(name, own_port)}", "path": PROBES[name]}
    return service


def _pattern(library: Library, name: str) -> str:
    """A command line that no other library's program has."""
    folder = re.escape(str(library.folder))
    if name == "redis":  # it writes its own title
        return rf"redis-server .*:{library.ports[name]}\b"
    if name == "nginx":
        return rf"nginx .*-c {folder}/nginx\.conf"
    if name == "postgresql":
        return rf"postgres .*-D {folder}/database"
    return rf"{re.escape(str(SERVICES))}/{name}\.js {folder}$"
