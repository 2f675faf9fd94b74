"""Incident events, timers, outbox, labels, schedules and models, in SQLite or PostgreSQL."""
