"""The composite indexes that `index.yaml`, Terraform files or a Terraform plan declare."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from adjourn_local.datastore import CompositeIndex
from adjourn_local.errors import UsageError

_RESOURCE = "google_firestore_index"
_log = logging.getLogger(__name__)


def declared(paths: Sequence[Path]) -> list[CompositeIndex]:
    """Return the indexes that some files, or the files of some folders, declare.

    Raises:
        UsageError: A file is missing or cannot be understood.
    """
    return sorted({index for path in paths for file in _files(path) for index in _read(file)})


def _files(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if _kind(file.name) and file.is_file())


def _kind(name: str) -> str | None:
    return next((ending for ending in _READERS if name.endswith(ending)), None)


def _read(file: Path) -> Iterator[CompositeIndex]:
    kind = _kind(file.name)
    if kind is None:
        raise UsageError(f"{file} ends with none of {', '.join(_READERS)}.")
    try:
        yield from map(CompositeIndex.read, _READERS[kind](file))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}.") from None
    except ValueError as error:
        raise UsageError(f"{file}: {error}.") from None


def _yaml(file: Path) -> Iterator[Mapping[str, Any]]:
    import yaml  # noqa: PLC0415 - only where indexes are required

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    if content is not None and not isinstance(content, Mapping):
        raise ValueError("it has no list `indexes`")
    yield from (content or {}).get("indexes") or []


def _terraform(file: Path) -> Iterator[Mapping[str, Any]]:
    import hcl2  # noqa: PLC0415 - only where indexes are required
    from hcl2.utils import SerializationOptions  # noqa: PLC0415
    from lark.exceptions import LarkError  # noqa: PLC0415

    text = file.read_text(encoding="utf-8")
    if "indexes" not in text and _RESOURCE not in text:
        return
    try:
        options = SerializationOptions(strip_string_quotes=True, with_comments=False)
        content = hcl2.loads(text, serialization_options=options)
    except LarkError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    modules = (module for each in content.get("module", []) for module in each.values())
    for holder in (content, *modules):
        yield from _variable(holder.get("indexes", {}), file)
    for each in content.get("resource", []):
        for resource in each.get(_RESOURCE, {}).values():
            if "dynamic" not in resource:
                yield _resource(resource)


def _variable(indexes: object, file: Path) -> Iterator[Mapping[str, Any]]:
    """Yield what the variable `indexes` of the module declares."""
    if not isinstance(indexes, Mapping):
        _log.warning("%s: `indexes` is an expression, which is not evaluated here.", file)
        return
    for each in indexes.values():
        properties = [
            _property(one.get("name"), one.get("order")) for one in each.get("properties", [])
        ]
        yield {**each, "properties": properties}


def _json(file: Path) -> Iterator[Mapping[str, Any]]:
    """Yield what a plan declares, as `terraform show -json` prints it, or a file of variables."""
    content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, Mapping):
        raise ValueError("it is no Terraform plan and has no variables")  # noqa: TRY004 - of the file
    yield from _variable(content.get("indexes", {}), file)
    yield from map(_resource, _planned(content.get("planned_values", {}).get("root_module", {})))


def _planned(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from (e["values"] for e in module.get("resources", []) if e["type"] == _RESOURCE)
    for child in module.get("child_modules", []):
        yield from _planned(child)


def _resource(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    fields = resource.get("fields", [])
    return {
        "kind": resource.get("collection"),
        "ancestor": resource.get("query_scope") == "COLLECTION_RECURSIVE",
        "properties": [_property(each.get("field_path"), each.get("order")) for each in fields],
    }


def _property(name: object, order: object) -> Mapping[str, object]:
    directions: Mapping[object, str] = {None: "asc", "ASCENDING": "asc", "DESCENDING": "desc"}
    shown = directions.get(order, order)
    return {"name": "__key__" if name == "__name__" else name, "direction": shown}


_READERS: Mapping[str, Callable[[Path], Iterator[Mapping[str, Any]]]] = {
    ".yaml": _yaml,
    ".yml": _yaml,
    ".tf": _terraform,
    ".tfvars": _terraform,
    ".json": _json,
}
