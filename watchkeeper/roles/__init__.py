"""The processes, and the one place that knows every package."""
