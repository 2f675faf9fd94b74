"""Telemetry to findings, one file an idea."""
