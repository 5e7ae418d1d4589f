locals {
  watched_crons = {
    for name, cron in local.crons : name => local.absences[name]
    if var.monitoring.is_enabled && cron.missing_after_seconds != 0 && !cron.is_paused
  }

  # A metric on logs, as PromQL calls it: zeros are written for a while after the last line, then nothing.
  # Source: https://cloud.google.com/monitoring/promql/promql-mapping
  promql = "logging_googleapis_com:user_${local.metric_prefix}"
}

# Fires if nothing was counted, be it zero or absent, and not before the time has passed in which a job
# that has just been made calls for the first time.
resource "google_monitoring_alert_policy" "missing_cron" {
  for_each = local.watched_crons

  project               = var.project
  display_name          = "${var.prefix}: cron ${each.key} is missing"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels["ERROR"]
  user_labels           = var.monitoring.user_labels

  conditions {
    display_name = "no call under ${each.key}"

    condition_prometheus_query_language {
      query                     = "(sum(increase(${local.promql}_cron_ticks{monitored_resource=\"cloud_run_revision\",cron_name=\"${each.key}\"}[${each.value.window}s])) or vector(0)) == 0"
      duration                  = "${each.value.duration}s"
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

  depends_on = [google_cloud_scheduler_job.cron, google_logging_metric.event]
}

# Fires if attempts failed and none succeeded: a retry that succeeds a minute later is nobody's concern.
resource "google_monitoring_alert_policy" "failing_cron" {
  count = var.monitoring.is_enabled && length(local.crons) > 0 ? 1 : 0

  project               = var.project
  display_name          = "${var.prefix}: all calls of a cron fail"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels["ERROR"]
  user_labels           = var.monitoring.user_labels

  conditions {
    display_name = "all calls of a job fail"

    condition_prometheus_query_language {
      query                     = "(sum by (job_id) (increase(${local.promql}_cron_failures{monitored_resource=\"cloud_scheduler_job\"}[600s])) > 0) unless (sum by (job_id) (increase(${local.promql}_cron_successes{monitored_resource=\"cloud_scheduler_job\"}[600s])) > 0)"
      duration                  = "300s"
      evaluation_interval       = "60s"
      disable_metric_validation = true # the metrics are as new as this on the first apply
    }
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "${var.prefix} in ${var.project}: all calls of a cron fail"
    content   = templatefile("${path.module}/runbooks/failing_cron.md.tftpl", local.runbook)
  }

  alert_strategy {
    auto_close = "86400s"
  }

  depends_on = [google_logging_metric.attempt]
}
