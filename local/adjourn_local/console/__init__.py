"""The console: pages that show what adjourn knows of a deployment, and change it."""
