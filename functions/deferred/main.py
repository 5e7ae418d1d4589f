"""Run the deferred calls that Cloud Tasks delivers, and answer people about callable tasks."""

from adjourn.application.start import start, with_startup_tasks
from adjourn.requests.http import function

wiring = start()
receive = with_startup_tasks(wiring, wiring.receive_task)
deferred = function(receive, wiring.settings.project, wiring.receive_person)
