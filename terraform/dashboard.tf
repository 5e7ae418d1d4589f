locals {
  # What each chart shows: whose metric, and how it is summed up.
  charts = {
    "Tasks waiting" = {
      whose   = local.our_queues
      metric  = "cloudtasks.googleapis.com/queue/depth"
      aligner = "ALIGN_MAX"
      reducer = "REDUCE_MAX"
      by      = ["resource.label.queue_id", "resource.label.location"]
    }
    "Attempts a second, by answer" = {
      whose   = local.our_queues
      metric  = "cloudtasks.googleapis.com/queue/task_attempt_count"
      aligner = "ALIGN_RATE"
      reducer = "REDUCE_SUM"
      by      = ["metric.label.response_code"]
    }
    "Start of attempts late by (95 %)" = {
      whose   = local.our_queues
      metric  = "cloudtasks.googleapis.com/queue/task_attempt_delays"
      aligner = "ALIGN_PERCENTILE_95"
      reducer = "REDUCE_MAX"
      by      = ["resource.label.queue_id"]
    }
    "Requests a second, by answer" = {
      whose   = local.our_functions
      metric  = "run.googleapis.com/request_count"
      aligner = "ALIGN_RATE"
      reducer = "REDUCE_SUM"
      by      = ["resource.label.service_name", "metric.label.response_code"]
    }
    "Time of requests (95 %)" = {
      whose   = local.our_functions
      metric  = "run.googleapis.com/request_latencies"
      aligner = "ALIGN_PERCENTILE_95"
      reducer = "REDUCE_MAX"
      by      = ["resource.label.service_name"]
    }
    "Instances" = {
      whose   = local.our_functions
      metric  = "run.googleapis.com/container/instance_count"
      aligner = "ALIGN_MAX"
      reducer = "REDUCE_SUM"
      by      = ["resource.label.service_name"]
    }
    "Failed executions, by task" = {
      whose   = local.our_functions
      metric  = local.metric_types.failures
      aligner = "ALIGN_DELTA"
      reducer = "REDUCE_SUM"
      by      = ["metric.label.task"]
    }
    "Dead letters, by task" = {
      whose   = local.our_functions
      metric  = local.metric_types.dead_letters
      aligner = "ALIGN_DELTA"
      reducer = "REDUCE_SUM"
      by      = ["metric.label.task"]
    }
    "Retry warnings, by task" = {
      whose   = local.our_functions
      metric  = local.metric_types.retry_warnings
      aligner = "ALIGN_DELTA"
      reducer = "REDUCE_SUM"
      by      = ["metric.label.task"]
    }
    "Cron calls, by cron name" = {
      whose   = local.our_functions
      metric  = local.metric_types.cron_ticks
      aligner = "ALIGN_DELTA"
      reducer = "REDUCE_SUM"
      by      = ["metric.label.cron_name"]
    }
    "Errors of iterations" = {
      whose   = local.our_functions
      metric  = local.metric_types.iteration_failures
      aligner = "ALIGN_DELTA"
      reducer = "REDUCE_SUM"
      by      = []
    }
    "Services out of reach, and faults" = {
      whose   = local.our_functions
      metric  = local.metric_types.trouble
      aligner = "ALIGN_DELTA"
      reducer = "REDUCE_SUM"
      by      = ["metric.label.event"]
    }
  }
}

resource "google_monitoring_dashboard" "main" {
  count = var.monitoring.is_enabled ? 1 : 0

  project = var.project
  dashboard_json = jsonencode({
    displayName = "${var.prefix}: queues, functions, crons"
    # A grid has no coordinates: the service drops zero ones, which would show as a difference.
    gridLayout = {
      columns = "3" # an int64, which the service writes as a string
      widgets = [for title, chart in local.charts : {
        title = title
        xyChart = {
          dataSets = [{
            plotType = "LINE"
            timeSeriesQuery = {
              timeSeriesFilter = {
                filter = "${chart.whose} AND metric.type = \"${chart.metric}\""
                aggregation = merge(
                  {
                    alignmentPeriod    = "60s"
                    perSeriesAligner   = chart.aligner
                    crossSeriesReducer = chart.reducer
                  },
                  length(chart.by) > 0 ? { groupByFields = chart.by } : null,
                )
              }
            }
          }]
        }
      }]
    }
  })

  depends_on = [time_sleep.apis]
}
