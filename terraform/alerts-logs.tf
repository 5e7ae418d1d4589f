locals {
  # What is worth an alert whenever it is logged.
  log_alerts = {
    dead_letters = {
      severity = "ERROR"
      title    = "a task was given up"
      filter   = "${local.our_logs} AND jsonPayload.event = \"task.dead\""
      labels   = { task = "EXTRACT(jsonPayload.task)", queue = "EXTRACT(jsonPayload.queue)" }
    }
    retry_threshold = {
      severity = "ERROR"
      title    = "a task is retried too often"
      filter   = "${local.our_logs} AND jsonPayload.event = \"task.retry_warning\""
      labels   = { task = "EXTRACT(jsonPayload.task)", queue = "EXTRACT(jsonPayload.queue)" }
    }
    stopped_iteration = {
      severity = "ERROR"
      title    = "an iteration does not go on"
      filter   = "${local.our_logs} AND jsonPayload.event = (\"iteration.stopped\" OR \"iteration.failed\" OR \"iteration.died\" OR \"iteration.unknown\" OR \"iteration.lost\")"
      labels   = { run = "EXTRACT(jsonPayload.run)" }
    }
    failing_startup = {
      severity = "ERROR"
      title    = "a startup task was not enqueued"
      filter   = "${local.our_logs} AND jsonPayload.event = \"startup.failed\" AND severity >= ERROR"
      labels   = { task = "EXTRACT(jsonPayload.task)" }
    }
    fault = {
      severity = "CRITICAL"
      title    = "adjourn itself is at fault"
      filter   = "${local.our_logs} AND jsonPayload.event = \"adjourn.fault\""
      labels   = {}
    }
    # Then Cloud Run checks no caller any more, and ADJOURN_PLATFORM says that it does.
    # Source: https://cloud.google.com/run/docs/audit-logging (SetIamPolicy is an admin activity)
    public_access = {
      severity = "CRITICAL"
      title    = "anybody may call a function"
      filter   = "logName = \"projects/${var.project}/logs/cloudaudit.googleapis.com%2Factivity\" AND ${local.our_logs_of_services} AND (${join(" OR ", local.ways_to_be_public)})"
      labels   = { who = "EXTRACT(protoPayload.authenticationInfo.principalEmail)" }
    }
  }

  # A service of the user's own may be open to everybody if adjourn checks the callers itself.
  log_alert_names = setsubtract(keys(local.log_alerts), try(var.service.platform, "") == "verify" ? ["public_access"] : [])

  # A role for everybody; and no check of roles at all, in both versions of the API.
  # Source: https://cloud.google.com/run/docs/authenticating/public
  ways_to_be_public = [
    "(protoPayload.methodName =~ \"SetIamPolicy$\" AND protoPayload.request.policy.bindings.members = (\"allUsers\" OR \"allAuthenticatedUsers\"))",
    "protoPayload.request.service.invokerIamDisabled = true",
    "protoPayload.request.service.metadata.annotations.\"run.googleapis.com/invoker-iam-disabled\" = \"true\"",
  ]

  our_logs_of_services = "protoPayload.serviceName = \"run.googleapis.com\" AND protoPayload.resourceName =~ \"/services/(${join("|", local.services)})$\""
}

# On the lines themselves: a metric would be minutes old, and on the first apply not yet there.
resource "google_monitoring_alert_policy" "log" {
  for_each = { for name, alert in local.log_alerts : name => alert if var.monitoring.is_enabled && contains(local.log_alert_names, name) }

  project               = var.project
  display_name          = "${var.prefix}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels[each.value.severity]
  user_labels           = var.monitoring.user_labels

  conditions {
    display_name = each.value.title

    condition_matched_log {
      filter           = each.value.filter
      label_extractors = each.value.labels
    }
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "${var.prefix} in ${var.project}: ${each.value.title}"
    content   = templatefile("${path.module}/runbooks/${each.key}.md.tftpl", local.runbook)
  }

  alert_strategy {
    auto_close = "86400s"

    notification_rate_limit {
      period = "300s"
    }
  }

  depends_on = [time_sleep.apis]
}
