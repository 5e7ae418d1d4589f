# How long a schedule leaves a job without a call, and so how long it may be missing.
locals {
  # The values of the fields minute and hour, such as 1,10-20/5 or */15; none if it is something else.
  cron_times = {
    for name, cron in local.crons : name => [
      for position, size in [60, 24] : try(
        flatten([
          for part in split(",", split(" ", cron.schedule)[position]) : [
            for bounds in [regex("^(\\*|[0-9]+)(?:-([0-9]+))?(?:/([0-9]+))?$", part)] : range(
              bounds[0] == "*" ? 0 : tonumber(bounds[0]),
              1 + (bounds[1] != null ? tonumber(bounds[1]) : bounds[0] == "*" || bounds[2] != null ? size - 1 : tonumber(bounds[0])),
              bounds[2] == null ? 1 : tonumber(bounds[2]),
            )
          ]
        ]),
        [],
      )
    ]
  }

  # The minutes of a day at which a job calls; none if it does not call every day.
  cron_minutes = {
    for name, cron in local.crons : name => [
      for text in sort(distinct([
        for pair in setproduct(local.cron_times[name][1], local.cron_times[name][0]) : format("%04d", pair[0] * 60 + pair[1])
      ])) : tonumber(text)
    ] if can(regex("^\\S+ \\S+ \\* \\* \\*$", cron.schedule))
  }

  # The longest time between two calls in seconds, null if it may be more than a day.
  gaps = {
    for name, cron in local.crons : name => try(
      60 * tonumber(regex("^every ([0-9]+) (?:minutes|mins)$", cron.schedule)[0]),
      3600 * tonumber(regex("^every ([0-9]+) hours?$", cron.schedule)[0]),
      60 * max([
        for position, minute in local.cron_minutes[name] :
        (position + 1 < length(local.cron_minutes[name]) ? local.cron_minutes[name][position + 1] : local.cron_minutes[name][0] + 1440) - minute
      ]...),
      null,
    )
  }

  # A job is missing once there was no call within the window for as long as the duration. It counts
  # from when the alert is made, so a job that is new has the time that it needs for its first call.
  # Both are a day at most, and 25 hours together.
  # Source: https://cloud.google.com/monitoring/alerts/using-promql#limitations
  absences = {
    for name, cron in local.crons : name => {
      duration    = coalesce(cron.missing_after_seconds, min(86400, max(900, coalesce(local.gaps[name], 86400) + 900)))
      window      = coalesce(local.gaps[name], 86400) > 3600 ? 3600 : 300
      is_possible = try(local.gaps[name] <= 86400, startswith(cron.schedule, "every ") && cron.missing_after_seconds > 0, false)
    }
  }
}
