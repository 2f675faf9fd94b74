"""One HTTP POST of a channel: what its answer, or its absence, means for the message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import httpx

from watchkeeper.errors import DeliveryError
from watchkeeper.text import one_line

# A call of a channel ends within 15 seconds, whatever each read of it takes.
TIMEOUT_S: Final = 6.0
# Another try can help after these, beside 500 to 599.
PASSING: Final = frozenset({408, 409, 421, 423, 425, 429})
LONGEST_WAIT_S: Final = 60.0


def post(name: str, url: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
    """Post a JSON body; the answer, if its status is 200 to 299. Redirects are not followed: they may lead elsewhere.

    Raises:
        DeliveryError: the server cannot be reached, or refused.
    """
    complete = {"Content-Type": "application/json", "User-Agent": "Watchkeeper", **headers}
    try:
        answer = httpx.post(url, content=body, headers=complete, timeout=TIMEOUT_S, follow_redirects=False)
    except httpx.ConnectError as error:
        raise DeliveryError(f"{name} cannot be reached: {one_line(error, 150)}", retry=True, unsent=True) from error
    except httpx.HTTPError as error:
        why = one_line(error, 150) if str(error) else type(error).__name__
        raise DeliveryError(f"{name} did not answer: {why}", retry=True) from error
    if answer.is_success:
        return answer
    status = answer.status_code
    said = f": {one_line(answer.text, 200)}" if answer.text.strip() else ""
    why = f"{name} answered {status}{said}"
    if status in PASSING or status >= 500:
        raise DeliveryError(why, retry=True, retry_after_s=_seconds(answer), unsent=status == 429)
    advice = "redirects are not followed: give the address it leads to" if answer.is_redirect else "check its settings"
    raise DeliveryError(f"{why}; {advice}", retry=False, unsent=True)


def _seconds(answer: httpx.Response) -> float | None:
    """How long the server asks to wait; never long enough to make a page late for good."""
    try:
        return max(0.5, min(LONGEST_WAIT_S, float(answer.headers["Retry-After"])))  # in this order: leaves no NaN
    except (KeyError, ValueError):
        return None
