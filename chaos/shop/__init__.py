"""A small shop of real services, made to be broken."""
