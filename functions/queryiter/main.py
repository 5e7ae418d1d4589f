"""Carry out the iteration steps that Cloud Tasks delivers."""

from adjourn.application.start import start
from adjourn.requests.http import function

wiring = start()
queryiter = function(wiring.receive_step, wiring.settings.project)
