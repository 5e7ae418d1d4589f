variable "enqueuers" {
  description = "Who else may enqueue, such as the account of your web application, under a name of your choice: `{ web = \"serviceAccount:web@shop.iam.gserviceaccount.com\" }`."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for member in values(var.enqueuers) : can(regex("^(serviceAccount|user|group|principal|principalSet):.+", member))])
    error_message = "enqueuers must be members such as serviceAccount:web@shop.iam.gserviceaccount.com, never allUsers or allAuthenticatedUsers."
  }

  validation {
    condition     = alltrue([for name in keys(var.enqueuers) : !contains(["deferred", "cron", "queryiter"], name)])
    error_message = "enqueuers must not be named deferred, cron or queryiter: the functions themselves have these names."
  }
}

variable "operators" {
  description = "Who may use `adjourn dead`, `runs` and `cron` on this deployment, such as group:on-call@shop.example: enqueue, ask how tasks stand, read and write the database, look at the jobs."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.operators : can(regex("^(serviceAccount|user|group|principal|principalSet):.+", member))])
    error_message = "operators must be members such as group:on-call@shop.example, never allUsers or allAuthenticatedUsers."
  }
}

variable "people_audiences" {
  description = "Audiences of the tokens with which people start tasks (ADJOURN_PEOPLE_AUDIENCES), such as the OAuth client id of your web page; nobody can if empty."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "people" {
  description = "A load balancer under a domain of yours, through which `members` (user:, group:, domain:) reach the tasks that people start; `security_policy` is a policy of Cloud Armor. Point the domain at the output `people_address`. Name an audience of people's as a custom audience of the service, which Terraform cannot: see docs/deploy.md."
  type = object({
    domain          = string
    members         = set(string)
    security_policy = optional(string)
  })
  default = null

  validation {
    condition     = var.people == null ? true : alltrue([for member in var.people.members : can(regex("^(user|group|domain):.+", member))])
    error_message = "members of people must be such as group:staff@shop.example or domain:shop.example, never allUsers or allAuthenticatedUsers: with those, Cloud Run checks nobody."
  }
}

variable "ingress" {
  description = "From where the deferred function is reached; the others are reached from inside alone. If null, from inside, and through a load balancer if `people` is set. ALLOW_INTERNAL_AND_GCLB is for a load balancer of your own."
  type        = string
  default     = null

  validation {
    condition     = var.ingress == null ? true : contains(["ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB"], var.ingress)
    error_message = "ingress must be ALLOW_INTERNAL_ONLY or ALLOW_INTERNAL_AND_GCLB: whoever comes from outside comes through a load balancer."
  }
}

variable "network" {
  description = "Network that the functions reach your services in (Direct VPC egress). With ALL_TRAFFIC, Google's services must be reachable from it (Private Google Access)."
  type = object({
    egress     = optional(string, "VPC_EGRESS_PRIVATE_RANGES_ONLY")
    network    = string
    subnetwork = optional(string)
    tags       = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.network == null ? true : contains(["VPC_EGRESS_PRIVATE_RANGES_ONLY", "VPC_EGRESS_ALL_TRAFFIC"], var.network.egress)
    error_message = "egress of the network must be VPC_EGRESS_PRIVATE_RANGES_ONLY or VPC_EGRESS_ALL_TRAFFIC."
  }
}

variable "kms_key" {
  description = "Key of Cloud KMS, in `region`, that encrypts functions, sources and images; Google's own if null. The service agents of Cloud Functions, Cloud Run, Artifact Registry, Cloud Storage and Eventarc need roles/cloudkms.cryptoKeyEncrypterDecrypter on it first."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null ? true : can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must be such as projects/P/locations/europe-west1/keyRings/R/cryptoKeys/K."
  }
}

variable "worker_pool" {
  description = "Private pool of Cloud Build that builds the functions, such as projects/P/locations/L/workerPools/W; Google's own if null."
  type        = string
  default     = null
}
