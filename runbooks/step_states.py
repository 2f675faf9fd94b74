"""The states of a run's step, and which may follow which.

The journal refuses any other move; the documentation draws these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runbooks.run_rows import StepState

MOVES: Final[Mapping[StepState, tuple[StepState, ...]]] = {
    "planned": ("running", "skipped", "failed"),
    "skipped": (),
    "running": ("running", "waiting", "asking", "done", "failed", "unsure"),
    "waiting": ("running", "failed", "unsure"),
    "asking": ("running", "asking", "done", "failed", "unsure"),
    "done": ("undoing", "kept", "stuck"),
    "failed": (),
    "unsure": ("undoing", "kept", "stuck"),
    "undoing": ("undoing", "undone", "stuck"),
    "undone": (),
    "kept": (),
    "stuck": (),
}
