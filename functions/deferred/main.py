"""Run the deferred calls that Cloud Tasks delivers, and answer people about callable tasks."""

from adjourn.http import function
from adjourn.start import start

wiring = start()
deferred = function(wiring.receive_task, wiring.settings.project, wiring.receive_person)
