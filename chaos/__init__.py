"""Faults, experiments and the shop that gets broken, one file a fault."""
