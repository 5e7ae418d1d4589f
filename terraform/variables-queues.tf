variable "queue_names" {
  description = "Queues that the application declares. If null, those in adjourn.auto.tfvars.json beside the package, which `adjourn export tfvars` writes."
  type        = set(string)
  default     = null
}

variable "default_queue" {
  description = "Queue of whatever names none."
  type        = string
  default     = "default"
  nullable    = false
}

variable "queue_defaults" {
  description = "Settings of queues of which `queues` does not say otherwise. A task is given up when both its attempts and its retry duration are spent. `logging_ratio` is the share of tasks whose attempts are logged: lower it for busy queues, which are billed for three lines an attempt."
  type = object({
    deletion_policy            = optional(string, "PREVENT")
    is_paused                  = optional(bool, false)
    logging_ratio              = optional(number, 1)
    max_attempts               = optional(number, 100)
    max_backoff_seconds        = optional(number, 3600)
    max_concurrent_dispatches  = optional(number, 40)
    max_dispatches_per_second  = optional(number, 100)
    max_doublings              = optional(number, 12)
    max_retry_duration_seconds = optional(number, 604800)
    min_backoff_seconds        = optional(number, 1)
  })
  default  = {}
  nullable = false
}

variable "queues" {
  description = "Settings of single queues, by name; queues that the application declares need not be here."
  type = map(object({
    deletion_policy            = optional(string)
    is_paused                  = optional(bool)
    logging_ratio              = optional(number)
    max_attempts               = optional(number)
    max_backoff_seconds        = optional(number)
    max_concurrent_dispatches  = optional(number)
    max_dispatches_per_second  = optional(number)
    max_doublings              = optional(number)
    max_retry_duration_seconds = optional(number)
    min_backoff_seconds        = optional(number)
  }))
  default  = {}
  nullable = false
}

variable "retired_queues" {
  description = "Queues that the application does not declare any more, or not yet, and that still hold tasks: they are kept, with all permissions. Remove them from here once they are empty; then they are destroyed."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "cron_names" {
  description = "Cron names that the application declares. If null, those in adjourn.auto.tfvars.json beside the package, which `adjourn export tfvars` writes."
  type        = set(string)
  default     = null
}

variable "cron_defaults" {
  description = "Settings of Cloud Scheduler jobs of which `crons` does not say otherwise. `missing_after_seconds` is after which time without a call an alert is given: if null, a quarter of an hour longer than the schedule leaves between two calls. How often a periodic function runs is said in the application; the schedule says how often that is looked at."
  type = object({
    attempt_deadline_seconds = optional(number, 180)
    is_paused                = optional(bool, false)
    missing_after_seconds    = optional(number)
    retry_count              = optional(number, 3)
    schedule                 = optional(string, "* * * * *")
    time_zone                = optional(string, "Etc/UTC")
  })
  default  = {}
  nullable = false
}

variable "crons" {
  description = "Settings of single Cloud Scheduler jobs, by cron name; cron names that the application declares need not be here. `missing_after_seconds = 0` gives no alert, which must be said of jobs that run less than daily."
  type = map(object({
    attempt_deadline_seconds = optional(number)
    is_paused                = optional(bool)
    missing_after_seconds    = optional(number)
    retry_count              = optional(number)
    schedule                 = optional(string)
    time_zone                = optional(string)
  }))
  default  = {}
  nullable = false
}
