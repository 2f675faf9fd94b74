"""Whether a proposal can be run from here now. One that cannot is advice, with the reason: nobody is asked.

What no target has, such as another company's system, is out of reach: nothing is proposed for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from runbooks.library import Library
from runbooks.program import Program
from runbooks.registry import steps
from runbooks.step import AnyStep
from runbooks.wording import bound_for_plan
from watchkeeper.errors import OutOfReachError, RunbookError, TargetError
from watchkeeper.target import Target
from watchkeeper.vocabulary import Proposal

# A proposal is weighed before a page goes out, which must not wait for a target that hangs.
LOOK_TIMEOUT_S: Final = 2.0
# Who gives a command waits for a busy host.
COMMAND_TIMEOUT_S: Final = 30.0


def weighed(
    proposal: Proposal,
    library: Library,
    target: Target,
    known: Mapping[str, AnyStep] | None = None,
    *,
    timeout_s: float = LOOK_TIMEOUT_S,
) -> Proposal | None:
    """The proposal with the reason why it cannot be run, if there is one: the policy, or the target.

    None where there is no target, or it has no such service. `known` are the steps by name; by default those that are
    installed. `timeout_s` is how long the target may take for each answer.
    """
    try:
        why_not = _why_not(proposal, library, target, steps() if known is None else known, timeout_s)
        return replace(proposal, blocked=why_not)
    except OutOfReachError:
        return None


def _why_not(
    proposal: Proposal, library: Library, target: Target, known: Mapping[str, AnyStep], timeout_s: float
) -> str:
    try:
        target.status(proposal.service, timeout_s=timeout_s)
        book = library.book_for(proposal)
        for service, needed in _needed(book.program, proposal, known).items():
            lacking = sorted(needed - target.status(service, timeout_s=timeout_s).capabilities)
            if lacking:
                return f"the target cannot do this to {service}: {', '.join(lacking)}"
    except OutOfReachError:
        raise
    except (RunbookError, TargetError) as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - another package's target must not hold up the page
        return f"the target cannot be asked: {type(error).__name__}: {error}"
    return ""


def _needed(program: Program, proposal: Proposal, known: Mapping[str, AnyStep]) -> dict[str, set[str]]:
    """The verbs that the target must take, by service."""
    needed: dict[str, set[str]] = {}
    for spec in program.steps:
        if spec.kind in known:
            bound = bound_for_plan(spec, proposal.service, proposal.arguments, known)
            needed.setdefault(spec.service or proposal.service, set()).update(bound.needs)
    return needed
