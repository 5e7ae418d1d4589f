# The images of the functions, and nobody else's: who builds them may write here alone.
resource "google_artifact_registry_repository" "images" {
  count = local.has_functions ? 1 : 0

  project       = var.project
  location      = var.region
  repository_id = "${var.prefix}-images"
  description   = "Images of adjourn's functions."
  format        = "DOCKER"
  kms_key_name  = var.kms_key
  labels        = var.labels

  # A roll-back builds nothing as long as the image is there.
  cleanup_policies {
    id     = "keep-the-latest"
    action = "KEEP"

    most_recent_versions {
      keep_count = 10
    }
  }
  cleanup_policies {
    id     = "delete-the-old"
    action = "DELETE"

    condition {
      older_than = "2592000s"
    }
  }

  depends_on = [time_sleep.apis]
}

resource "google_artifact_registry_repository_iam_member" "build" {
  count = local.has_functions ? 1 : 0

  project    = var.project
  location   = google_artifact_registry_repository.images[0].location
  repository = google_artifact_registry_repository.images[0].repository_id
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.main["build"].member
}

resource "google_project_iam_member" "build" {
  count = local.has_functions ? 1 : 0

  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.main["build"].member
}

# Cloud Functions copies what it builds into a bucket of its own, made with the first function.
resource "google_project_iam_member" "build_source" {
  count = local.has_functions ? 1 : 0

  project = var.project
  role    = "roles/storage.objectViewer"
  member  = google_service_account.main["build"].member

  condition {
    title      = "Only sources of functions"
    expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${data.google_project.this.number}-${var.region}\")"
  }
}

resource "google_storage_bucket_iam_member" "build" {
  count = local.has_functions ? 1 : 0

  bucket = google_storage_bucket.source[0].name
  role   = "roles/storage.objectViewer"
  member = google_service_account.main["build"].member
}

# A build fails that starts before its permissions have arrived everywhere, and so does an instance.
# Source: the example with a build account of google_cloudfunctions2_function waits for 60 s.
resource "time_sleep" "grants" {
  count = local.has_functions ? 1 : 0

  create_duration = "60s"
  triggers = {
    accounts = join(" ", [for each in google_service_account.main : each.email])
    secrets  = join(" ", keys(google_secret_manager_secret_iam_member.secret))
  }

  depends_on = [
    google_artifact_registry_repository_iam_member.build,
    google_project_iam_member.build,
    google_project_iam_member.build_source,
    google_project_iam_member.datastore,
    google_secret_manager_secret_iam_member.secret,
    google_storage_bucket_iam_member.build,
  ]
}
