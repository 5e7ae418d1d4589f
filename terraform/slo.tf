locals {
  has_slo = var.monitoring.is_enabled && var.monitoring.availability > 0
  slo     = "projects/${var.project}/services/${var.prefix}/serviceLevelObjectives/availability"

  # How many times faster than allowed errors use up what they may, over an hour and over six.
  # Source: https://sre.google/workbook/alerting-on-slos/ (table 5-8, for 30 days)
  burn_rates = { "3600s" = 14.4, "21600s" = 6 }
}

resource "google_monitoring_custom_service" "main" {
  count = local.has_slo ? 1 : 0

  project      = var.project
  service_id   = var.prefix
  display_name = "${var.prefix}: functions"
  user_labels  = var.monitoring.user_labels

  depends_on = [time_sleep.apis]
}

# Of all requests, how many were not answered 5xx. That code of yours raises is answered 422, and is no outage.
resource "google_monitoring_slo" "availability" {
  count = local.has_slo ? 1 : 0

  project             = var.project
  service             = google_monitoring_custom_service.main[0].service_id
  slo_id              = "availability"
  display_name        = "Requests that are not answered 5xx"
  goal                = var.monitoring.availability
  rolling_period_days = 30
  user_labels         = var.monitoring.user_labels

  request_based_sli {
    good_total_ratio {
      bad_service_filter   = "${local.our_functions} AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
      total_service_filter = "${local.our_functions} AND metric.type = \"run.googleapis.com/request_count\""
    }
  }
}

resource "google_monitoring_alert_policy" "burn_rate" {
  count = local.has_slo ? 1 : 0

  project               = var.project
  display_name          = "${var.prefix}: the availability objective is at risk"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels["CRITICAL"]
  user_labels           = var.monitoring.user_labels

  dynamic "conditions" {
    for_each = local.burn_rates
    content {
      display_name = "errors over ${conditions.key}"

      condition_threshold {
        filter          = "select_slo_burn_rate(\"${local.slo}\", \"${conditions.key}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = conditions.value
        duration        = "0s"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "${var.prefix} in ${var.project}: the availability objective is at risk"
    content   = templatefile("${path.module}/runbooks/burn_rate.md.tftpl", local.runbook)
  }

  alert_strategy {
    auto_close = "86400s"
  }

  depends_on = [google_monitoring_slo.availability]
}
