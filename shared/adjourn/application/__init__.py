"""An application as a whole: what it declares, how its parts are wired, how a process starts."""
