locals {
  accounts = merge(
    {
      tasks = "Cloud Tasks calls the functions in its name"
      jobs  = "Cloud Scheduler calls the cron function in its name"
    },
    local.has_functions ? {
      deferred  = "Runs the deferred function"
      cron      = "Runs the cron function"
      queryiter = "Runs the queryiter function"
      build     = "Builds the functions"
    } : {},
  )

  # What runs tasks, by name. With a service of the user's own that is its account.
  runtimes = local.has_functions ? {
    for name in ["deferred", "cron", "queryiter"] : name => google_service_account.main[name].member
  } : { "own service" = "serviceAccount:${var.service.account}" }

  # Operators replay dead letters, run periodic functions and steer iterations: they enqueue, too.
  operators = { for member in var.operators : "operator ${member}" => member }
  enqueuers = merge(local.runtimes, var.enqueuers, local.operators)

  # Whoever asks how a task stands: overlap="skip" in the cron function, what finds lost iterations
  # in the deferred one, `adjourn cron list` of operators.
  viewers = merge({ for name, member in local.runtimes : name => member if name != "queryiter" }, local.operators)

  datastore_users = merge(local.runtimes, local.operators)
}

resource "google_service_account" "main" {
  for_each = local.accounts

  project      = var.project
  account_id   = "${var.prefix}-${each.key}"
  display_name = "${var.prefix}: ${each.value}"

  depends_on = [time_sleep.apis]
}

# Who may invoke: Cloud Tasks the functions that run tasks, Cloud Scheduler the cron function.
resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = local.functions

  project  = var.project
  location = var.region
  name     = google_cloudfunctions2_function.main[each.key].name
  role     = "roles/run.invoker"
  member   = google_service_account.main[each.key == "cron" ? "jobs" : "tasks"].member

  # A function that is made anew has lost it.
  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.main[each.key].id]
  }
}

# Who may enqueue, in these queues alone.
resource "google_cloud_tasks_queue_iam_member" "enqueuer" {
  for_each = {
    for pair in setproduct(keys(local.queues), keys(local.enqueuers)) :
    "${pair[0]} ${pair[1]}" => { queue = pair[0], enqueuer = pair[1] }
  }

  project  = var.project
  location = google_cloud_tasks_queue.main[each.value.queue].location
  name     = google_cloud_tasks_queue.main[each.value.queue].name
  role     = "roles/cloudtasks.enqueuer"
  member   = local.enqueuers[each.value.enqueuer]
}

resource "google_cloud_tasks_queue_iam_member" "viewer" {
  for_each = {
    for pair in setproduct(keys(local.queues), keys(local.viewers)) :
    "${pair[0]} ${pair[1]}" => { queue = pair[0], viewer = pair[1] }
  }

  project  = var.project
  location = google_cloud_tasks_queue.main[each.value.queue].location
  name     = google_cloud_tasks_queue.main[each.value.queue].name
  role     = "roles/cloudtasks.viewer"
  member   = local.viewers[each.value.viewer]
}

# Who may give tasks the identity that the functions let in.
resource "google_service_account_iam_member" "act_as_tasks" {
  for_each = local.enqueuers

  service_account_id = google_service_account.main["tasks"].name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value
}

resource "google_project_iam_member" "datastore" {
  for_each = local.datastore_users

  project = var.project
  role    = "roles/datastore.user"
  member  = each.value

  condition {
    title      = "Only this database"
    expression = "resource.name == \"projects/${var.project}/databases/${var.database.name}\""
  }
}

# `adjourn cron diff` compares the jobs. Cloud Scheduler grants on projects only.
resource "google_project_iam_member" "job_viewer" {
  for_each = local.operators

  project = var.project
  role    = "roles/cloudscheduler.viewer"
  member  = each.value
}

resource "google_secret_manager_secret_iam_member" "secret" {
  for_each = {
    for pair in setproduct(keys(local.secrets), keys(local.runtimes)) :
    "${pair[0]} ${pair[1]}" => { secret = local.secrets[pair[0]], runtime = pair[1] }
  }

  project   = coalesce(each.value.secret.project, var.project)
  secret_id = each.value.secret.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = local.runtimes[each.value.runtime]

  depends_on = [time_sleep.apis]
}
