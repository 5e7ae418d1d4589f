"""Requests to the functions: who is let in, what was delivered, and what is answered."""
