"""Find what is wrong with a deployment, and say for each fault which command mends it."""
