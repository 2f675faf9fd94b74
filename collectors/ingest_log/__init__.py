"""The ingest log: what a receiver syncs to disk before it acks."""
