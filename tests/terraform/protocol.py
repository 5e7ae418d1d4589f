"""Terraform's plugin protocol 6, as far as a provider of plain resources needs it.

The messages are built from their field numbers, so nothing has to be generated. Fields that are not
here are skipped when read, as protocol buffers do.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "tfplugin6"
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bytes": _Field.TYPE_BYTES,
    "string": _Field.TYPE_STRING,
    "bool": _Field.TYPE_BOOL,
    "int": _Field.TYPE_INT64,
}
# name, then "number type name" for each field; a star makes it repeated. A map is repeated entries.
_MESSAGES = {
    "Nothing": "",
    "DynamicValue": "1 bytes msgpack, 2 bytes json",
    "Step": "1 string attribute_name, 3 int element_key_int",
    "AttributePath": "1 *Step steps",
    "Diagnostic": "1 int severity, 2 string summary, 3 string detail, 4 AttributePath attribute",
    "Attribute": "1 string name, 2 bytes type, 4 bool required, 5 bool optional, 6 bool computed",
    "NestedBlock": (
        "1 string type_name, 2 Block block, 3 int nesting, 4 int min_items, 5 int max_items"
    ),
    "Block": "2 *Attribute attributes, 3 *NestedBlock block_types",
    "Schema": "1 int version, 2 Block block",
    "SchemaEntry": "1 string key, 2 Schema value",
    "RawState": "1 bytes json",
    "TypeName": "1 string type_name",
    "GetMetadataResponse": "3 *TypeName data_sources, 4 *TypeName resources",
    "GetProviderSchemaResponse": (
        "1 Schema provider, 2 *SchemaEntry resource_schemas, 3 *SchemaEntry data_source_schemas"
    ),
    "ValidateProviderConfigResponse": "2 *Diagnostic diagnostics",
    "ValidateConfigRequest": "1 string type_name, 2 DynamicValue config",
    "ValidateConfigResponse": "1 *Diagnostic diagnostics",
    "UpgradeRequest": "1 string type_name, 2 int version, 3 RawState raw_state",
    "UpgradeResponse": "1 DynamicValue upgraded_state, 2 *Diagnostic diagnostics",
    "ConfigureRequest": "1 string terraform_version, 2 DynamicValue config",
    "ReadRequest": "1 string type_name, 2 DynamicValue current_state",
    "ReadResponse": "1 DynamicValue new_state, 2 *Diagnostic diagnostics",
    "PlanRequest": (
        "1 string type_name, 2 DynamicValue prior_state, 3 DynamicValue proposed_new_state,"
        " 4 DynamicValue config"
    ),
    "PlanResponse": (
        "1 DynamicValue planned_state, 2 *AttributePath requires_replace,"
        " 4 *Diagnostic diagnostics, 5 bool legacy_type_system"
    ),
    "ApplyRequest": (
        "1 string type_name, 2 DynamicValue prior_state, 3 DynamicValue planned_state,"
        " 4 DynamicValue config"
    ),
    "ApplyResponse": (
        "1 DynamicValue new_state, 3 *Diagnostic diagnostics, 4 bool legacy_type_system"
    ),
    "ReadDataRequest": "1 string type_name, 2 DynamicValue config",
    "ReadDataResponse": "1 DynamicValue state, 2 *Diagnostic diagnostics",
}
# The calls of the service Provider: what goes in, and what comes out.
CALLS = {
    "GetMetadata": ("Nothing", "GetMetadataResponse"),
    "GetProviderSchema": ("Nothing", "GetProviderSchemaResponse"),
    "GetFunctions": ("Nothing", "Nothing"),
    "ValidateProviderConfig": ("Nothing", "ValidateProviderConfigResponse"),
    "ValidateResourceConfig": ("ValidateConfigRequest", "ValidateConfigResponse"),
    "ValidateDataResourceConfig": ("ValidateConfigRequest", "ValidateConfigResponse"),
    "UpgradeResourceState": ("UpgradeRequest", "UpgradeResponse"),
    "ConfigureProvider": ("ConfigureRequest", "ValidateConfigResponse"),
    "ReadResource": ("ReadRequest", "ReadResponse"),
    "PlanResourceChange": ("PlanRequest", "PlanResponse"),
    "ApplyResourceChange": ("ApplyRequest", "ApplyResponse"),
    "ReadDataSource": ("ReadDataRequest", "ReadDataResponse"),
    "StopProvider": ("Nothing", "Nothing"),
}
SERVICE = f"{_PACKAGE}.Provider"
ERROR = 1
LIST, SET = 2, 3  # of NestedBlock.nesting


class Messages:
    """The message classes, by name as attributes."""

    def __init__(self) -> None:
        file = descriptor_pb2.FileDescriptorProto(
            name="provider.proto", package=_PACKAGE, syntax="proto3"
        )
        for name, fields in _MESSAGES.items():
            message = file.message_type.add(name=name)
            for field in filter(None, fields.split(", ")):
                _add(message, *field.split())
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file)
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        found = self._pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
        return message_factory.GetMessageClass(found)


def _add(message: Any, number: str, kind: str, name: str) -> None:
    bare = kind.removeprefix("*")
    field = message.field.add(name=name, number=int(number))
    field.label = _Field.LABEL_REPEATED if kind != bare else _Field.LABEL_OPTIONAL
    if bare in _SCALARS:
        field.type = _SCALARS[bare]
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{bare}"
