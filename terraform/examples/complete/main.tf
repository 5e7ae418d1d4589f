# A shop with two regions, a queue for mail and one for imports, its own database, and somebody on call.

terraform {
  backend "gcs" {} # terraform init -backend-config=bucket=...
}

module "adjourn" {
  source = "../.."

  project = var.project
  regions = ["europe-west1", "europe-west4"]
  prefix  = "shop"
  labels  = { team = "shop" }
  runtime = "python313"

  functions = {
    deferred  = { max_instances = 50, memory_mb = 1024 }
    queryiter = { concurrency = 4 }
  }

  environment = { SHOP_CURRENCY = "EUR" }
  secrets     = { SHOP_MAIL_TOKEN = { secret = "mail-token" } }

  queue_defaults = { logging_ratio = 1, max_concurrent_dispatches = 200 }
  queues = {
    mail    = { max_attempts = 20, max_dispatches_per_second = 10 }
    imports = { max_concurrent_dispatches = 5, is_paused = true }
  }

  crons = {
    nightly = { schedule = "0 3 * * *", time_zone = "Europe/Berlin", missing_after_seconds = 0 }
  }

  enqueuers = { web = google_service_account.web.member }

  database = { name = "shop", is_created = true }
  indexes = {
    orders_by_customer = {
      kind       = "Order"
      properties = [{ name = "customer" }, { name = "placed_at", order = "DESCENDING" }]
    }
  }

  monitoring = {
    backlog_tasks         = 5000
    notification_channels = [google_monitoring_notification_channel.on_call.id]
  }
}

# The web application, which enqueues.
resource "google_service_account" "web" {
  project    = var.project
  account_id = "shop-web"
}

# What the tasks themselves need.
resource "google_storage_bucket_iam_member" "exports" {
  bucket = "${var.project}-exports"
  role   = "roles/storage.objectCreator"
  member = "serviceAccount:${module.adjourn.service_accounts["deferred"]}"
}

resource "google_monitoring_notification_channel" "on_call" {
  project      = var.project
  display_name = "On call"
  type         = "email"
  labels       = { email_address = var.on_call }
}

variable "project" {
  description = "Google Cloud project."
  type        = string
}

variable "on_call" {
  description = "Who is told of alerts."
  type        = string
}

output "environment" {
  description = "Variables for the application."
  value       = module.adjourn.environment
}

output "links" {
  description = "Pages of the Cloud Console."
  value       = module.adjourn.links
}
