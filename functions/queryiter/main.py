"""Carry out the iteration steps that Cloud Tasks delivers."""

from adjourn.http import function
from adjourn.start import start

wiring = start()
queryiter = function(wiring.receive_step, wiring.settings.project)
