"""The page of a laptop stack's Datastore: kinds and entities, which can be edited."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adjourn.errors import UnknownNameError
from adjourn_local.clients.stack_control import INDEXES_PATH
from adjourn_local.console.actions import Action, perform
from adjourn_local.console.entities import address, edited, properties
from adjourn_local.console.rendering import PREFIX, Site, site_of
from adjourn_local.datastore.composite_indexes import CompositeIndex
from adjourn_local.datastore.needed_indexes import terraform

TITLE = "Datastore"
PATH = "/datastore"
_HOME = f"{PREFIX}{PATH}"
_ROWS = 50
_SHOWN = 4  # properties of each entity in a list


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [
        Route(PATH, _list),
        Route(f"{PATH}/entity", _entity),
        Route(f"{PATH}/edit", perform(_edit), methods=["POST"]),
        Route(f"{PATH}/delete", perform(_delete), methods=["POST"]),
    ]


def _list(request: Request) -> Response:
    site = _laptop(request)
    entities, asked = site.deployment.entities, request.query_params
    kind, namespace = asked.get("kind"), asked.get("namespace", "")
    page = None
    if kind is not None:
        page = entities.page(kind, namespace, size=_ROWS, after=asked.get("after"))
    context = {
        "title": TITLE,
        "namespaces": entities.namespaces(),
        "namespace": namespace,
        "kinds": entities.kinds(namespace),
        "kind": kind,
        "rows": [
            (address(each.key), each.key.flat_path, properties(each)[:_SHOWN], len(each))
            for each in (page.rows if page else ())
        ],
        "next": page.next if page else None,
        "indexes": _indexes(site) if kind is None else "",
    }
    return site.render(request, "datastore.html", context)


def _indexes(site: Site) -> str:
    """Return the composite indexes that queries have needed, as Terraform text; "" for none."""
    control = site.deployment.control
    needed = control.ask(INDEXES_PATH)["needed"] if control else []
    return terraform(map(CompositeIndex.read, needed)) if needed else ""


def _entity(request: Request) -> Response:
    site = _laptop(request)
    place = request.query_params.get("address", "")
    entity = site.deployment.entities.get(place)
    if entity is None:
        raise UnknownNameError(f"There is no entity {place}.")
    context = {
        "title": TITLE,
        "address": place,
        "key": entity.key,
        "properties": properties(entity),
    }
    return site.render(request, "entity.html", context)


def _edit(request: Request, fields: Mapping[str, str]) -> Action:
    entities = _laptop(request).deployment.entities
    place, name = fields.get("address", ""), fields.get("name", "")
    entity = entities.get(place)
    if entity is None or name not in entity:
        raise UnknownNameError(f"There is no property {name!r} of {place}.")
    value = edited(entity[name], fields.get("value", ""))
    before = entity[name]

    def run() -> str:
        entity[name] = value
        entities.put(entity)
        return f"{name} is {value!r} now."

    return Action(
        name="edit entity",
        subject=f"{place} {name}",
        question=f"Set {name} to {value!r}?",
        effect=f"It is {before!r} now. What else was changed since you looked is overwritten.",
        run=run,
        back=_HOME,
    )


def _delete(request: Request, fields: Mapping[str, str]) -> Action:
    entities = _laptop(request).deployment.entities
    place = fields.get("address", "")
    key = entities.key(place)

    def run() -> str:
        entities.delete(place)
        return f"{place} is deleted."

    return Action(
        name="delete entity",
        subject=place,
        question=f"Delete the entity {place}?",
        effect="It is gone for good. Entities below it stay.",
        run=run,
        back=f"{_HOME}?kind={key.kind}&namespace={key.namespace or ''}",
    )


def _laptop(request: Request) -> Site:
    site = site_of(request)
    if site.deployment.control is None:
        raise UnknownNameError("Entities of a project are looked at in the Cloud Console.")
    return site
