"""The HTTP mapping of the methods of Cloud Tasks, of v2 and of the older versions."""

from collections.abc import Container, Mapping
from dataclasses import replace

from adjourn_local.http.rest import Rule

_LOCATION = "projects/*/locations/*"
_QUEUE = f"{_LOCATION}/queues/*"
_TASK = f"{_QUEUE}/tasks/*"
_CMEK = f"{_LOCATION}/cmekConfig"

RULES: Mapping[str, Rule] = {
    "ListQueues": Rule("GET", f"/v2/{{parent={_LOCATION}}}/queues"),
    "GetQueue": Rule("GET", f"/v2/{{name={_QUEUE}}}"),
    "CreateQueue": Rule("POST", f"/v2/{{parent={_LOCATION}}}/queues", "queue"),
    "UpdateQueue": Rule("PATCH", f"/v2/{{queue.name={_QUEUE}}}", "queue"),
    "DeleteQueue": Rule("DELETE", f"/v2/{{name={_QUEUE}}}"),
    "PurgeQueue": Rule("POST", f"/v2/{{name={_QUEUE}}}:purge", "*"),
    "PauseQueue": Rule("POST", f"/v2/{{name={_QUEUE}}}:pause", "*"),
    "ResumeQueue": Rule("POST", f"/v2/{{name={_QUEUE}}}:resume", "*"),
    "GetIamPolicy": Rule("POST", f"/v2/{{resource={_QUEUE}}}:getIamPolicy", "*"),
    "SetIamPolicy": Rule("POST", f"/v2/{{resource={_QUEUE}}}:setIamPolicy", "*"),
    "TestIamPermissions": Rule("POST", f"/v2/{{resource={_QUEUE}}}:testIamPermissions", "*"),
    "ListTasks": Rule("GET", f"/v2/{{parent={_QUEUE}}}/tasks"),
    "GetTask": Rule("GET", f"/v2/{{name={_TASK}}}"),
    "CreateTask": Rule("POST", f"/v2/{{parent={_QUEUE}}}/tasks", "*"),
    "BatchCreateTasks": Rule("POST", f"/v2/{{parent={_QUEUE}}}/tasks:batchCreate", "*"),
    "DeleteTask": Rule("DELETE", f"/v2/{{name={_TASK}}}"),
    "BatchDeleteTasks": Rule("POST", f"/v2/{{parent={_QUEUE}}}/tasks:batchDelete", "*"),
    "RunTask": Rule("POST", f"/v2/{{name={_TASK}}}:run", "*"),
    "GetCmekConfig": Rule("GET", f"/v2/{{name={_CMEK}}}"),
    "UpdateCmekConfig": Rule("PATCH", f"/v2/{{cmek_config.name={_CMEK}}}", "cmek_config"),
    "GetOperation": Rule("GET", f"/v2/{{name={_LOCATION}/operations/*}}"),
}

_PULL: Mapping[str, Rule] = {
    "LeaseTasks": Rule("POST", f"/v2/{{parent={_QUEUE}}}/tasks:lease", "*"),
    "AcknowledgeTask": Rule("POST", f"/v2/{{name={_TASK}}}:acknowledge", "*"),
    "RenewLease": Rule("POST", f"/v2/{{name={_TASK}}}:renewLease", "*"),
    "CancelLease": Rule("POST", f"/v2/{{name={_TASK}}}:cancelLease", "*"),
}


def older_rules(version: str, methods: Container[str]) -> Mapping[str, Rule]:
    """Return the mapping of an older version: the same paths below its own name."""
    return {
        name: replace(rule, path=rule.path.replace("/v2/", f"/{version}/", 1))
        for name, rule in {**RULES, **_PULL}.items()
        if name in methods
    }
