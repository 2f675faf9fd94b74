"""Watchkeeper: telemetry in, a diagnosed page out, a human's label back."""

__version__ = "0.1.0"
