variable "project" {
  description = "Google Cloud project that gets everything."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project must be the id of a project, such as shop-production: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "regions" {
  description = "Regions of the queues. The first also has the functions, the jobs and the source bucket; its queues get the tasks. The queues of the second, if there is one, get them while those of the first are out of reach."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.regions) > 0 && length(var.regions) == length(toset(var.regions))
    error_message = "regions must name at least one region, and none twice."
  }

  validation {
    condition     = alltrue([for region in var.regions : can(regex("^[a-z]+-[a-z]+[0-9]+$", region))])
    error_message = "regions must be regions such as europe-west1, not zones or multi-regions."
  }
}

variable "prefix" {
  description = "What the names of functions, accounts, metrics and the bucket begin with."
  type        = string
  default     = "adjourn"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,17}[a-z0-9])?$", var.prefix))
    error_message = "prefix must have 1 to 19 lower-case letters, digits and hyphens, and begin with a letter: account names are short."
  }
}

variable "labels" {
  description = "Labels of the functions and the bucket."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "package" {
  description = "Folder in which `./deploy.sh package` has put manifest.json and the zips; build, beside this folder, if null."
  type        = string
  default     = null
}

variable "functions" {
  description = "Size of the functions. A timeout should not be shorter than what Cloud Tasks (`timeout` of a task, 10 minutes if not given) or Cloud Scheduler (`attempt_deadline_seconds` of a cron) wait."
  type = object({
    deferred = optional(object({
      concurrency     = optional(number, 8)
      cpu             = optional(number, 1)
      max_instances   = optional(number, 20)
      memory_mb       = optional(number, 512)
      min_instances   = optional(number, 0)
      timeout_seconds = optional(number, 1800)
    }), {})
    cron = optional(object({
      concurrency     = optional(number, 8)
      cpu             = optional(number, 1)
      max_instances   = optional(number, 3)
      memory_mb       = optional(number, 512)
      min_instances   = optional(number, 0)
      timeout_seconds = optional(number, 180)
    }), {})
    queryiter = optional(object({
      concurrency     = optional(number, 8)
      cpu             = optional(number, 1)
      max_instances   = optional(number, 20)
      memory_mb       = optional(number, 512)
      min_instances   = optional(number, 0)
      timeout_seconds = optional(number, 600)
    }), {})
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for each in values(var.functions) : each.timeout_seconds >= 15 && each.timeout_seconds <= 1800])
    error_message = "timeout_seconds of a function must be between 15 and 1800: Cloud Tasks and Cloud Scheduler wait no longer."
  }

  validation {
    condition     = alltrue([for each in values(var.functions) : each.concurrency >= 1 && each.concurrency <= 1000 && (each.concurrency == 1 || each.cpu >= 1)])
    error_message = "concurrency of a function must be between 1 and 1000, and 1 if it has less than one cpu."
  }

  validation {
    condition     = alltrue([for each in values(var.functions) : each.max_instances >= max(1, each.min_instances) && each.min_instances >= 0])
    error_message = "max_instances of a function must be at least 1 and at least min_instances."
  }
}

variable "runtime" {
  description = "Python of the functions."
  type        = string
  default     = "python313"
  nullable    = false

  validation {
    condition     = can(regex("^python3(1[1-9]|[2-9][0-9])$", var.runtime))
    error_message = "runtime must be python311 or newer."
  }
}

variable "environment" {
  description = "Variables of your application, in all functions."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.environment) : !can(regex("^(ADJOURN_|X_GOOGLE_|K_|GOOGLE_CLOUD_PROJECT$|LOG_EXECUTION_ID$|THREADS$|PORT$)", name))])
    error_message = "environment must not set ADJOURN_* or what the platform sets: the other variables of this module decide these."
  }
}

variable "secrets" {
  description = "Secrets of Secret Manager that all functions get as variables, by the variable's name. The runtime accounts need roles/secretmanager.secretAccessor on them."
  type = map(object({
    secret  = string
    version = optional(string, "latest")
  }))
  default  = {}
  nullable = false
}

variable "database" {
  description = "Datastore database of the application and of adjourn. Most projects have one; `is_created` makes it."
  type = object({
    is_created   = optional(bool, false)
    is_protected = optional(bool, true)
    location     = optional(string)
    name         = optional(string, "(default)")
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^(\\(default\\)|[a-z][a-z0-9-]{2,61}[a-z0-9])$", var.database.name))
    error_message = "name of the database must be (default) or 4 to 63 lower-case letters, digits and hyphens."
  }
}

variable "indexes" {
  description = "Composite indexes that queries of the application need, under a name of your choice. adjourn's own queries need none. A property is listed with its order, ASCENDING or DESCENDING."
  type = map(object({
    kind = string
    properties = list(object({
      name  = string
      order = optional(string, "ASCENDING")
    }))
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for each in values(var.indexes) : length(each.properties) >= 2])
    error_message = "An index must have at least two properties: Datastore keeps those of one by itself."
  }

  validation {
    condition     = alltrue(flatten([for each in values(var.indexes) : [for property in each.properties : contains(["ASCENDING", "DESCENDING"], property.order)]]))
    error_message = "order of an index's property must be ASCENDING or DESCENDING."
  }
}

variable "monitoring" {
  description = "Where alerts go and from when on they are given. Channels are ids such as projects/shop/notificationChannels/1."
  type = object({
    backlog_tasks              = optional(number, 1000)
    delay_seconds              = optional(number, 300)
    failed_attempts_per_minute = optional(number, 30)
    is_enabled                 = optional(bool, true)
    notification_channels      = optional(list(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = min(var.monitoring.backlog_tasks, var.monitoring.delay_seconds, var.monitoring.failed_attempts_per_minute) > 0
    error_message = "The thresholds in monitoring must be more than 0."
  }

  validation {
    condition     = alltrue([for id in var.monitoring.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", id))])
    error_message = "notification_channels must be ids such as projects/shop/notificationChannels/1."
  }
}

variable "retry_warning" {
  description = "Retries after which a call is warned about, once."
  type        = number
  default     = 25
  nullable    = false

  validation {
    condition     = var.retry_warning >= 1 && floor(var.retry_warning) == var.retry_warning
    error_message = "retry_warning must be a whole number from 1."
  }
}
