# Where a service is said to be. Not all of Google's regions have Cloud Tasks.
locals {
  # https://cloud.google.com/tasks/docs/locations, as of 2026-11.
  tasks_regions = toset([
    "asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3", "asia-south1",
    "asia-southeast1", "asia-southeast2", "australia-southeast1",
    "europe-central2", "europe-west1", "europe-west2", "europe-west3", "europe-west6",
    "northamerica-northeast1", "southamerica-east1",
    "us-central1", "us-east1", "us-east4", "us-west1", "us-west2", "us-west3", "us-west4",
  ])

  # https://cloud.google.com/scheduler/docs/locations and its release notes, as of 2026-11.
  scheduler_regions = setunion(local.tasks_regions, [
    "asia-south2", "asia-southeast3", "europe-west4", "europe-west12", "me-central1", "me-central2", "me-west1",
    "northamerica-northeast2",
  ])

  queue_regions = length(var.queue_regions) > 0 ? var.queue_regions : [var.region]
  job_region    = coalesce(var.job_region, var.region)
  fallback      = length(local.queue_regions) > 1 ? local.queue_regions[1] : ""

  unknown_queue_regions = setsubtract(local.queue_regions, setunion(local.tasks_regions, var.further_regions))
  is_job_region_known   = contains(setunion(local.scheduler_regions, var.further_regions), local.job_region)
}
