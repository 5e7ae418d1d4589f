# A service of the user's own in the place of the functions. Nothing is changed in it: what it has to be
# told is in the output service_environment.
locals {
  has_functions = var.service == null

  # Source: https://cloud.google.com/run/docs/triggering/https-request#deterministic
  service_in_url = try(
    regex("^https://(?P<name>[a-z][a-z0-9-]*)-${data.google_project.this.number}\\.(?P<region>[a-z0-9-]+)\\.run\\.app$", var.service.url),
    { name = null, region = null },
  )
  # None if it does not run on Cloud Run, or nobody has said as what.
  service_name   = try(coalesce(try(var.service.name, null), local.service_in_url.name), null)
  service_region = coalesce(try(var.service.region, null), local.service_in_url.region, var.region)

  # What it alone needs, beside what whoever enqueues does.
  variables_of_service = local.has_functions ? {} : merge(
    local.settings,
    {
      ADJOURN_CALLERS      = local.callers
      ADJOURN_MAX_ATTEMPTS = local.max_attempts
      ADJOURN_PLATFORM     = var.service.platform
    },
    local.settings_of_all,
    local.settings_for_people,
  )

  # What concerns functions alone, as far as it differs from what is set if nobody says anything.
  default_functions = {
    for name, limits in { deferred = [20, 1800], cron = [3, 180], queryiter = [20, 600] } :
    name => { concurrency = 8, cpu = 1, environment = {}, max_instances = limits[0], memory_mb = 512, min_instances = 0, timeout_seconds = limits[1] }
  }
  variables_of_functions = {
    environment = length(var.environment) > 0
    functions   = jsonencode(var.functions) != jsonencode(local.default_functions)
    ingress     = var.ingress != null
    kms_key     = var.kms_key != null
    network     = var.network != null
    people      = var.people != null
    secrets     = length(var.secrets) > 0
    worker_pool = var.worker_pool != null
  }
  superfluous_variables = local.has_functions ? [] : [for name, is_given in local.variables_of_functions : name if is_given]
}

# Who may invoke it. If it is open to everybody, nothing depends on this.
resource "google_cloud_run_v2_service_iam_member" "service_invoker" {
  for_each = toset(local.has_functions || local.service_name == null ? [] : ["jobs", "tasks"])

  project  = var.project
  location = local.service_region
  name     = local.service_name
  role     = "roles/run.invoker"
  member   = google_service_account.main[each.key].member
}
