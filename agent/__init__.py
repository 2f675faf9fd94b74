"""Hands on somebody's host: breaks and repairs the services that its file lists, and nothing else.

Small on purpose: none of the store, the state database, pandas or NumPy is imported here.
"""
