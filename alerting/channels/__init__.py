"""Channels that reach people, and the outbox."""
