"""Incidents, schedules, escalation, channels and postmortems."""
