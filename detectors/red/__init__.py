"""Requests, errors and durations of each service and operation."""
