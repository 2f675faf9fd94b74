"""Experiments in Chaos Toolkit's format: read, checked, planned and run; and actions and probes of our own for them."""
