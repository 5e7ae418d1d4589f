locals {
  functions = {
    for name, size in var.functions : name => merge(size, {
      service     = "${var.prefix}-${name}"
      zip         = try(local.manifest.functions[name].zip, "")
      entry_point = try(local.manifest.functions[name].entry_point, name)
    }) if local.has_functions
  }

  # Only people come from outside, and they come to the deferred function, through a load balancer.
  outside = coalesce(var.ingress, var.people == null ? "ALLOW_INTERNAL_ONLY" : "ALLOW_INTERNAL_AND_GCLB")
}

resource "google_cloudfunctions2_function" "main" {
  for_each = local.functions

  project      = var.project
  location     = var.region
  name         = each.value.service
  description  = "The ${each.key} function of adjourn."
  kms_key_name = var.kms_key
  labels       = var.labels

  build_config {
    runtime           = var.runtime
    entry_point       = each.value.entry_point
    docker_repository = google_artifact_registry_repository.images[0].id
    service_account   = google_service_account.main["build"].name
    worker_pool       = var.worker_pool

    source {
      storage_source {
        bucket = google_storage_bucket.source[0].name
        object = google_storage_bucket_object.source[each.key].name
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.main[each.key].email
    ingress_settings                 = each.key == "deferred" ? local.outside : "ALLOW_INTERNAL_ONLY"
    all_traffic_on_latest_revision   = true
    available_cpu                    = tostring(each.value.cpu)
    available_memory                 = "${each.value.memory_mb}M"
    max_instance_count               = each.value.max_instances
    max_instance_request_concurrency = each.value.concurrency
    min_instance_count               = each.value.min_instances
    timeout_seconds                  = each.value.timeout_seconds
    direct_vpc_egress                = try(var.network.egress, null)
    environment_variables            = local.environment[each.key]

    dynamic "direct_vpc_network_interface" {
      for_each = var.network == null ? [] : [var.network]
      content {
        network    = direct_vpc_network_interface.value.network
        subnetwork = direct_vpc_network_interface.value.subnetwork
        tags       = direct_vpc_network_interface.value.tags
      }
    }

    dynamic "secret_environment_variables" {
      for_each = local.secrets
      content {
        key        = secret_environment_variables.key
        project_id = coalesce(secret_environment_variables.value.project, var.project)
        secret     = secret_environment_variables.value.secret
        version    = secret_environment_variables.value.version
      }
    }
  }

  # It reads its secrets, and was built, with what was granted a while ago.
  depends_on = [time_sleep.grants]
}

# What runs, for the outputs: the resource for functions does not name the revision.
data "google_cloud_run_v2_service" "main" {
  for_each = local.functions

  project  = var.project
  location = var.region
  name     = each.value.service

  depends_on = [google_cloudfunctions2_function.main]
}
