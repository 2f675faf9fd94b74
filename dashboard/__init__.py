"""The pages that humans look at, one file a page."""
