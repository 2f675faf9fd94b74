"""Breaks the target on purpose, knows the truth, and scores the loop. Holds the demo shop that gets broken."""
