"""The alert that Watchkeeper raises for itself, to prove that a page gets through."""
