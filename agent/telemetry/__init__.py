"""Telemetry of a host without a collector: its metrics, OTLP of its services, and alerts that go ahead of both."""
