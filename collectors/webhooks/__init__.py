"""Alerts and change events that other systems post."""
