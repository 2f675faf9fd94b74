"""`watchkeeper boards`."""
