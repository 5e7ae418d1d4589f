"""Time in the laptop stack: clocks, timestamps, timers and back-off."""
