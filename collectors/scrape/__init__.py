"""Prometheus endpoints, scraped."""
