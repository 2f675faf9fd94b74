"""The shop as services of an agent: what the agent's file says where it reaches them through the shop's control API."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from chaos.shop.topology import PLANS, READY_FILE
from watchkeeper.errors import ChaosError
from watchkeeper.private_files import private_folder

VERBS: Final = ("start", "restart", "resume", "deploy", "rollback", "reroute", "release-database")
LONGEST_S: Final = 300.0
TOKEN_FILE: Final = "shop-token"  # noqa: S105 - the name of a file


def agent_file(
    data_dir: Path, state_dir: Path, *, port: int, token_sha256: str, faults: Iterable[str] | None = None
) -> dict[str, Any]:
    """What an agent beside a running shop may do: its verbs, and every installed fault, or those of `faults`.

    The front door takes no fault, as in the shop itself. The shop's token is written to a file in `state_dir`.

    Args:
        data_dir: of the shop.
        state_dir: where the agent keeps its records.
        port: where the agent listens.
        token_sha256: the digest of the agent's only token.

    Raises:
        ChaosError: no shop runs there.
    """
    try:
        ready = json.loads((data_dir / READY_FILE).read_text())
    except FileNotFoundError as error:
        raise ChaosError(f"no shop runs in {data_dir}; start one with `python -m chaos.shop`") from error
    token_file = private_folder(state_dir) / TOKEN_FILE
    with os.fdopen(os.open(token_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(ready["token"])
    installed = sorted({point.name for point in entry_points(group="watchkeeper.agent_faults")})
    allowed = list(installed if faults is None else faults)
    return {
        "name": f"shop in {data_dir.resolve()}",
        "port": port,
        "state_dir": str(state_dir),
        "tokens": [{"name": "watchkeeper", "sha256": token_sha256}],
        "bounds": {"seconds": LONGEST_S},
        "services": {
            plan.name: {
                "find": {"control_url": {"url": ready["control"], "service": plan.name, "token_file": str(token_file)}},
                "verbs": list(VERBS),
                "faults": allowed if plan.may_break else [],
            }
            for plan in PLANS
        },
    }
