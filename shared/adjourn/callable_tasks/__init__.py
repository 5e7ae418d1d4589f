"""Callable tasks, which users list and start: definitions, forms, identity and endpoint."""
