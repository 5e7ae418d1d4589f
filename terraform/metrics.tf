locals {
  services = local.has_functions ? [for each in local.functions : each.service] : compact([local.service_name])
  # A log line of one of the functions, in the language of Cloud Logging.
  our_logs = length(local.services) == 0 ? "jsonPayload.logger = \"adjourn\"" : "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = (${join(" OR ", [for each in local.services : "\"${each}\""])})"
  # The same and a queue of ours, in the language of Cloud Monitoring, which is another one.
  # Source: https://cloud.google.com/monitoring/api/v3/filters
  our_functions = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = one_of(${join(", ", [for each in local.services : "\"${each}\""])})"
  our_queues    = "resource.type = \"cloud_tasks_queue\" AND resource.labels.queue_id = monitoring.regex.full_match(\"${join("|", local.queue_names)}\")"

  # The end of an attempt of one of our jobs, with whatever result.
  # Source: https://cloud.google.com/scheduler/docs/logging (AttemptFinished)
  our_attempts = "resource.type = \"cloud_scheduler_job\" AND resource.labels.location = \"${local.job_region}\" AND resource.labels.job_id = (${join(" OR ", [for name in keys(local.crons) : "\"${var.prefix}-${name}\""])}) AND jsonPayload.\"@type\" = \"type.googleapis.com/google.cloud.scheduler.logging.AttemptFinished\""

  # Metrics on adjourn's own log events, which are never sampled.
  event_metrics = merge({
    dead_letters       = { events = ["task.dead"], labels = { queue = "queue", task = "task" } }
    failures           = { events = ["task.failed"], labels = { queue = "queue", task = "task" } }
    retry_warnings     = { events = ["task.retry_warning"], labels = { queue = "queue", task = "task" } }
    iteration_failures = { events = ["iteration.error", "iteration.stopped", "iteration.failed"], labels = {} }
    cron_ticks         = { events = ["cron.tick"], labels = { cron_name = "cron_name" } }
    trouble            = { events = ["service.unavailable", "queue.unavailable", "adjourn.fault"], labels = { event = "event" } }
    # Who else calls a service of the user's own may well be answered 401 or 403.
    }, local.has_functions ? {} : {
    refused_callers = { events = ["caller.refused"], labels = {} }
  })
  attempt_metrics = length(local.crons) == 0 ? {} : {
    cron_failures  = { description = "Calls of Cloud Scheduler that were not answered with success.", filter = "${local.our_attempts} AND severity >= ERROR" }
    cron_successes = { description = "Calls of Cloud Scheduler that were answered with success.", filter = "${local.our_attempts} AND severity < ERROR" }
  }

  metric_prefix = replace(var.prefix, "-", "_")
  metric_types  = { for name, metric in google_logging_metric.event : name => "logging.googleapis.com/user/${metric.name}" }
}

resource "google_logging_metric" "event" {
  for_each = local.event_metrics

  project     = var.project
  name        = "${local.metric_prefix}_${each.key}"
  description = "Log events ${join(", ", each.value.events)} of the functions."
  filter      = "${local.our_logs} AND jsonPayload.event = (${join(" OR ", [for event in each.value.events : "\"${event}\""])})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }

  label_extractors = { for label, field in each.value.labels : label => "EXTRACT(jsonPayload.${field})" }

  depends_on = [time_sleep.apis]
}

resource "google_logging_metric" "attempt" {
  for_each = local.attempt_metrics

  project     = var.project
  name        = "${local.metric_prefix}_${each.key}"
  description = each.value.description
  filter      = each.value.filter

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }

  depends_on = [time_sleep.apis]
}
