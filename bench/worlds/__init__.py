"""Simulated systems, watched by the product and by ordinary rules, and scored against what was true."""
