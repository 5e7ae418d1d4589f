"""The page of a laptop stack's clock and of the faults that it injects."""

import datetime as dt
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adjourn.cron.forecast import upcoming
from adjourn.errors import UnknownNameError
from adjourn_local.clients.stack_control import CLOCK_PATH, FAULTS_PATH, StackControl
from adjourn_local.console.actions import Action, perform
from adjourn_local.console.rendering import PREFIX, Site, site_of

TITLE = "Clock and faults"
PATH = "/clock"
_HOME = f"{PREFIX}{PATH}"
_CLOCK = {
    "freeze": "The clock stands still until it is told to go.",
    "go": "The clock runs again from the time that it shows.",
    "advance": "What falls due on the way is due at once: tasks, jobs, retries, deadlines.",
    "jump": "What falls due on the way is due at once: tasks, jobs, retries, deadlines.",
    "reset": "The clock follows the machine's time again.",
}
_SHARES = {
    "duplicates": "made twice",
    "lost-answers": "answered, but the answer is lost",
    "errors": "answered 503 without reaching the function",
    "reorder": "held until a later one was answered",
}


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [
        Route(PATH, _show),
        Route(f"{PATH}/set", perform(_set_clock), methods=["POST"]),
        Route(f"{PATH}/faults", perform(_set_faults), methods=["POST"]),
    ]


def _show(request: Request) -> Response:
    site = site_of(request)
    control = _control(site)
    faults = control.ask(FAULTS_PATH)
    text = "" if faults["faults"] == "none" else faults["faults"]
    clock = control.ask(CLOCK_PATH)
    context = {
        "title": TITLE,
        "now": dt.datetime.fromisoformat(clock["now"]),
        "is_frozen": clock["frozen"],
        "next_slot": _next_slot(site),
        "shares": _SHARES,
        "faults": dict(word.partition("=")[::2] for word in text.split(",") if word),
        "injected": faults["injected"],
    }
    return site.render(request, "clock.html", context)


def _next_slot(site: Site) -> dt.datetime | None:
    """Return the next time that is still to come and at which a periodic function is due."""
    wiring, now = site.deployment.wiring, site.deployment.adapters.clock.now()
    if wiring is None:
        return None
    cron = wiring.cron
    dues = (upcoming(each.timing, cron.status(each).state, now) for each in cron.periodics())
    later = (next((at for at in times if at > now), None) for times in dues)
    return min((at for at in later if at), default=None)


def _set_clock(request: Request, fields: Mapping[str, str]) -> Action:
    control = _control(site_of(request))
    verb, value = fields.get("verb", ""), fields.get("value", "").strip()
    if verb not in _CLOCK:
        raise UnknownNameError(f"A clock cannot be told to {verb!r}.")
    text = f"{verb}={value}" if verb in {"advance", "jump"} else verb

    def run() -> str:
        return f"The clock shows {control.ask(CLOCK_PATH, 'PUT', text)['now']}."

    return Action(
        name="set clock",
        subject=text,
        question=f"Set the clock: {text}?",
        effect=_CLOCK[verb],
        run=run,
        back=_HOME,
    )


def _set_faults(request: Request, fields: Mapping[str, str]) -> Action:
    control = _control(site_of(request))
    words = [
        f"{name}={fields[name].strip()}" for name in (*_SHARES, "delay") if _is_set(fields, name)
    ]
    text = ",".join(words) or "none"

    def run() -> str:
        return f"Faults: {control.ask(FAULTS_PATH, 'PUT', text)['faults']}."

    return Action(
        name="set faults",
        subject=text,
        question=f"Inject these faults into deliveries: {text}?",
        effect="They meet every delivery of tasks and jobs from now on, until they are set anew.",
        run=run,
        back=_HOME,
    )


def _is_set(fields: Mapping[str, str], name: str) -> bool:
    return fields.get(name, "").strip() not in {"", "0"}


def _control(site: Site) -> StackControl:
    control = site.deployment.control
    if control is None:
        raise UnknownNameError("This deployment has no clock of its own.")
    return control
