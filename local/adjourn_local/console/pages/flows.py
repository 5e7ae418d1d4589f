"""The page of flows: who runs and who waits for each key, and limits that are changed live."""

from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adjourn.errors import UnknownNameError
from adjourn.flow.control import Flows, FlowView
from adjourn.flow.limits import check_limits, declared_flows
from adjourn_local.console.actions import Action, perform
from adjourn_local.console.rendering import PREFIX, site_of
from adjourn_local.errors import UsageError

TITLE = "Flows"
PATH = "/flows"
_HOME = f"{PREFIX}{PATH}"
_ROWS = 100
_PAUSES = {
    "pause": "Its calls wait from now on, without spending attempts. Those that run go on.",
    "resume": "Calls begin again, in the order in which they came.",
}


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [
        Route(PATH, _list),
        Route(f"{PATH}/flow", _flow),
        Route(f"{PATH}/pause", perform(_pause), methods=["POST"]),
        Route(f"{PATH}/limit", perform(_limit), methods=["POST"]),
    ]


def _list(request: Request) -> Response:
    flows = _flows(request)
    found = sorted(flows.find(), key=lambda view: (-view.waiting, -view.running))
    context = {
        "title": TITLE,
        "flows": found[:_ROWS],
        "more": len(found[_ROWS:]),
        "declared": sorted(flows.declared),
    }
    return site_of(request).render(request, "flows.html", context)


def _flow(request: Request) -> Response:
    flow, key = _named(request.query_params)
    context = {"title": TITLE, "view": _flows(request).get(flow, key)}
    return site_of(request).render(request, "flow.html", context)


def _flows(request: Request) -> Flows:
    deployment = site_of(request).deployment
    wiring = deployment.wiring
    declared = declared_flows(wiring.tasks) if wiring else ()
    return Flows(adapters=deployment.adapters, settings=deployment.settings, declared=declared)


def _named(fields: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the name of a flow and a key; a field that is missing means the flow as a whole."""
    return fields.get("flow", ""), fields.get("key")


def _text(view: FlowView) -> str:
    return view.flow if view.key is None else f"{view.flow}, key {view.key!r}"


def _pause(request: Request, fields: Mapping[str, str]) -> Action:
    flows, (flow, key), change = _flows(request), _named(fields), fields.get("change", "")
    if change not in _PAUSES:
        raise UnknownNameError(f"A flow cannot be told to {change!r}.")
    text = _text(flows.get(flow, key))

    def run() -> str:
        if change == "pause":
            flows.pause(flow, key)
            return f"{text} is paused."
        flows.resume(flow, key)
        return f"{text} goes on."

    return Action(
        name=f"{change} flow",
        subject=text,
        question=f"{change.capitalize()} {text}?",
        effect=_PAUSES[change],
        run=run,
        back=_address(flow, key),
    )


def _limit(request: Request, fields: Mapping[str, str]) -> Action:
    flows, (flow, key) = _flows(request), _named(fields)
    text, rate = _text(flows.get(flow, key)), fields.get("rate", "").strip()
    concurrency, burst = _count(fields, "concurrency"), _count(fields, "burst")
    check_limits(concurrency, rate, burst)

    def run() -> str:
        flows.limit(flow, key, concurrency=concurrency, rate=rate, burst=burst)
        return f"{text} has its limit, from the next call that begins or ends."

    is_set = concurrency or rate or burst
    return Action(
        name="limit flow",
        subject=text,
        question=f"Limit {text}?" if is_set else f"Limit {text} as it is declared?",
        effect="It holds in all processes, until it is set again. What is left empty is as "
        "declared. Calls that run go on.",
        run=run,
        back=_address(flow, key),
    )


def _count(fields: Mapping[str, str], name: str) -> int | None:
    """Return the number in a field of a form; None if it is empty."""
    text = fields.get(name, "").strip()
    if text and not (text.isascii() and text.isdecimal()):
        raise UsageError(f"{name}: {text[:80]!r} is not a whole number from 1.")
    return int(text[:18]) if text else None


def _address(flow: str, key: str | None) -> str:
    fields = {"flow": flow} if key is None else {"flow": flow, "key": key}
    return f"{_HOME}/flow?{urlencode(fields)}"
