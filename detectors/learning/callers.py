"""A caller that is slow because of what it calls, where labels taught that this slowness warrants no page.

Nobody labels a caller's share of a false page before it happens. What is suppressed in a service is suppressed in its
direct callers as far as it explains them: they began together, and the caller is slower by little more than what
it waits for. What goes beyond, or what users feel for certain, pages.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from detectors.learning.features import EXTRA_MS, extra
from detectors.learning.model import SIMILAR_AMOUNT, UNNOTICED, Decision
from watchkeeper.vocabulary import Finding

TOGETHER: Final = timedelta(seconds=20)


def explained(
    finding: Finding, chance: float, suppressed: Iterable[Finding], edges: frozenset[tuple[str, str]]
) -> Decision:
    """Whether a slow caller pages although these findings were suppressed, and if not, why.

    Args:
        finding: what would page.
        chance: that a page for it is warranted, kept in the decision.
        suppressed: what was suppressed at the same tick.
        edges: (caller, callee), as seen lately.
    """
    if not _is_slow(finding):
        return Decision(pages=True, chance=chance)
    behind = [
        one
        for one in suppressed
        if _is_slow(one)
        and (finding.service, one.service) in edges
        and abs(one.onset - finding.onset) <= TOGETHER
        and one.service != finding.service
    ]
    if not behind or extra(finding) > SIMILAR_AMOUNT * sum(map(extra, behind)) + UNNOTICED * EXTRA_MS:
        return Decision(pages=True, chance=chance)
    names = " and ".join(sorted({one.service for one in behind}))
    why = f"it waits for {names}, whose slowness is suppressed, and is slower by little more than that explains"
    return Decision(pages=False, chance=chance, why=why)


def _is_slow(finding: Finding) -> bool:
    return finding.kind == "latency" and finding.unit == "ms"
