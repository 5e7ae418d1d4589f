"""Run the deferred calls that Cloud Tasks delivers, and answer people about callable tasks."""

from adjourn.http import function
from adjourn.start import start, with_startup_tasks

wiring = start()
receive = with_startup_tasks(wiring, wiring.receive_task)
deferred = function(receive, wiring.settings.project, wiring.receive_person)
