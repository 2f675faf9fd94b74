"""Schedules, escalation and timers."""
