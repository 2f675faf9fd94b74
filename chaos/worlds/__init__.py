"""Simulated systems: each is drawn by a seed, breaks in known ways, and records what its instrumentation would."""
