"""Enqueue what is due, whenever Cloud Scheduler calls."""

from adjourn.application.start import start
from adjourn.requests.http import function

wiring = start()
cron = function(wiring.receive_tick, wiring.settings.project)
