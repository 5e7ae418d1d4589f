locals {
  runbook = {
    project = var.project
    prefix  = var.prefix
    region  = var.region
    links   = local.links
  }

  # Everybody is told of everything, and some of what is as bad as that.
  channels = {
    for severity in ["CRITICAL", "ERROR", "WARNING"] :
    severity => distinct(concat(var.monitoring.notification_channels, lookup(var.monitoring.channels_by_severity, severity, [])))
  }

  refused_attempt = "metric.labels.response_code != monitoring.regex.full_match(\"(?i:ok)|2[0-9][0-9]\")"
  by_queue        = ["resource.label.queue_id", "resource.label.location"]
  by_function     = ["resource.label.service_name"]

  refusals = (
    local.has_functions ?
    "metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code = one_of(\"401\", \"403\")" :
    "metric.type = \"${local.metric_types.refused_callers}\""
  )
  instance_limits = merge(
    { for name, each in local.functions : name => { instances = each.max_instances, service = each.service } },
    try(var.service.max_instances, null) == null ? {} :
    { "your service" = { instances = var.service.max_instances, service = local.service_name } },
  )

  # What Cloud Monitoring measures of queues and functions, over five minutes each. A function's conditions
  # may differ.
  metric_alerts = {
    failing_attempts = {
      severity = "WARNING"
      title    = "attempts fail"
      filter   = "${local.our_queues} AND metric.type = \"cloudtasks.googleapis.com/queue/task_attempt_count\" AND ${local.refused_attempt}"
      aligner  = "ALIGN_DELTA"
      reducer  = "REDUCE_SUM"
      by       = local.by_queue
      above    = { "attempts fail" = { threshold = var.monitoring.failed_attempts_per_minute * 5, filter = "" } }
      duration = "600s"
    }
    backlog = {
      severity = "WARNING"
      title    = "tasks pile up"
      filter   = "${local.our_queues} AND metric.type = \"cloudtasks.googleapis.com/queue/depth\""
      aligner  = "ALIGN_MAX"
      reducer  = "REDUCE_MAX"
      by       = local.by_queue
      above    = { "tasks pile up" = { threshold = var.monitoring.backlog_tasks, filter = "" } }
      duration = "900s"
    }
    delay = {
      severity = "WARNING"
      title    = "tasks start late"
      filter   = "${local.our_queues} AND metric.type = \"cloudtasks.googleapis.com/queue/task_attempt_delays\""
      aligner  = "ALIGN_PERCENTILE_95"
      reducer  = "REDUCE_MAX"
      by       = local.by_queue
      above    = { "tasks start late" = { threshold = var.monitoring.delay_seconds * 1000, filter = "" } }
      duration = "600s"
    }
    server_errors = {
      severity = "ERROR"
      title    = "a function answers 5xx"
      filter   = "${local.our_functions} AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
      aligner  = "ALIGN_DELTA"
      reducer  = "REDUCE_SUM"
      by       = local.by_function
      above    = { "a function answers 5xx" = { threshold = var.monitoring.server_errors_per_minute * 5, filter = "" } }
      duration = "600s"
    }
    refused_calls = {
      severity = "ERROR"
      title    = "calls are refused"
      filter   = "${local.our_functions} AND ${local.refusals}"
      aligner  = "ALIGN_DELTA"
      reducer  = "REDUCE_SUM"
      by       = local.by_function
      above    = { "calls are refused" = { threshold = var.monitoring.refused_calls_per_minute * 5, filter = "" } }
      duration = "300s"
    }
    memory = {
      severity = "WARNING"
      title    = "a function's memory is nearly used up"
      filter   = "${local.our_functions} AND metric.type = \"run.googleapis.com/container/memory/utilizations\""
      aligner  = "ALIGN_PERCENTILE_99"
      reducer  = "REDUCE_MAX"
      by       = local.by_function
      above    = { "a function's memory is nearly used up" = { threshold = var.monitoring.memory_ratio, filter = "" } }
      duration = "600s"
    }
    instances = {
      severity = "WARNING"
      title    = "a function is at its limit of instances"
      filter   = "resource.type = \"cloud_run_revision\" AND metric.type = \"run.googleapis.com/container/instance_count\" AND metric.labels.state = \"active\""
      aligner  = "ALIGN_MAX"
      reducer  = "REDUCE_SUM"
      by       = local.by_function
      above = {
        for name, limit in local.instance_limits : "all instances of ${name} are busy" => {
          threshold = limit.instances - 0.5
          filter    = " AND resource.labels.service_name = \"${limit.service}\""
        }
      }
      duration = "600s"
    }
  }
}

resource "google_monitoring_alert_policy" "metric" {
  for_each = { for name, alert in local.metric_alerts : name => alert if var.monitoring.is_enabled && length(alert.above) > 0 }

  project               = var.project
  display_name          = "${var.prefix}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels[each.value.severity]
  user_labels           = var.monitoring.user_labels

  dynamic "conditions" {
    for_each = each.value.above
    content {
      display_name = conditions.key

      condition_threshold {
        filter          = "${each.value.filter}${conditions.value.filter}"
        comparison      = "COMPARISON_GT"
        threshold_value = conditions.value.threshold
        duration        = each.value.duration

        aggregations {
          alignment_period     = "300s"
          per_series_aligner   = each.value.aligner
          cross_series_reducer = each.value.reducer
          group_by_fields      = each.value.by
        }
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

  depends_on = [time_sleep.apis]
}
