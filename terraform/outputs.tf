locals {
  console = "https://console.cloud.google.com"

  # Where operators look. Made of inputs only, so that runbooks can have them. The Logs Explorer takes a
  # plus sign for a plus sign.
  links = {
    queues       = "${local.console}/cloudtasks?project=${var.project}"
    jobs         = "${local.console}/cloudscheduler?project=${var.project}"
    logs         = "${local.console}/logs/query;query=${replace(urlencode(local.our_logs), "+", "%20")}?project=${var.project}"
    dead_letters = "${local.console}/datastore/databases/${var.database.name == "(default)" ? "-default-" : var.database.name}/entities;kind=AdjournDeadLetter?project=${var.project}"
    alerts       = "${local.console}/monitoring/alerting?project=${var.project}"
    errors       = "${local.console}/errors?project=${var.project}"
    functions    = "${local.console}/run?project=${var.project}"
  }
}

output "links" {
  description = "Pages of the Cloud Console, for operators."
  value = merge(local.links, {
    dashboard = one([for each in google_monitoring_dashboard.main : "${local.console}/monitoring/dashboards/builder/${basename(each.id)}?project=${var.project}"])
    queue = {
      for name, queue in google_cloud_tasks_queue.main :
      name => "${local.console}/cloudtasks/queue/${queue.location}/${queue.name}/tasks?project=${var.project}"
    }
    function = {
      for name, function in google_cloudfunctions2_function.main :
      name => "${local.console}/run/detail/${function.location}/${function.name}/logs?project=${var.project}"
    }
    service = local.has_functions || local.service_name == null ? null : "${local.console}/run/detail/${local.service_region}/${local.service_name}/logs?project=${var.project}"
  })
}

output "environment" {
  description = "Variables that the application needs to enqueue, and the command line for dead letters, crons and iterations."
  value       = merge(local.settings, { ADJOURN_CALLERS = local.callers })
}

output "service_environment" {
  description = "With `service`: the variables that your service needs, NAME=value in each line, for `terraform output -raw`. Null without."
  value       = local.has_functions ? null : join("", [for name, value in local.variables_of_service : "${name}=${value}\n"])
}

output "service_variables" {
  description = "The same by name, for a configuration that has the service, too. Empty without `service`."
  value       = local.variables_of_service
}

output "urls" {
  description = "Addresses of the functions, by name; below that of your service with `service`."
  value       = local.urls
}

output "functions" {
  description = "What runs, by function: the addresses at which it answers (one of them in `urls`, by which the others call it), the revision that gets the traffic, the zip that it was built of."
  value = {
    for name, function in local.functions : name => {
      uris     = data.google_cloud_run_v2_service.main[name].urls
      revision = data.google_cloud_run_v2_service.main[name].latest_ready_revision
      zip      = function.zip
    }
  }
}

output "people_address" {
  description = "IP address for the domain of the load balancer, null if there is none."
  value       = one([for each in google_compute_global_address.people : each.address])
}

output "ttl_commands" {
  description = "Commands that make the TTL policies where Terraform does not (`has_ttl_policies = false`)."
  value = var.database.has_ttl_policies ? [] : [
    for kind in local.expiring_kinds :
    "gcloud firestore fields ttls update expires_at --collection-group=${kind} --enable-ttl --database='${var.database.name}' --project=${var.project}"
  ]
}

output "service_accounts" {
  description = "E-mail addresses of the accounts, by what they do; grant those of deferred, cron and queryiter what your code needs. With `service`, its own account runs your code."
  value       = { for name, account in google_service_account.main : name => account.email }
}

output "queues" {
  description = "Ids of the queues, by region and name."
  value       = { for name, queue in google_cloud_tasks_queue.main : name => queue.id }
}

output "jobs" {
  description = "Ids of the Cloud Scheduler jobs, by cron name."
  value       = { for name, job in google_cloud_scheduler_job.cron : name => job.id }
}

output "metrics" {
  description = "Types of the metrics on adjourn's log events, by name."
  value       = local.metric_types
}
