"""Where the canary's page goes by default: a channel without a human at its end."""

from __future__ import annotations

from alerting.channels.channel import Digest, Message, Thread

CONVERSATION = "canary"


class CanaryChannel:
    """Takes every message, and shows it to nobody. What it took is in the outbox, as sent."""

    def send(self, message: Message) -> Thread:
        """Take a message."""
        return Thread(conversation=CONVERSATION, ts=message.incident.id)

    def send_digest(self, digest: Digest) -> Thread:
        """Take several."""
        return Thread(conversation=CONVERSATION, ts=digest.key)

    def send_test(self, address: str, text: str) -> Thread:  # noqa: ARG002 - as every channel has it
        """Take a test page."""
        return Thread(conversation=CONVERSATION, ts=address)

    def unreachable(self, mention: str) -> str | None:  # noqa: ARG002 - as every channel has it
        """Nobody is meant, and nobody missed."""
        return None
