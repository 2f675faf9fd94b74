"""Receivers of telemetry, over HTTP and gRPC."""
