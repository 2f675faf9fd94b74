"""The commands about runbooks."""
