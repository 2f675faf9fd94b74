"""What steps act on."""
