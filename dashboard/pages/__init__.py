"""The built-in pages, one file each with its `PAGE`; they come in by entry point, like every other page."""
