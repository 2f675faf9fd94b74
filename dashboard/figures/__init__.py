"""Figures as pure functions: from series, incidents and shifts to plotly dicts, SVG and graph elements."""
