locals {
  accounts = {
    deferred  = "Runs the deferred function"
    cron      = "Runs the cron function"
    queryiter = "Runs the queryiter function"
    tasks     = "Cloud Tasks calls the functions in its name"
    jobs      = "Cloud Scheduler calls the cron function in its name"
    build     = "Builds the functions"
  }

  runtimes  = toset(["deferred", "cron", "queryiter"])
  enqueuers = merge({ for name in local.runtimes : name => google_service_account.main[name].member }, var.enqueuers)
}

resource "google_service_account" "main" {
  for_each = local.accounts

  project      = var.project
  account_id   = "${var.prefix}-${each.key}"
  display_name = "${var.prefix}: ${each.value}"

  depends_on = [google_project_service.api]
}

# Who may invoke: Cloud Tasks the functions that run tasks, Cloud Scheduler the cron function.
resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = local.runtimes

  project  = var.project
  location = local.region
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

# The cron function asks whether the last run has ended.
resource "google_cloud_tasks_queue_iam_member" "viewer" {
  for_each = local.queues

  project  = var.project
  location = google_cloud_tasks_queue.main[each.key].location
  name     = google_cloud_tasks_queue.main[each.key].name
  role     = "roles/cloudtasks.viewer"
  member   = google_service_account.main["cron"].member
}

# Who may give tasks the identity that the functions let in.
resource "google_service_account_iam_member" "act_as_tasks" {
  for_each = local.enqueuers

  service_account_id = google_service_account.main["tasks"].name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value
}

resource "google_project_iam_member" "datastore" {
  for_each = local.runtimes

  project = var.project
  role    = "roles/datastore.user"
  member  = google_service_account.main[each.key].member

  condition {
    title      = "Only this database"
    expression = "resource.name == \"projects/${var.project}/databases/${var.database.name}\""
  }
}

# Cloud Build writes its log and pushes the image.
resource "google_project_iam_member" "build" {
  for_each = toset(["roles/logging.logWriter", "roles/artifactregistry.writer"])

  project = var.project
  role    = each.key
  member  = google_service_account.main["build"].member
}

# Cloud Functions copies what it builds into a bucket of its own, made with the first function.
resource "google_project_iam_member" "build_source" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = google_service_account.main["build"].member

  condition {
    title      = "Only sources of functions"
    expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${data.google_project.this.number}-${local.region}\")"
  }
}

resource "google_storage_bucket_iam_member" "build" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.main["build"].member
}
