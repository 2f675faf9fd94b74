"""Slow changes of a service."""
