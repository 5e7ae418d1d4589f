"""Enqueue what is due, whenever Cloud Scheduler calls."""

from adjourn.http import function
from adjourn.start import start

wiring = start()
cron = function(wiring.receive_tick, wiring.settings.project)
