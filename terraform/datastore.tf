locals {
  # adjourn's kinds whose entities have an end, in the property expires_at.
  expiring_kinds = toset([
    "AdjournAudit",
    "AdjournBatch",
    "AdjournBatchShard",
    "AdjournCall",
    "AdjournDeadLetter",
    "AdjournDebounce",
    "AdjournFlow",
    "AdjournFlowPage",
    "AdjournList",
    "AdjournMarker",
    "AdjournOnce",
    "AdjournPayload",
    "AdjournResult",
    "AdjournRetryWarning",
    "AdjournRun",
    "AdjournSchedule",
    "AdjournShard",
    "AdjournUnique",
    "AdjournUserStart",
  ])

  # Waits for the database where it is made here.
  database = coalesce(one(google_firestore_database.main[*].name), var.database.name)
}

resource "google_firestore_database" "main" {
  count = var.database.is_created ? 1 : 0

  project                 = var.project
  name                    = var.database.name
  location_id             = coalesce(var.database.location, var.region)
  type                    = "DATASTORE_MODE"
  delete_protection_state = var.database.is_protected ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy         = var.database.is_protected ? "PREVENT" : "DELETE"

  dynamic "cmek_config" {
    for_each = var.database.kms_key == null ? [] : [var.database.kms_key]
    content {
      kms_key_name = cmek_config.value
    }
  }

  depends_on = [time_sleep.apis]
}

# Of a database that is made here; whoever made another one backs it up.
resource "google_firestore_backup_schedule" "daily" {
  count = var.database.is_created && var.database.backup_days > 0 ? 1 : 0

  project   = var.project
  database  = local.database
  retention = "${var.database.backup_days * 86400}s"

  daily_recurrence {}
}

# Destroying one would reset the index of the property in the service, which is never wanted, and
# which databases in Datastore mode have refused.
resource "google_firestore_field" "ttl" {
  for_each = toset(var.database.has_ttl_policies ? local.expiring_kinds : [])

  project         = var.project
  database        = local.database
  collection      = each.key
  field           = "expires_at"
  deletion_policy = "ABANDON"

  ttl_config {}

  depends_on = [time_sleep.apis]
}

resource "google_firestore_index" "main" {
  for_each = var.indexes

  project     = var.project
  database    = local.database
  collection  = each.value.kind
  query_scope = each.value.ancestor ? "COLLECTION_RECURSIVE" : "COLLECTION_GROUP"
  api_scope   = "DATASTORE_MODE_API"
  density     = "SPARSE_ALL"

  dynamic "fields" {
    for_each = each.value.properties
    content {
      field_path = fields.value.name == "__key__" ? "__name__" : fields.value.name
      order      = fields.value.order
    }
  }

  depends_on = [time_sleep.apis]
}
