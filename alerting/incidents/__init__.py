"""Incidents: state machine, commands, journal, grouping."""
