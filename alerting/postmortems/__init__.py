"""Postmortems."""
