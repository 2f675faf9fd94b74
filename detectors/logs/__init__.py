"""Log lines: error counts and new templates."""
