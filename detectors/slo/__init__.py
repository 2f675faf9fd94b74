"""Objectives in OpenSLO files, and the burn of their budgets."""
