locals {
  # Known before the services are there, which lets them know their own and each other's.
  # Source: https://cloud.google.com/run/docs/triggering/https-request#deterministic
  urls = {
    for name in keys(var.functions) : name => (
      local.has_functions ?
      "https://${var.prefix}-${name}-${data.google_project.this.number}.${var.region}.run.app" :
      "${var.service.url}${var.service.prefix}/${name}"
    )
  }
  # Cloud Run's IAM wants tokens for the origin of a service, whatever the path.
  cron_audience = local.has_functions ? local.urls.cron : var.service.url

  # The deferred function keeps what fails in a queue's last attempt.
  max_attempts = join(",", [
    for each in values(local.queues) : "${each.name}=${each.max_attempts}" if each.region == local.queue_regions[0]
  ])

  callers = join(",", [for name in ["jobs", "tasks"] : google_service_account.main[name].email])

  # What every process needs that enqueues: the functions and the application.
  settings = merge(
    {
      ADJOURN_PROJECT           = var.project
      ADJOURN_LOCATION          = local.queue_regions[0]
      ADJOURN_JOB_LOCATION      = local.job_region
      ADJOURN_SERVICE_ACCOUNT   = google_service_account.main["tasks"].email
      ADJOURN_QUEUE             = var.default_queue
      ADJOURN_RETRY_WARNING     = tostring(var.retry_warning)
      ADJOURN_FUNCTION_TIMEOUT  = tostring(local.has_functions ? var.functions.deferred.timeout_seconds : var.service.timeout_seconds)
      ADJOURN_DATASTORE_TIMEOUT = tostring(var.database.timeout_seconds)
    },
    local.has_functions ?
    { for name, url in local.urls : "ADJOURN_${upper(name)}_URL" => url } :
    { ADJOURN_SERVICE_URL = "${var.service.url}${var.service.prefix}" },
    local.fallback == "" ? {} : { ADJOURN_FALLBACK_LOCATION = local.fallback },
    var.database.name == "(default)" ? {} : { ADJOURN_DATABASE = var.database.name },
    var.envelope == null ? {} : {
      ADJOURN_ENVELOPE_SEAL     = var.envelope.seal
      ADJOURN_ENVELOPE_REQUIRED = tostring(var.envelope.is_required)
    },
  )

  secrets = merge(var.secrets, var.envelope == null ? {} : {
    ADJOURN_ENVELOPE_KEY = { project = var.envelope.project, secret = var.envelope.secret, version = var.envelope.version }
  })

  # What whatever serves the functions needs.
  settings_of_all = merge(
    length(var.audiences) > 0 ? { ADJOURN_AUDIENCES = join(",", var.audiences) } : {},
    var.database.has_ttl_policies ? {} : { ADJOURN_CLEANUP = "true" },
  )
  settings_for_people = length(var.people_audiences) > 0 ? { ADJOURN_PEOPLE_AUDIENCES = join(",", var.people_audiences) } : {}

  # What the functions alone need, by function.
  function_settings = {
    for name in keys(local.functions) : name => merge(
      {
        ADJOURN_APP          = try(local.manifest.app, "")
        ADJOURN_CALLERS      = google_service_account.main[name == "cron" ? "jobs" : "tasks"].email
        ADJOURN_PLATFORM     = "cloud-run-iam" # nobody but the callers has roles/run.invoker
        GOOGLE_CLOUD_PROJECT = var.project
        # The service sets it if we do not; adjourn's lines keep the id as a label.
        LOG_EXECUTION_ID = "true"
        THREADS          = tostring(var.functions[name].concurrency)
        # Nobody's address: gunicorn takes SCRIPT_NAME and the like from no peer, not even from loopback.
        FORWARDED_ALLOW_IPS = "255.255.255.255"
      },
      local.settings_of_all,
      name == "deferred" ? { ADJOURN_MAX_ATTEMPTS = local.max_attempts } : {},
      name == "deferred" ? local.settings_for_people : {},
    )
  }

  environment = {
    for name, size in local.functions :
    name => merge(var.environment, size.environment, local.settings, local.function_settings[name])
  }

  given_variables = setunion(keys(var.environment), keys(var.secrets), [for each in values(var.functions) : keys(each.environment)]...)

  # Decided here by other variables, or by the platform, or by whoever may say which keys sign tokens.
  # Source: https://cloud.google.com/functions/docs/configuring/env-var#reserved
  refused_variables = [
    for name in local.given_variables : name if contains(keys(local.settings), name) || can(regex(
      "^(ADJOURN_(APP|AUDIENCES|CALLERS|CLEANUP|DATABASE|ENVELOPE_KEY|ENVELOPE_REQUIRED|ENVELOPE_SEAL|FALLBACK_LOCATION|KEYS_URL|MAX_ATTEMPTS|PEOPLE_AUDIENCES|PLATFORM)|FORWARDED_ALLOW_IPS|FUNCTION_[A-Z_]*|GCF_[A-Z_]*|GOOGLE_CLOUD_PROJECT|GOOGLE_FUNCTION_[A-Z_]*|K_[A-Z_]*|LOG_EXECUTION_ID|PORT|THREADS|X_GOOGLE_[A-Z_]*|[A-Z_]*_EMULATOR_HOST)$",
      name,
    ))
  ]
  doubled_variables = [
    for name in keys(var.secrets) : name
    if contains(setunion(keys(var.environment), [for each in values(var.functions) : keys(each.environment)]...), name)
  ]
}
