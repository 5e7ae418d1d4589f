locals {
  crons = {
    for name in setunion(
      coalesce(var.cron_names, toset(local.declared.cron_names)),
      keys(var.crons),
      # Under this name adjourn deletes its expired records itself, where no TTL policy does.
      var.database.has_ttl_policies ? [] : ["adjourn"],
    ) :
    name => merge(
      var.cron_defaults,
      { for key, value in try(var.crons[name], {}) : key => value if value != null },
    )
  }
}

resource "google_cloud_scheduler_job" "cron" {
  for_each = local.crons

  project          = var.project
  region           = local.job_region
  name             = "${var.prefix}-${each.key}"
  description      = "Looks for what is due under the cron name ${each.key}."
  schedule         = each.value.schedule
  time_zone        = each.value.time_zone
  attempt_deadline = "${each.value.attempt_deadline_seconds}s"
  paused           = each.value.is_paused

  retry_config {
    retry_count          = each.value.retry_count
    min_backoff_duration = "5s"
    max_backoff_duration = "60s"
  }

  http_target {
    uri         = "${local.urls.cron}/${each.key}"
    http_method = "POST"

    oidc_token {
      service_account_email = google_service_account.main["jobs"].email
      audience              = local.cron_audience
    }
  }

  lifecycle {
    precondition {
      condition     = can(regex("^[A-Za-z0-9_-]{1,400}$", each.key))
      error_message = "Cron ${each.key}: the name must be 1 to 400 letters, digits, hyphens or underscores."
    }
    precondition {
      condition     = each.value.attempt_deadline_seconds >= 15 && each.value.attempt_deadline_seconds <= 1800
      error_message = "Cron ${each.key}: attempt_deadline_seconds must be between 15 and 1800."
    }
    precondition {
      condition     = each.value.retry_count >= 1 && each.value.retry_count <= 5
      error_message = "Cron ${each.key}: retry_count must be between 1 and 5."
    }
    precondition {
      condition     = local.absences[each.key].is_possible || each.value.missing_after_seconds == 0
      error_message = "Cron ${each.key}: ${each.value.schedule} may call less than daily, and Cloud Monitoring looks back 25 hours at most: set missing_after_seconds = 0, which gives no alert if it is missing; or a schedule that calls at least daily."
    }
    precondition {
      condition     = each.value.missing_after_seconds == null ? true : each.value.missing_after_seconds == 0 || (each.value.missing_after_seconds >= 120 && each.value.missing_after_seconds <= 86400)
      error_message = "Cron ${each.key}: missing_after_seconds must be between 120 and 86400 (a day), or 0 for no alert."
    }
    precondition {
      condition     = each.value.missing_after_seconds == null || each.value.missing_after_seconds == 0 || local.gaps[each.key] == null ? true : each.value.missing_after_seconds + local.absences[each.key].window >= local.gaps[each.key]
      error_message = "Cron ${each.key}: ${each.value.schedule} leaves ${coalesce(local.gaps[each.key], 0)} seconds between two calls, so missing_after_seconds must be more than that, or null to derive it."
    }
    precondition {
      condition     = length(split(" ", each.value.schedule)) == 5 || startswith(each.value.schedule, "every ")
      error_message = "Cron ${each.key}: schedule must have five fields, such as */5 * * * *, or begin with every."
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.invoker, google_cloud_run_v2_service_iam_member.service_invoker]
}
