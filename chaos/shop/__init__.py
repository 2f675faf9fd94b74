"""A small shop of eight real services: what the demo watches, and what chaos breaks."""
