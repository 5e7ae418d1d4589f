"""The HTTP mapping of the methods of Cloud Scheduler v1."""

from collections.abc import Mapping

from adjourn_local.http.rest import Rule

_LOCATION = "projects/*/locations/*"
_JOB = f"{_LOCATION}/jobs/*"

RULES: Mapping[str, Rule] = {
    "ListJobs": Rule("GET", f"/v1/{{parent={_LOCATION}}}/jobs"),
    "GetJob": Rule("GET", f"/v1/{{name={_JOB}}}"),
    "CreateJob": Rule("POST", f"/v1/{{parent={_LOCATION}}}/jobs", "job"),
    "UpdateJob": Rule("PATCH", f"/v1/{{job.name={_JOB}}}", "job"),
    "DeleteJob": Rule("DELETE", f"/v1/{{name={_JOB}}}"),
    "PauseJob": Rule("POST", f"/v1/{{name={_JOB}}}:pause", "*"),
    "ResumeJob": Rule("POST", f"/v1/{{name={_JOB}}}:resume", "*"),
    "RunJob": Rule("POST", f"/v1/{{name={_JOB}}}:run", "*"),
}
