locals {
  package = coalesce(var.package, "${path.module}/../build")

  manifest_path = "${local.package}/manifest.json"
  manifest      = fileexists(local.manifest_path) ? jsondecode(file(local.manifest_path)) : null

  # What the application declares, as the package was told.
  declared_path = "${local.package}/adjourn.auto.tfvars.json"
  declared      = fileexists(local.declared_path) ? jsondecode(file(local.declared_path)) : { cron_names = [], queue_names = [] }

  apis = toset(concat(
    [
      "cloudscheduler.googleapis.com",
      "cloudtasks.googleapis.com",
      "datastore.googleapis.com",
      "firestore.googleapis.com",
      "iam.googleapis.com",
      "logging.googleapis.com",
      "monitoring.googleapis.com",
      "run.googleapis.com",
    ],
    local.has_functions ? [
      "artifactregistry.googleapis.com",
      "cloudbuild.googleapis.com",
      "cloudfunctions.googleapis.com",
      "storage.googleapis.com",
    ] : [],
    length(local.secrets) > 0 ? ["secretmanager.googleapis.com"] : [],
    var.people != null || var.network != null ? ["compute.googleapis.com"] : [],
  ))
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

# An API that was enabled a moment ago still refuses calls.
# Source: https://cloud.google.com/service-usage/docs/enable-disable
resource "time_sleep" "apis" {
  create_duration = "60s"
  triggers        = { apis = join(" ", local.apis) }

  depends_on = [google_project_service.api]
}

# What must hold of all of it. The input stays what it was at the first apply.
resource "terraform_data" "deployment" {
  input = var.project

  lifecycle {
    ignore_changes = [input]

    precondition {
      condition     = length(local.unknown_queue_regions) == 0
      error_message = "Cloud Tasks is not known to be in ${join(", ", local.unknown_queue_regions)} (list of 2026-11, in regions.tf): set queue_regions to one of ${join(", ", local.tasks_regions)}; or name the region in further_regions if Google has added it since."
    }
    precondition {
      condition     = local.is_job_region_known
      error_message = "Cloud Scheduler is not known to be in ${local.job_region} (list of 2026-11, in regions.tf): set job_region to one of ${join(", ", local.scheduler_regions)}; or name the region in further_regions if Google has added it since."
    }
    precondition {
      condition     = length(local.refused_variables) == 0
      error_message = "${join(", ", local.refused_variables)}: environment and secrets must not set what this module or the platform sets; the other variables of this module decide it."
    }
    precondition {
      condition     = length(local.doubled_variables) == 0
      error_message = "${join(", ", local.doubled_variables)}: a variable must be in environment or in secrets, not in both."
    }
    precondition {
      condition     = length(local.superfluous_variables) == 0
      error_message = "${join(", ", local.superfluous_variables)}: these are for the functions, which service leaves out. Remove them, and give your service itself what it needs; or remove service."
    }
    precondition {
      condition     = length(local.services) > 0 || !var.monitoring.is_enabled
      error_message = "${try(var.service.url, "")} does not name a Cloud Run service of this project: set service.name, so that tasks and jobs may invoke it and the alerts watch it. If it does not run on Cloud Run, set monitoring = { is_enabled = false }."
    }
    postcondition {
      condition     = self.output == var.project
      error_message = "This state is of the project ${self.output}, and the plan is for ${var.project}: it would destroy what is in ${self.output}. Use a state, a data folder and a backend of its own for each environment (deploy.sh --environment)."
    }
  }
}
