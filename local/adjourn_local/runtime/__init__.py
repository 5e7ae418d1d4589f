"""The whole stack: servers, functions, state folder, ports and control."""
