"""Parameters that people fill in as the bones of one of ViUR's skeletons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adjourn.callable_tasks.forms import Form, InvalidParametersError

# By the first part of a bone's type; whatever else there is takes what ViUR takes.
_TYPES: Mapping[str, Mapping[str, object]] = {
    "str": {"type": "string"},
    "text": {"type": "string"},
    "numeric": {"type": "number"},
    "bool": {"type": "boolean"},
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SkeletonForm(Form):
    """The bones of a skeleton; ViUR itself reads what was given, by `fromClient`.

    Attributes:
        skeleton: Makes an instance, as `dataSkel` does.
    """

    skeleton: Callable[[], Any]

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema of the object that `read` takes."""
        bones = _bones(self.skeleton())
        return {
            "type": "object",
            "properties": {name: _schema(bone) for name, bone in bones.items()},
            "required": [name for name, bone in bones.items() if bone.required],
            "additionalProperties": False,
        }

    def read(self, given: object) -> Mapping[str, object]:
        """Return what the bones have made of a JSON object.

        Raises:
            InvalidParametersError: ViUR does not take it.
        """
        if not isinstance(given, dict):
            raise InvalidParametersError({"": "must be an object"})
        skeleton = self.skeleton()
        bones = _bones(skeleton)
        unknown = given.keys() - bones.keys()
        if unknown:
            raise InvalidParametersError(dict.fromkeys(unknown, "is not a parameter"))
        if not skeleton.fromClient(dict(given)):
            raise InvalidParametersError(_errors(skeleton, bones))
        return {name: skeleton[name] for name in bones if name in skeleton.accessedValues}


def _bones(skeleton: Any) -> Mapping[str, Any]:
    if skeleton is None:
        return {}
    return {name: bone for name, bone in skeleton.items() if not bone.readOnly}


def _schema(bone: Any) -> Mapping[str, object]:
    kind, *_ = str(bone.type).split(".")
    one = dict(_TYPES.get(kind, {}))
    values = getattr(bone, "values", None)
    if kind == "select" and isinstance(values, dict):
        one["enum"] = list(values)
    schema = {"type": "array", "items": one} if bone.multiple else one
    return {**schema, **({"description": str(bone.descr)} if bone.descr else {})}


def _errors(skeleton: Any, bones: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what keeps the bones from being read, by their names."""
    found: dict[str, str] = {}
    for error in skeleton.errors:
        name = ".".join(map(str, error.fieldPath))
        bone = bones.get(str(error.fieldPath[0])) if error.fieldPath else None
        if error.severity.name == "Invalid" or (bone is not None and bone.required):
            found[name] = str(error.errorMessage)
    return found or {"": "was not accepted"}
