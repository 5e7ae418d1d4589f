"""The whole stack as a process: servers, functions, state folder, ports and control."""
