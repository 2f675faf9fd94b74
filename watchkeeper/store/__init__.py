"""The telemetry store: schema, the embedded engine behind HTTP, and the clients."""
