"""Grafana dashboards become boards, as far as they go, with a list of what did not."""
