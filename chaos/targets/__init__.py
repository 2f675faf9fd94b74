"""What experiments act on."""
