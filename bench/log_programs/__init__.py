"""Log lines in the manner of programs of many kinds, written from their statements, so that the truth is known."""
