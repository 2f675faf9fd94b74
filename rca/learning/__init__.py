"""Cause labels into weights: training, the gate, and the versions of what serves."""
