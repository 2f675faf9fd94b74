"""What `/readyz` answers.

503 and the reason where a role cannot do its work, or (but for the receivers, which go on receiving) where another role
on this machine hangs. Else 200 and `ok`. Below that first line stands what a human should know all the same.
"""

from __future__ import annotations

import time
from typing import Final

from watchkeeper.config import Config
from watchkeeper.roles import heartbeat as heart
from watchkeeper.roles.lifecycle import Life

ROLES: Final = ("store", "ingest", "watch", "web", "standin")
# A load balancer asks these, and they must go on receiving while another role hangs.
ONLY_FOR_ITSELF: Final = frozenset({"ingest", "store"})


def hung_roles(config: Config) -> dict[str, str]:
    """Of the roles that run on this data directory, those with a loop that does not turn, and which for how long."""
    now = time.monotonic()
    hung_by_role = {}
    for role in ROLES:
        pulse = heart.read(config, role)
        if pulse and (hung := pulse.hung(now)):
            name, for_s = max(hung.items(), key=lambda item: item[1])
            hung_by_role[role] = f"{role} (pid {pulse.pid}) hangs: its loop `{name}` has not turned for {for_s:.0f} s"
    return hung_by_role


def missing(life: Life, own: str | None) -> str | None:
    """Why a role is not ready: its own reason, or that another role on this machine hangs. None: it is ready."""
    others = [] if life.role in ONLY_FOR_ITSELF else _others(life)
    return "\n".join(text for text in (own, *others) if text) or None


def noted(life: Life) -> str | None:
    """What a human should know whether or not the role is ready, beside what `missing` says."""
    others = _others(life) if life.role in ONLY_FOR_ITSELF else []
    return "\n".join(text for text in (*others, life.problems.summary()) if text) or None


def _others(life: Life) -> list[str]:
    return [words for role, words in hung_roles(life.config).items() if role != life.role]
