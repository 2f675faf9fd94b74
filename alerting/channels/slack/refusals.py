"""Slack's refusals: what they mean, and whether trying again can help."""

from __future__ import annotations

from typing import Any, Final

from slack_sdk.errors import SlackApiError

from watchkeeper.errors import DeliveryError

# What no second try repairs: a human must look at the token, the channel or the app.
NO_CHANNEL: Final = frozenset(
    {"channel_not_found", "not_in_channel", "is_archived", "restricted_action", "ekm_access_denied"}
)
# A message is no longer there to be edited.
GONE: Final = frozenset({"message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed"})
HOPELESS: Final = NO_CHANNEL | {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "missing_scope"}


def reason_of(error: SlackApiError) -> str:
    """Slack's own word for why it refused."""
    response: Any = error.response
    return str(response.get("error", "unknown")) if hasattr(response, "get") else "unknown"


def delivery_error(error: SlackApiError) -> DeliveryError:
    """What a refusal means for the outbox: whether trying again can help, and when."""
    response: Any = error.response
    reason = reason_of(error)
    if reason == "ratelimited" or getattr(response, "status_code", 0) == 429:
        wait = _seconds(response.headers.get("Retry-After"))
        return DeliveryError(f"Slack asks to wait {wait:g} s", retry=True, retry_after_s=wait, unsent=True)
    if reason in HOPELESS:
        advice = "check the token, the app's scopes and that it is in the channel: `watchkeeper doctor`"
        return DeliveryError(f"Slack refused: {reason}; {advice}", retry=False, unsent=True)
    return DeliveryError(f"Slack failed: {reason}", retry=True)


def _seconds(header: Any) -> float:
    """How long to wait, from a header that may be anything; never long enough to make a page late for good."""
    try:
        return max(0.5, min(60.0, float(header)))  # in this order, which leaves no NaN
    except (TypeError, ValueError):
        return 1.0
