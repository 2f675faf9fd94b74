"""Experiments that run by themselves: when they are due, who approves them, and what became of each due time."""
