# The least: a project, a region, and the package that `./deploy.sh package` has made.

module "adjourn" {
  source = "../.."

  project = var.project
  region  = "europe-west1"
}

variable "project" {
  description = "Google Cloud project."
  type        = string
}

output "environment" {
  description = "Variables for the application."
  value       = module.adjourn.environment
}
