"""Schema migrations of the state database, in Alembic's layout."""
