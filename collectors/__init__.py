"""Telemetry and change events: how they get in, one file a source."""
