"""The API methods for a location's encryption key (CMEK), which cannot be set here."""

import re
from typing import Any

import grpc
from google.cloud.tasks_v2.types import cmek_config

from adjourn_local.http.resource_names import LOCATION, invalid
from adjourn_local.http.rpc import RpcError

_NAME = re.compile(rf"{LOCATION}/cmekConfig")
_CmekConfig: Any = cmek_config.CmekConfig.pb()


def get(request: Any) -> Any:
    """Serve GetCmekConfig."""
    return _config(request.name)


def update(request: Any) -> Any:
    """Serve UpdateCmekConfig; setting a key is refused, because it would not be used."""
    if request.cmek_config.kms_key:
        raise RpcError(
            grpc.StatusCode.UNIMPLEMENTED,
            "CmekConfig.kms_key is not served by this local server: there is no Cloud KMS here.",
        )
    return _config(request.cmek_config.name)


def _config(name: str) -> Any:
    if not _NAME.fullmatch(name):
        raise invalid(
            f'CMEK config name "{name}" must be formatted: '
            '"projects/<PROJECT_ID>/locations/<LOCATION_ID>/cmekConfig".'
        )
    return _CmekConfig(name=name)
