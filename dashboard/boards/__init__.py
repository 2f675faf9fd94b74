"""Boards: files that put panels of metrics, log lines, traces, objectives and text on one page."""
