"""Callable tasks, which people list and start: definitions, forms, identity and endpoint."""
