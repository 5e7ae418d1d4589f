"""The Locations service, which Cloud Tasks and Cloud Scheduler share: lists regions."""

from typing import Any

import grpc
from aiohttp import web
from google.cloud.location import locations_pb2  # type: ignore[import-untyped]

from adjourn_local.http import rest, rpc
from adjourn_local.http.resource_names import check_location, check_project
from adjourn_local.http.rest import Rule

# https://cloud.google.com/tasks/docs/locations; the servers accept any name.
REGIONS = (
    "asia-east1",
    "asia-east2",
    "asia-northeast1",
    "asia-northeast2",
    "asia-northeast3",
    "asia-south1",
    "asia-southeast1",
    "australia-southeast1",
    "europe-central2",
    "europe-west1",
    "europe-west2",
    "europe-west3",
    "europe-west6",
    "northamerica-northeast1",
    "southamerica-east1",
    "us-central1",
    "us-east1",
    "us-east4",
    "us-west1",
    "us-west2",
    "us-west3",
    "us-west4",
)


def grpc_service() -> grpc.GenericRpcHandler:
    """Return the gRPC service for both Cloud Tasks and Cloud Scheduler."""
    return rpc.service("google.cloud.location.Locations", _METHODS)


def http_routes() -> list[web.RouteDef]:
    """Return the HTTP routes under the API versions of both services."""
    return [route for version in ("v1", "v2") for route in rest.routes(_METHODS, _rules(version))]


def _rules(version: str) -> dict[str, Rule]:
    return {
        "ListLocations": Rule("GET", f"/{version}/{{name=projects/*}}/locations"),
        "GetLocation": Rule("GET", f"/{version}/{{name=projects/*/locations/*}}"),
    }


def _list(request: Any) -> Any:
    check_project(request.name)
    found = [_location(f"{request.name}/locations/{region}") for region in REGIONS]
    return locations_pb2.ListLocationsResponse(locations=found)


def _get(request: Any) -> Any:
    check_location(request.name)
    return _location(request.name)


def _location(name: str) -> Any:
    region = name.rpartition("/")[2]
    labels = {"cloud.googleapis.com/region": region}
    return locations_pb2.Location(name=name, location_id=region, labels=labels)


_METHODS: rpc.Methods = {
    "ListLocations": (locations_pb2.ListLocationsRequest, _list),
    "GetLocation": (locations_pb2.GetLocationRequest, _get),
}
