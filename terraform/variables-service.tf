variable "service" {
  description = "A service of your own that serves the functions with adjourn.web, in their place: its `url` without a path, the e-mail address of the `account` that it runs as, and the `prefix` that adjourn.web has. A URL of Cloud Run with the project's number in it tells which service that is; for another one say its `name`, and its `region` if that is not `region`. `platform` is who checks callers: \"verify\", adjourn, or \"cloud-run-iam\" if Cloud Run lets in nobody without roles/run.invoker. `timeout_seconds` is the timeout of its requests. With `max_instances`, what the queues dispatch is held against what it takes."
  type = object({
    account         = string
    concurrency     = optional(number, 80)
    max_instances   = optional(number)
    name            = optional(string)
    platform        = optional(string, "verify")
    prefix          = optional(string, "/_adjourn")
    region          = optional(string)
    timeout_seconds = optional(number, 300)
    url             = string
  })
  default = null

  validation {
    condition     = var.service == null ? true : startswith(var.service.url, "https://")
    error_message = "service.url must begin with https://: tokens are sent to it."
  }
  validation {
    condition     = var.service == null ? true : can(regex("^[a-z]+://[A-Za-z0-9.-]+(:[0-9]+)?$", var.service.url))
    error_message = "service.url must be such as https://shop-123456789012.europe-west1.run.app, with no slash and no path behind it: the path is service.prefix."
  }
  validation {
    condition     = var.service == null ? true : can(regex("^[^@:\\s]+@[^@:\\s]+$", var.service.account))
    error_message = "service.account must be the e-mail address of a service account, such as web@shop.iam.gserviceaccount.com, with nothing before it."
  }
  validation {
    condition     = var.service == null ? true : can(regex("^(/[A-Za-z0-9._~-]+)+$", var.service.prefix))
    error_message = "service.prefix must be the path that adjourn.web has, such as /_adjourn, with no slash at its end."
  }
  validation {
    condition     = var.service == null ? true : contains(["verify", "cloud-run-iam"], var.service.platform)
    error_message = "service.platform must be verify or cloud-run-iam."
  }
  validation {
    condition     = var.service == null ? true : var.service.timeout_seconds >= 15 && var.service.timeout_seconds <= 3600
    error_message = "service.timeout_seconds must be between 15 and 3600: Cloud Tasks waits no less, Cloud Run no longer."
  }
  validation {
    condition     = var.service == null ? true : var.service.concurrency >= 1 && coalesce(var.service.max_instances, 1) >= 1
    error_message = "service.concurrency and service.max_instances must be at least 1."
  }
}
