"""The HTTP mapping of the methods of Cloud Tasks, of v2 and of what v2beta3 has beyond it."""

from collections.abc import Mapping

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

BETA_RULES: Mapping[str, Rule] = {
    "ListQueues": Rule("GET", f"/v2beta3/{{parent={_LOCATION}}}/queues"),
    "GetQueue": Rule("GET", f"/v2beta3/{{name={_QUEUE}}}"),
}
