locals {
  functions = {
    for name, size in var.functions : name => merge(size, {
      service     = "${var.prefix}-${name}"
      zip         = try(local.manifest.functions[name].zip, "")
      entry_point = try(local.manifest.functions[name].entry_point, name)
      callers     = google_service_account.main[name == "cron" ? "jobs" : "tasks"].email
    })
  }

  # Known before the services are there, which lets them know their own and each other's.
  # Source: https://cloud.google.com/run/docs/triggering/https-request#deterministic
  urls = {
    for name in keys(var.functions) :
    name => "https://${var.prefix}-${name}-${data.google_project.this.number}.${local.region}.run.app"
  }

  # The deferred function keeps what fails in a queue's last attempt.
  max_attempts = join(",", [
    for each in values(local.queues) : "${each.name}=${each.max_attempts}" if each.region == local.region
  ])

  # What every process needs that enqueues: the functions and the application.
  settings = merge(
    {
      ADJOURN_PROJECT          = var.project
      ADJOURN_LOCATION         = local.region
      ADJOURN_DEFERRED_URL     = local.urls.deferred
      ADJOURN_QUERYITER_URL    = local.urls.queryiter
      ADJOURN_CRON_URL         = local.urls.cron
      ADJOURN_SERVICE_ACCOUNT  = google_service_account.main["tasks"].email
      ADJOURN_QUEUE            = var.default_queue
      ADJOURN_RETRY_WARNING    = tostring(var.retry_warning)
      ADJOURN_FUNCTION_TIMEOUT = tostring(var.functions.deferred.timeout_seconds)
    },
    local.fallback == "" ? {} : { ADJOURN_FALLBACK_LOCATION = local.fallback },
    var.database.name == "(default)" ? {} : { ADJOURN_DATABASE = var.database.name },
  )
}

resource "google_cloudfunctions2_function" "main" {
  for_each = local.functions

  project     = var.project
  location    = local.region
  name        = each.value.service
  description = "The ${each.key} function of adjourn."
  labels      = var.labels

  build_config {
    runtime         = var.runtime
    entry_point     = each.value.entry_point
    service_account = google_service_account.main["build"].name

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source[each.key].name
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.main[each.key].email
    ingress_settings                 = "ALLOW_INTERNAL_ONLY"
    all_traffic_on_latest_revision   = true
    available_cpu                    = tostring(each.value.cpu)
    available_memory                 = "${each.value.memory_mb}M"
    max_instance_count               = each.value.max_instances
    max_instance_request_concurrency = each.value.concurrency
    min_instance_count               = each.value.min_instances
    timeout_seconds                  = each.value.timeout_seconds

    environment_variables = merge(var.environment, local.settings, {
      ADJOURN_APP          = try(local.manifest.app, "")
      ADJOURN_CALLERS      = each.value.callers
      ADJOURN_PLATFORM     = "cloud-run-iam" # nobody but the callers has roles/run.invoker
      GOOGLE_CLOUD_PROJECT = var.project
      LOG_EXECUTION_ID     = "true" # the service adds it, and it would show as a difference
      THREADS              = tostring(each.value.concurrency)
    }, each.key == "deferred" ? { ADJOURN_MAX_ATTEMPTS = local.max_attempts } : {})

    dynamic "secret_environment_variables" {
      for_each = var.secrets
      content {
        key        = secret_environment_variables.key
        project_id = var.project
        secret     = secret_environment_variables.value.secret
        version    = secret_environment_variables.value.version
      }
    }
  }

  depends_on = [
    google_project_iam_member.build,
    google_project_iam_member.build_source,
    google_project_iam_member.datastore,
    google_storage_bucket_iam_member.build,
  ]
}
