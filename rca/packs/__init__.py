"""Diagnosis of recorded incidents."""
