"""A provider that stands in for Google's and time's, with no network.

It speaks Terraform's plugin protocol.

Queues and Cloud Scheduler jobs are made at a local server, if there is one, through Google's own
clients, and read back from there. All other resources live in Terraform's state alone, with
invented ids, as a service would give them back. What it checks is what google.json and time.json
say (types, required arguments, enumerations); the rest of Google's rules, and its answers, only the
real provider knows.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format

from tests.terraform import invented
from tests.terraform.changes import mistakes, planned, replacing, settled
from tests.terraform.protocol import CALLS, ERROR, SERVICE, Messages
from tests.terraform.schema import block_of, schema, tables
from tests.terraform.services import Jobs, Queues, Service
from tests.terraform.stored import as_stored
from tests.terraform.values import State, dump, load


class Stub:
    """The provider.

    Attributes:
        services: What is really made, by type of resource; empty if nothing is.
    """

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.messages = Messages()

    @contextmanager
    def connected(self, host: str) -> Iterator[None]:
        """Make queues and jobs at the server on `host:port` while the context is open."""
        before = self.services
        self.services = {
            "google_cloud_tasks_queue": Queues(host),
            "google_cloud_scheduler_job": Jobs(host),
        }
        yield
        self.services = before

    def get_metadata(self, _request: Any) -> Any:
        names = {
            kind: [self.messages.TypeName(type_name=n) for n in tables()[kind]] for kind in _KINDS
        }
        return self.messages.GetMetadataResponse(
            data_sources=names["data"], resources=names["resources"]
        )

    def get_provider_schema(self, _request: Any) -> Any:
        entries = {
            kind: [
                self.messages.SchemaEntry(key=name, value=schema(self.messages, name))
                for name in tables()[kind]
            ]
            for kind in _KINDS
        }
        return self.messages.GetProviderSchemaResponse(
            provider=self.messages.Schema(block=self.messages.Block()),
            resource_schemas=entries["resources"],
            data_source_schemas=entries["data"],
        )

    def get_functions(self, _request: Any) -> Any:
        return self.messages.Nothing()

    def stop_provider(self, _request: Any) -> Any:
        return self.messages.Nothing()

    def validate_provider_config(self, _request: Any) -> Any:
        return self.messages.ValidateProviderConfigResponse()

    def configure_provider(self, _request: Any) -> Any:
        return self.messages.ValidateConfigResponse()

    def validate_data_resource_config(self, _request: Any) -> Any:
        return self.messages.ValidateConfigResponse()

    def validate_resource_config(self, request: Any) -> Any:
        config = load(request.config.msgpack)
        found = mistakes(block_of(request.type_name), config)
        return self.messages.ValidateConfigResponse(diagnostics=map(self._error, found))

    def upgrade_resource_state(self, request: Any) -> Any:
        state = json.loads(request.raw_state.json)
        fields = block_of(request.type_name)
        return self.messages.UpgradeResponse(
            upgraded_state=self._value({name: state.get(name) for name in fields})
        )

    def read_resource(self, request: Any) -> Any:
        state = load(request.current_state.msgpack)
        service = self.services.get(request.type_name)
        return self.messages.ReadResponse(
            new_state=self._value(
                service.read(state) if service else as_stored(request.type_name, state)
            )
        )

    def plan_resource_change(self, request: Any) -> Any:
        prior, proposed = (
            load(request.prior_state.msgpack),
            load(request.proposed_new_state.msgpack),
        )
        if proposed is None:
            return self.messages.PlanResponse(planned_state=self._value(None))
        fields = block_of(request.type_name)
        new = invented.foreseen(request.type_name, planned(fields, prior, proposed))
        paths = replacing(fields, prior, new) if prior else []
        return self.messages.PlanResponse(
            planned_state=self._value(new),
            requires_replace=[
                self.messages.AttributePath(steps=[self.messages.Step(attribute_name=path)])
                for path in paths
            ],
            legacy_type_system=True,
        )

    def apply_resource_change(self, request: Any) -> Any:
        prior, wanted = load(request.prior_state.msgpack), load(request.planned_state.msgpack)
        try:
            new = self._applied(request.type_name, prior, wanted)
            found: Sequence[str] = []
        except (RefusedError, grpc.RpcError, json_format.ParseError) as error:
            new, found = prior, [str(error)]
        return self.messages.ApplyResponse(
            new_state=self._value(new),
            diagnostics=map(self._error, found),
            legacy_type_system=True,
        )

    def read_data_source(self, request: Any) -> Any:
        config = load(request.config.msgpack)
        told = invented.answered(request.type_name, config)
        state = {name: config.get(name) or told.get(name) for name in config}
        return self.messages.ReadDataResponse(state=self._value(state))

    def _applied(self, type_name: str, prior: State | None, wanted: State | None) -> State | None:
        service = self.services.get(type_name)
        if wanted is None:
            policy = (prior or {}).get("deletion_policy")
            if policy == "PREVENT":
                raise RefusedError(f"cannot destroy {type_name}: its deletion_policy is PREVENT")
            if service and policy != "ABANDON":
                service.delete(prior or {})
            return None
        fields = block_of(type_name)
        new = settled(fields, wanted, invented.answered(type_name, wanted))
        if service is None:
            return as_stored(type_name, new)
        return service.update(prior, new) if prior else service.create(new)

    def _value(self, value: State | None) -> Any:
        return self.messages.DynamicValue(msgpack=dump(value))

    def _error(self, text: str) -> Any:
        return self.messages.Diagnostic(severity=ERROR, summary=text)


class RefusedError(Exception):
    """The provider does not do that."""


_KINDS = ("data", "resources")


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def _handler(stub: Stub, call: str) -> grpc.RpcMethodHandler:
    asked, _ = (getattr(stub.messages, name) for name in CALLS[call])
    answer: Callable[[Any], Any] = getattr(stub, _snake(call))
    return grpc.unary_unary_rpc_method_handler(
        lambda request, _context: answer(request),
        request_deserializer=asked.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


@contextmanager
def serving(stub: Stub, socket: Path) -> Iterator[dict[str, str]]:
    """Serve the provider on a socket; yield the variables that lead Terraform there.

    Source: https://developer.hashicorp.com/terraform/plugin/debugging (TF_REATTACH_PROVIDERS).
    """
    server = grpc.server(ThreadPoolExecutor(8))
    handlers = {call: _handler(stub, call) for call in CALLS}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    address = {"Network": "unix", "String": str(socket)}
    plugin = {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True}
    plugins = {name: {**plugin, "Addr": address} for name in ("hashicorp/google", "hashicorp/time")}
    try:
        yield {"TF_REATTACH_PROVIDERS": json.dumps(plugins)}
    finally:
        server.stop(None).wait()
