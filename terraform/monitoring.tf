locals {
  services = [for each in local.functions : each.service]
  # A log line of one of the functions.
  ours = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = (${join(" OR ", [for each in local.services : "\"${each}\""])})"
  # A queue of ours; a project may have others.
  our_queues = "resource.type = \"cloud_tasks_queue\" AND resource.labels.queue_id = monitoring.regex.full_match(\"${join("|", local.queue_names)}\")"
  failed     = "metric.labels.response_code != monitoring.regex.full_match(\"(?i:ok)|2[0-9][0-9]\")"

  # Metrics on adjourn's own log events, which are never sampled.
  event_metrics = {
    dead_letters       = { events = ["task.dead"], labels = { queue = "queue", task = "task" } }
    failures           = { events = ["task.failed"], labels = { queue = "queue", task = "task" } }
    retry_warnings     = { events = ["task.retry_warning"], labels = { queue = "queue", task = "task" } }
    iteration_failures = { events = ["iteration.error", "iteration.stopped", "iteration.failed"], labels = {} }
    cron_ticks         = { events = ["cron.tick"], labels = { cron_name = "cron_name" } }
    trouble            = { events = ["service.unavailable", "queue.unavailable", "adjourn.fault"], labels = { event = "event" } }
  }

  metric_prefix = replace(var.prefix, "-", "_")

  # What Cloud Monitoring measures of the queues. A period is what one value sums up.
  queue_alerts = {
    failing_attempts = {
      severity  = "WARNING"
      title     = "attempts fail"
      filter    = "metric.type = \"cloudtasks.googleapis.com/queue/task_attempt_count\" AND ${local.failed}"
      aligner   = "ALIGN_RATE"
      reducer   = "REDUCE_SUM"
      threshold = var.monitoring.failed_attempts_per_minute / 60
      duration  = "600s"
    }
    backlog = {
      severity  = "WARNING"
      title     = "tasks pile up"
      filter    = "metric.type = \"cloudtasks.googleapis.com/queue/depth\""
      aligner   = "ALIGN_MAX"
      reducer   = "REDUCE_MAX"
      threshold = var.monitoring.backlog_tasks
      duration  = "900s"
    }
    delay = {
      severity  = "WARNING"
      title     = "tasks start late"
      filter    = "metric.type = \"cloudtasks.googleapis.com/queue/task_attempt_delays\""
      aligner   = "ALIGN_PERCENTILE_95"
      reducer   = "REDUCE_MAX"
      threshold = var.monitoring.delay_seconds * 1000
      duration  = "600s"
    }
  }

  # What is worth an alert whenever it is logged.
  log_alerts = {
    dead_letters = {
      severity = "ERROR"
      title    = "a task was given up"
      filter   = "${local.ours} AND jsonPayload.event = \"task.dead\""
      labels   = { task = "EXTRACT(jsonPayload.task)", queue = "EXTRACT(jsonPayload.queue)" }
    }
    retry_threshold = {
      severity = "ERROR"
      title    = "a task is retried too often"
      filter   = "${local.ours} AND jsonPayload.event = \"task.retry_warning\""
      labels   = { task = "EXTRACT(jsonPayload.task)", queue = "EXTRACT(jsonPayload.queue)" }
    }
    failing_cron = {
      severity = "ERROR"
      title    = "a cron call failed"
      filter   = "resource.type = \"cloud_scheduler_job\" AND resource.labels.job_id = (${join(" OR ", [for name in keys(local.crons) : "\"${var.prefix}-${name}\""])}) AND severity >= ERROR"
      labels   = { job = "EXTRACT(resource.labels.job_id)" }
    }
    stopped_iteration = {
      severity = "ERROR"
      title    = "an iteration does not go on"
      filter   = "${local.ours} AND jsonPayload.event = (\"iteration.stopped\" OR \"iteration.failed\" OR \"iteration.unknown\" OR \"iteration.lost\")"
      labels   = { run = "EXTRACT(jsonPayload.run)" }
    }
    failing_startup = {
      severity = "ERROR"
      title    = "a startup task was not enqueued"
      filter   = "${local.ours} AND jsonPayload.event = \"startup.failed\" AND severity >= ERROR"
      labels   = { task = "EXTRACT(jsonPayload.task)" }
    }
    fault = {
      severity = "CRITICAL"
      title    = "adjourn itself is at fault"
      filter   = "${local.ours} AND jsonPayload.event = \"adjourn.fault\""
      labels   = {}
    }
  }

  runbook = {
    project = var.project
    prefix  = var.prefix
    region  = local.region
    links   = local.links
  }
}

resource "google_logging_metric" "event" {
  for_each = local.event_metrics

  project     = var.project
  name        = "${local.metric_prefix}_${each.key}"
  description = "Log events ${join(", ", each.value.events)} of the functions."
  filter      = "${local.ours} AND jsonPayload.event = (${join(" OR ", [for event in each.value.events : "\"${event}\""])})"

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

  depends_on = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "queue" {
  for_each = var.monitoring.is_enabled ? local.queue_alerts : {}

  project               = var.project
  display_name          = "${var.prefix}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.monitoring.notification_channels

  conditions {
    display_name = each.value.title

    condition_threshold {
      filter          = "${local.our_queues} AND ${each.value.filter}"
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.threshold
      duration        = each.value.duration

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
        group_by_fields      = ["resource.label.queue_id", "resource.label.location"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "${var.prefix} in ${var.project}: ${each.value.title}"
    content   = templatefile("${path.module}/runbooks/${each.key}.md.tftpl", local.runbook)
  }

  alert_strategy {
    auto_close = "86400s"
  }

  depends_on = [google_project_service.api]
}

# On the lines themselves: a metric would be minutes old, and on the first apply not yet there.
resource "google_monitoring_alert_policy" "log" {
  for_each = { for name, alert in local.log_alerts : name => alert if var.monitoring.is_enabled && (name != "failing_cron" || length(local.crons) > 0) }

  project               = var.project
  display_name          = "${var.prefix}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.monitoring.notification_channels

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

  depends_on = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "missing_cron" {
  for_each = { for name, cron in local.crons : name => cron if var.monitoring.is_enabled && cron.missing_after_seconds > 0 && !cron.is_paused }

  project               = var.project
  display_name          = "${var.prefix}: cron ${each.key} is missing"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = var.monitoring.notification_channels

  conditions {
    display_name = "no call under ${each.key}"

    # Unlike a condition on absence, this also sees a job that has never run.
    condition_prometheus_query_language {
      query                     = "absent_over_time(logging_googleapis_com:user_${google_logging_metric.event["cron_ticks"].name}{monitored_resource=\"cloud_run_revision\",cron_name=\"${each.key}\"}[${each.value.missing_after_seconds}s])"
      duration                  = "0s"
      evaluation_interval       = "60s"
      disable_metric_validation = true # the metric is as new as this on the first apply
    }
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "${var.prefix} in ${var.project}: cron ${each.key} is missing"
    content   = templatefile("${path.module}/runbooks/missing_cron.md.tftpl", merge(local.runbook, { cron = each.key }))
  }

  alert_strategy {
    auto_close = "86400s"
  }
}
