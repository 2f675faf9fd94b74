"""Ways to break a service: one file a fault, one line each in pyproject.toml under `watchkeeper.faults`."""
