variable "monitoring" {
  description = "Where alerts go and from when on they are given. Channels are ids such as projects/shop/notificationChannels/1; those in `channels_by_severity` (CRITICAL, ERROR, WARNING) are told as well. `availability` is the share of requests not to be answered 5xx in 30 days, 0 for no objective."
  type = object({
    availability               = optional(number, 0.99)
    backlog_tasks              = optional(number, 1000)
    channels_by_severity       = optional(map(list(string)), {})
    delay_seconds              = optional(number, 300)
    failed_attempts_per_minute = optional(number, 30)
    is_enabled                 = optional(bool, true)
    memory_ratio               = optional(number, 0.9)
    notification_channels      = optional(list(string), [])
    refused_calls_per_minute   = optional(number, 1)
    server_errors_per_minute   = optional(number, 10)
    user_labels                = optional(map(string), {})
  })
  default  = {}
  nullable = false

  validation {
    condition = min(
      var.monitoring.backlog_tasks,
      var.monitoring.delay_seconds,
      var.monitoring.failed_attempts_per_minute,
      var.monitoring.memory_ratio,
      var.monitoring.refused_calls_per_minute,
      var.monitoring.server_errors_per_minute,
    ) > 0
    error_message = "The thresholds in monitoring must be more than 0."
  }

  validation {
    condition     = var.monitoring.memory_ratio <= 1 && var.monitoring.availability >= 0 && var.monitoring.availability <= 0.9999
    error_message = "memory_ratio in monitoring must be at most 1, and availability from 0 to 0.9999."
  }

  validation {
    condition     = length(setsubtract(keys(var.monitoring.channels_by_severity), ["CRITICAL", "ERROR", "WARNING"])) == 0
    error_message = "channels_by_severity must be by CRITICAL, ERROR or WARNING."
  }

  validation {
    condition     = alltrue([for id in concat(var.monitoring.notification_channels, values(var.monitoring.channels_by_severity)...) : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", id))])
    error_message = "notification_channels must be ids such as projects/shop/notificationChannels/1."
  }
}
