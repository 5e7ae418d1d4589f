"""Clients of running services: callable tasks, Cloud Scheduler's jobs, the stack's control."""
