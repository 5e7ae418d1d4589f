"""A newsletter: people subscribe, and get each issue."""
