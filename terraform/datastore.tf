locals {
  # adjourn's kinds whose entities have an end, in the property expires_at.
  expiring_kinds = toset([
    "AdjournCall",
    "AdjournDeadLetter",
    "AdjournMarker",
    "AdjournOnce",
    "AdjournPayload",
    "AdjournRetryWarning",
    "AdjournRun",
    "AdjournShard",
    "AdjournUnique",
  ])

  # Waits for the database where it is made here.
  database = coalesce(one(google_firestore_database.main[*].name), var.database.name)
}

resource "google_firestore_database" "main" {
  count = var.database.is_created ? 1 : 0

  project                 = var.project
  name                    = var.database.name
  location_id             = coalesce(var.database.location, local.region)
  type                    = "DATASTORE_MODE"
  delete_protection_state = var.database.is_protected ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy         = var.database.is_protected ? "PREVENT" : "DELETE"

  depends_on = [google_project_service.api]
}

resource "google_firestore_field" "ttl" {
  for_each = local.expiring_kinds

  project    = var.project
  database   = local.database
  collection = each.key
  field      = "expires_at"

  ttl_config {}

  depends_on = [google_project_service.api]
}

resource "google_firestore_index" "main" {
  for_each = var.indexes

  project     = var.project
  database    = local.database
  collection  = each.value.kind
  query_scope = "COLLECTION_RECURSIVE"
  api_scope   = "DATASTORE_MODE_API"
  density     = "SPARSE_ALL"

  dynamic "fields" {
    for_each = each.value.properties
    content {
      field_path = fields.value.name
      order      = fields.value.order
    }
  }

  depends_on = [google_project_service.api]
}
