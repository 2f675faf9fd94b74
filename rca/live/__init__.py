"""Diagnosis of a live incident from the store."""
