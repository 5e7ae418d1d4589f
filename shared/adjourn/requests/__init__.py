"""Requests to the functions: who may call, and how a request is answered."""
