locals {
  declared_queues = setunion(
    coalesce(var.queue_names, toset(local.declared.queue_names)),
    keys(var.queues),
    [var.default_queue],
  )
  # Kept with all their bindings until they are empty, and removed without a complaint then.
  retired_queues = setsubtract(var.retired_queues, local.declared_queues)
  queue_names    = setunion(local.declared_queues, local.retired_queues)

  queues = {
    for pair in setproduct(local.queue_regions, local.queue_names) :
    "${pair[0]}/${pair[1]}" => merge(
      var.queue_defaults,
      { for name, value in try(var.queues[pair[1]], {}) : name => value if value != null },
      contains(local.retired_queues, pair[1]) ? { deletion_policy = "DELETE" } : {},
      { region = pair[0], name = pair[1] },
    )
  }
}

resource "google_cloud_tasks_queue" "main" {
  for_each = local.queues

  project         = var.project
  location        = each.value.region
  name            = each.value.name
  desired_state   = each.value.is_paused ? "PAUSED" : "RUNNING"
  deletion_policy = each.value.deletion_policy

  rate_limits {
    max_concurrent_dispatches = each.value.max_concurrent_dispatches
    max_dispatches_per_second = each.value.max_dispatches_per_second
  }

  retry_config {
    max_attempts       = each.value.max_attempts
    max_backoff        = "${each.value.max_backoff_seconds}s"
    max_doublings      = each.value.max_doublings
    max_retry_duration = "${each.value.max_retry_duration_seconds}s"
    min_backoff        = "${each.value.min_backoff_seconds}s"
  }

  # A ratio of zero is not sent, and would show as a difference for ever.
  dynamic "stackdriver_logging_config" {
    for_each = each.value.logging_ratio > 0 ? [each.value.logging_ratio] : []
    content {
      sampling_ratio = stackdriver_logging_config.value
    }
  }

  lifecycle {
    precondition {
      condition     = can(regex("^[A-Za-z0-9-]{1,100}$", each.value.name))
      error_message = "Queue ${each.key}: the name must be 1 to 100 letters, digits or hyphens."
    }
    precondition {
      condition     = contains(["PREVENT", "DELETE", "ABANDON"], each.value.deletion_policy)
      error_message = "Queue ${each.key}: deletion_policy must be PREVENT, DELETE or ABANDON."
    }
    precondition {
      condition     = each.value.logging_ratio >= 0 && each.value.logging_ratio <= 1
      error_message = "Queue ${each.key}: logging_ratio must be between 0 and 1."
    }
    precondition {
      condition     = each.value.max_attempts >= 1 && floor(each.value.max_attempts) == each.value.max_attempts
      error_message = "Queue ${each.key}: max_attempts must be a whole number from 1; a queue without bounds retries for a month."
    }
    precondition {
      condition     = each.value.max_retry_duration_seconds >= 1 && each.value.max_retry_duration_seconds <= 2592000
      error_message = "Queue ${each.key}: max_retry_duration_seconds must be between 1 and 2592000 (30 days); Cloud Tasks keeps no task longer."
    }
    precondition {
      condition     = each.value.min_backoff_seconds > 0 && each.value.min_backoff_seconds <= each.value.max_backoff_seconds
      error_message = "Queue ${each.key}: min_backoff_seconds must be more than 0 and at most max_backoff_seconds."
    }
    precondition {
      condition     = each.value.max_doublings >= 1 && floor(each.value.max_doublings) == each.value.max_doublings
      error_message = "Queue ${each.key}: max_doublings must be a whole number from 1."
    }
    precondition {
      condition     = each.value.max_dispatches_per_second > 0 && each.value.max_dispatches_per_second <= 500
      error_message = "Queue ${each.key}: max_dispatches_per_second must be more than 0 and at most 500; spread the tasks over several queues to go beyond."
    }
    precondition {
      condition     = each.value.max_concurrent_dispatches >= 1 && each.value.max_concurrent_dispatches <= 5000
      error_message = "Queue ${each.key}: max_concurrent_dispatches must be between 1 and 5000."
    }
  }

  depends_on = [time_sleep.apis]
}

# A region's queues dispatch to the same functions: calls to deferred, steps of iterations to queryiter. Of
# a service of the user's own we know it if it is told.
# More at once than a function can take is answered 429, which slows all of its queues down.
locals {
  limits = merge(
    { for name, each in local.functions : name => { instances = each.max_instances, concurrency = each.concurrency } if name != "cron" },
    try(var.service.max_instances, null) == null ? {} :
    { "your service" = { instances = var.service.max_instances, concurrency = var.service.concurrency } },
  )
  dispatches = {
    for region in local.queue_regions :
    region => sum([for each in local.queues : each.is_paused ? 0 : each.max_concurrent_dispatches if each.region == region])
  }
  overloads = flatten([
    for region, dispatches in local.dispatches : [
      for name, limit in local.limits :
      "${dispatches} from ${region} (${join(", ", [for each in local.queues : "${each.name} ${each.max_concurrent_dispatches}" if each.region == region && !each.is_paused])}) to ${name}, which takes ${limit.instances * limit.concurrency} (${limit.instances} instances of ${limit.concurrency})"
      if dispatches > limit.instances * limit.concurrency
    ]
  ])
}

check "capacity" {
  assert {
    condition     = length(local.overloads) == 0
    error_message = "The queues dispatch more at once than can be taken: ${join("; ", local.overloads)}. What is more is answered 429 and slows the queues down: raise max_instances or lower max_concurrent_dispatches."
  }
}

check "retired_queues" {
  assert {
    condition     = length(setintersection(var.retired_queues, local.declared_queues)) == 0
    error_message = "${join(", ", setintersection(var.retired_queues, local.declared_queues))}: in use again, so no longer retired; remove it from retired_queues."
  }
}
