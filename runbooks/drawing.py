"""The states of a run's step as a Mermaid diagram, drawn from the table that the journal obeys."""

from __future__ import annotations

from runbooks.step_states import MOVES


def step_diagram() -> str:
    """Every state, and which may follow which; a state without a successor is an end."""
    lines = ["stateDiagram-v2", "    [*] --> planned"]
    for state, following in MOVES.items():
        lines += [f"    {state} --> {each}" for each in following if each != state]
        lines += [f"    {state} --> [*]"] if not following else []
    return "\n".join(lines)
