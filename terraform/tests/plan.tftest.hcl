# Run with: terraform init && terraform test. Nothing is made; no account is needed.

mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
}

mock_provider "time" {}

variables {
  project = "shop-production"
  region  = "europe-west1"
  package = "./tests/package"

  queue_regions = ["europe-west1", "europe-west3"]

  queue_names = ["default", "mail"]
  cron_names  = ["default", "nightly"]
  queues      = { mail = { max_attempts = 20 } }
  crons       = { nightly = { schedule = "0 3 * * *", missing_after_seconds = 0 } }
}

run "every_queue_is_in_every_region" {
  command = plan

  assert {
    condition = toset(keys(google_cloud_tasks_queue.main)) == toset([
      "europe-west1/default", "europe-west1/mail", "europe-west3/default", "europe-west3/mail",
    ])
    error_message = "There should be a queue for each pair of region and name."
  }
  assert {
    condition     = google_cloud_tasks_queue.main["europe-west3/mail"].retry_config[0].max_attempts == 20
    error_message = "What is said of a queue should hold in all regions."
  }
  assert {
    condition     = google_cloud_tasks_queue.main["europe-west1/default"].retry_config[0].max_attempts == 100
    error_message = "A queue of which nothing is said should have the defaults."
  }
}

run "jobs_call_the_cron_function_at_its_predictable_address" {
  command = plan

  assert {
    condition     = google_cloud_scheduler_job.cron["nightly"].http_target[0].uri == "https://adjourn-cron-123456789012.europe-west1.run.app/nightly"
    error_message = "The job should call the cron function with its cron name as path."
  }
  assert {
    condition     = google_cloud_scheduler_job.cron["nightly"].schedule == "0 3 * * *" && google_cloud_scheduler_job.cron["default"].schedule == "* * * * *"
    error_message = "What is said of a cron should hold for it alone."
  }
  assert {
    condition     = keys(google_monitoring_alert_policy.missing_cron) == ["default"]
    error_message = "A cron whose absence is not to be noticed should have no alert."
  }
}

run "functions_are_internal_and_know_the_application" {
  command = plan

  assert {
    condition     = alltrue([for each in google_cloudfunctions2_function.main : each.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"])
    error_message = "Functions should be reached from inside alone."
  }
  assert {
    condition     = alltrue([for each in google_cloudfunctions2_function.main : each.service_config[0].environment_variables.ADJOURN_APP == "shop.main:app"])
    error_message = "Functions should know the application that the manifest names."
  }
}

run "monitoring_can_be_left_out" {
  command = plan

  variables {
    monitoring = { is_enabled = false }
  }
  assert {
    condition     = length(google_monitoring_alert_policy.log) + length(google_monitoring_alert_policy.metric) + length(google_monitoring_slo.availability) + length(google_monitoring_dashboard.main) == 0
    error_message = "No alert and no dashboard should be made."
  }
}

run "a_service_leaves_the_functions_out" {
  command = plan

  variables {
    package = "./tests/nothing"
    service = { url = "https://shop-123456789012.europe-west1.run.app", account = "web@shop.example" }
  }
  assert {
    condition     = length(google_cloudfunctions2_function.main) + length(google_storage_bucket.source) == 0
    error_message = "No function should be made."
  }
  assert {
    condition     = google_cloud_scheduler_job.cron["nightly"].http_target[0].uri == "https://shop-123456789012.europe-west1.run.app/_adjourn/cron/nightly"
    error_message = "The job should call the service."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.service_invoker["jobs"].name == "shop"
    error_message = "The jobs should be allowed to invoke the service."
  }
}

run "settings_of_functions_beside_a_service_are_refused" {
  command = plan

  variables {
    functions = { cron = { max_instances = 4 } }
    service   = { url = "https://shop-123456789012.europe-west1.run.app", account = "web@shop.example" }
  }
  expect_failures = [terraform_data.deployment]
}

run "a_missing_package_is_told" {
  command = plan

  variables {
    package = "./tests/nothing"
  }
  expect_failures = [google_storage_bucket.source]
}

run "a_queue_without_bounds_is_refused" {
  command = plan

  variables {
    queue_defaults = { max_attempts = -1 }
  }
  expect_failures = [google_cloud_tasks_queue.main]
}

run "public_access_is_refused" {
  command = plan

  variables {
    enqueuers = { everybody = "allUsers" }
  }
  expect_failures = [var.enqueuers]
}

run "more_at_once_than_the_function_takes_is_warned_about" {
  command = plan

  variables {
    functions = { queryiter = { max_instances = 1 } }
  }
  expect_failures = [check.capacity]
}

run "a_region_without_cloud_tasks_is_refused" {
  command = plan

  variables {
    queue_regions = ["europe-west4"]
  }
  expect_failures = [terraform_data.deployment]
}
