# People reach the deferred function, and nothing else, through a load balancer of Google's under their own domain.
# Source: https://cloud.google.com/load-balancing/docs/https/setting-up-https-serverless
locals {
  doors = var.people == null || !local.has_functions ? {} : { main = var.people }
}

# Cloud Run lets in whom this names; whether a task is for them, the task's own can_call decides.
resource "google_cloud_run_v2_service_iam_member" "people" {
  for_each = toset(local.has_functions ? try(var.people.members, []) : [])

  project  = var.project
  location = var.region
  name     = google_cloudfunctions2_function.main["deferred"].name
  role     = "roles/run.invoker"
  member   = each.key

  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.main["deferred"].id]
  }
}

resource "google_compute_global_address" "people" {
  for_each = local.doors

  project = var.project
  name    = "${var.prefix}-people"

  depends_on = [time_sleep.apis]
}

resource "google_compute_managed_ssl_certificate" "people" {
  for_each = local.doors

  project = var.project
  name    = "${var.prefix}-people"

  managed {
    domains = [each.value.domain]
  }

  depends_on = [time_sleep.apis]
}

resource "google_compute_region_network_endpoint_group" "people" {
  for_each = local.doors

  project               = var.project
  region                = var.region
  name                  = "${var.prefix}-people"
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = google_cloudfunctions2_function.main["deferred"].name
  }
}

resource "google_compute_backend_service" "people" {
  for_each = local.doors

  project               = var.project
  name                  = "${var.prefix}-people"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  security_policy       = each.value.security_policy

  backend {
    group = google_compute_region_network_endpoint_group.people[each.key].id
  }
}

resource "google_compute_url_map" "people" {
  for_each = local.doors

  project         = var.project
  name            = "${var.prefix}-people"
  default_service = google_compute_backend_service.people[each.key].id
}

resource "google_compute_target_https_proxy" "people" {
  for_each = local.doors

  project          = var.project
  name             = "${var.prefix}-people"
  url_map          = google_compute_url_map.people[each.key].id
  ssl_certificates = [google_compute_managed_ssl_certificate.people[each.key].id]
}

resource "google_compute_global_forwarding_rule" "people" {
  for_each = local.doors

  project               = var.project
  name                  = "${var.prefix}-people"
  ip_address            = google_compute_global_address.people[each.key].id
  load_balancing_scheme = "EXTERNAL_MANAGED"
  port_range            = "443"
  target                = google_compute_target_https_proxy.people[each.key].id
}
