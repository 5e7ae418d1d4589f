"""A link checker: somebody hands in links, and each of them is looked at."""
