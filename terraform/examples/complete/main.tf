# A shop with two regions, a queue for mail and one for imports, its own database, and somebody on call.

terraform {
  backend "gcs" {} # terraform init -backend-config=bucket=...
}

module "adjourn" {
  source = "../.."

  project = var.project
  region  = "europe-west1"
  prefix  = "shop"
  labels  = { team = "shop" }
  runtime = "python313"

  queue_regions = ["europe-west1", "europe-west3"]

  functions = {
    deferred  = { max_instances = 50, memory_mb = 1024 }
    queryiter = { concurrency = 4, environment = { SHOP_BATCH = "200" } }
  }

  environment = { SHOP_CURRENCY = "EUR" }
  secrets     = { SHOP_MAIL_TOKEN = { secret = "mail-token" } }

  queue_defaults = { max_concurrent_dispatches = 20 }
  queues = {
    mail    = { max_attempts = 20, max_dispatches_per_second = 10, logging_ratio = 0.1 }
    imports = { max_concurrent_dispatches = 5, is_paused = true }
  }

  crons = {
    nightly = { schedule = "0 3 * * *", time_zone = "Europe/Berlin" }
    weekly  = { schedule = "0 4 * * 1", missing_after_seconds = 0 }
  }

  enqueuers = { web = google_service_account.web.member }
  operators = ["group:on-call@shop.example"]

  database = { name = "shop", is_created = true }
  indexes = {
    orders_by_customer = {
      kind       = "Order"
      properties = [{ name = "customer" }, { name = "placed_at", order = "DESCENDING" }]
    }
  }

  monitoring = {
    backlog_tasks         = 5000
    notification_channels = [google_monitoring_notification_channel.chat.id]
    channels_by_severity  = { CRITICAL = [google_monitoring_notification_channel.on_call.id] }
    user_labels           = { team = "shop" }
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

resource "google_monitoring_notification_channel" "chat" {
  project      = var.project
  display_name = "Shop"
  type         = "email"
  labels       = { email_address = var.chat }
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

variable "chat" {
  description = "Who is told of all alerts."
  type        = string
}

variable "on_call" {
  description = "Who is told of what is critical, too."
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
