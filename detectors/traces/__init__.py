"""Who calls whom, and how often."""
