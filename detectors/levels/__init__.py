"""Levels of resource metrics."""
