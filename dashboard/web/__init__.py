"""The HTTP side: API, sessions, headers and files."""
