variable "project" {
  description = "Google Cloud project that gets everything."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project must be the id of a project, such as shop-production: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the functions, their sources and images; of queues and jobs too, unless `queue_regions` and `job_region` say otherwise. Choose that of your Datastore; of the regions with Cloud Tasks, Cloud Scheduler and Cloud Functions, europe-west1 and us-central1 have been there longest."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone or a multi-region."
  }
}

variable "queue_regions" {
  description = "Regions of the queues, `region` if empty. The queues of the first get the tasks, those of the second while the first is out of reach; all of them call the functions in `region`. Not all regions have Cloud Tasks."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.queue_regions) == length(toset(var.queue_regions))
    error_message = "queue_regions must not name a region twice."
  }
}

variable "job_region" {
  description = "Region of the Cloud Scheduler jobs, `region` if null."
  type        = string
  default     = null
}

variable "further_regions" {
  description = "Regions to which Google has brought Cloud Tasks or Cloud Scheduler since the lists in regions.tf were written."
  type        = set(string)
  default     = []
  nullable    = false
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
  description = "Labels of the functions, the bucket and the repository of images."
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
  description = "Size of the functions, and variables of your application for one of them alone. A timeout should not be shorter than what Cloud Tasks (`timeout` of a task, 10 minutes if not given) or Cloud Scheduler (`attempt_deadline_seconds` of a cron) wait."
  type = object({
    deferred = optional(object({
      concurrency     = optional(number, 8)
      cpu             = optional(number, 1)
      environment     = optional(map(string), {})
      max_instances   = optional(number, 20)
      memory_mb       = optional(number, 512)
      min_instances   = optional(number, 0)
      timeout_seconds = optional(number, 1800)
    }), {})
    cron = optional(object({
      concurrency     = optional(number, 8)
      cpu             = optional(number, 1)
      environment     = optional(map(string), {})
      max_instances   = optional(number, 3)
      memory_mb       = optional(number, 512)
      min_instances   = optional(number, 0)
      timeout_seconds = optional(number, 180)
    }), {})
    queryiter = optional(object({
      concurrency     = optional(number, 8)
      cpu             = optional(number, 1)
      environment     = optional(map(string), {})
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
  description = "Variables of your application, in all functions. What this module or the platform sets is refused."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "audiences" {
  description = "Audiences of tokens that the functions accept beside their own addresses (ADJOURN_AUDIENCES), such as a custom domain."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "secrets" {
  description = "Secrets of Secret Manager that all functions get as variables, by the variable's name. The functions' accounts are granted roles/secretmanager.secretAccessor on them. The secrets must have a version."
  type = map(object({
    project = optional(string)
    secret  = string
    version = optional(string, "latest")
  }))
  default  = {}
  nullable = false
}

variable "envelope" {
  description = "Signs (`seal = \"signed\"`) or encrypts (`\"encrypted\"`) the tasks, with the keys in a secret of Secret Manager: one or several, the newest first, separated by commas. `\"none\"` only lets the functions read what is sealed. `is_required` refuses tasks that are not sealed. No key is in plan or state; a new `version` deploys the functions with it. docs/operations.md says in which order."
  type = object({
    project     = optional(string)
    secret      = string
    version     = string
    seal        = optional(string, "signed")
    is_required = optional(bool, false)
  })
  default = null

  validation {
    condition     = contains(["none", "signed", "encrypted"], try(var.envelope.seal, "none"))
    error_message = "envelope.seal must be none, signed or encrypted."
  }
  validation {
    condition     = can(regex("^[0-9]+$", try(var.envelope.version, "1")))
    error_message = "envelope.version must be the number of a version: with \"latest\", each instance would have the keys of the time at which it started."
  }
}

variable "database" {
  description = "Datastore database of the application and of adjourn. Most projects have one; `is_created` makes it, with a backup a day that is kept for `backup_days` (0 for none). Set `has_ttl_policies` to false where policies cannot be made, such as for App Engine databases in entity-group mode, or by Terraform; adjourn then deletes what has expired (ADJOURN_CLEANUP). `timeout_seconds` is what a call of adjourn's may take before it is tried again later."
  type = object({
    backup_days      = optional(number, 7)
    has_ttl_policies = optional(bool, true)
    is_created       = optional(bool, false)
    is_protected     = optional(bool, true)
    kms_key          = optional(string)
    location         = optional(string)
    name             = optional(string, "(default)")
    timeout_seconds  = optional(number, 10)
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^(\\(default\\)|[a-z][a-z0-9-]{2,61}[a-z0-9])$", var.database.name))
    error_message = "name of the database must be (default) or 4 to 63 lower-case letters, digits and hyphens."
  }

  validation {
    condition     = var.database.backup_days >= 0 && var.database.backup_days <= 98 && floor(var.database.backup_days) == var.database.backup_days
    error_message = "backup_days of the database must be a whole number from 0 to 98: a backup is kept for 14 weeks at most."
  }

  validation {
    condition     = var.database.timeout_seconds >= 1 && var.database.timeout_seconds <= 60 && floor(var.database.timeout_seconds) == var.database.timeout_seconds
    error_message = "timeout_seconds of the database must be a whole number from 1 to 60, which is Google's own limit."
  }
}

variable "indexes" {
  description = "Composite indexes that queries of the application need, under a name of your choice; `adjourn indexes` prints them. adjourn's own queries need none. A property is listed with its order, ASCENDING or DESCENDING. With ancestor an index serves queries below an ancestor, and only those."
  type = map(object({
    kind = string
    properties = list(object({
      name  = string
      order = optional(string, "ASCENDING")
    }))
    ancestor = optional(bool, false)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for each in values(var.indexes) : length(each.properties) >= 2 || each.ancestor || try(each.properties[0].name, "") == "__key__"])
    error_message = "An index must have at least two properties, unless it has ancestors: Datastore keeps those of one by itself."
  }

  validation {
    condition     = alltrue(flatten([for each in values(var.indexes) : [for property in each.properties : contains(["ASCENDING", "DESCENDING"], property.order)]]))
    error_message = "order of an index's property must be ASCENDING or DESCENDING."
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
