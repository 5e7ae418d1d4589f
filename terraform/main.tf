locals {
  region   = var.regions[0]
  fallback = length(var.regions) > 1 ? var.regions[1] : ""
  package  = coalesce(var.package, "${path.module}/../build")

  manifest_path = "${local.package}/manifest.json"
  manifest      = fileexists(local.manifest_path) ? jsondecode(file(local.manifest_path)) : null

  # What the application declares, as the package was told.
  declared_path = "${local.package}/adjourn.auto.tfvars.json"
  declared      = fileexists(local.declared_path) ? jsondecode(file(local.declared_path)) : { cron_names = [], queue_names = [] }

  apis = toset([
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudscheduler.googleapis.com",
    "cloudtasks.googleapis.com",
    "datastore.googleapis.com",
    "firestore.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "run.googleapis.com",
    "storage.googleapis.com",
  ])
}

data "google_project" "this" {
  project_id = var.project
}

resource "google_project_service" "api" {
  for_each = local.apis

  project            = var.project
  service            = each.key
  disable_on_destroy = false
}
