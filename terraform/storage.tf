resource "google_storage_bucket" "source" {
  count = local.has_functions ? 1 : 0

  project                     = var.project
  name                        = "${var.project}-${var.prefix}-source"
  location                    = var.region
  labels                      = var.labels
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true
  force_destroy               = true # nothing but zips that can be packaged again

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  # Here, because everything that is built of the package comes after it.
  lifecycle {
    precondition {
      condition     = local.manifest != null
      error_message = "There is no package (${local.manifest_path}). Run ./deploy.sh package first, or say with the variable package where it is."
    }
    precondition {
      condition     = local.manifest == null || try(local.manifest.version == 1 && local.manifest.app != "" && alltrue([for each in local.functions : each.zip != ""]), false)
      error_message = "${local.manifest_path} names no application, or no zip of one of the functions, or is of another version. Run ./deploy.sh package again."
    }
  }

  depends_on = [time_sleep.apis]
}

resource "google_storage_bucket_object" "source" {
  for_each = local.functions

  bucket       = google_storage_bucket.source[0].name
  name         = each.value.zip # it carries a hash of what is in it
  source       = "${local.package}/${each.value.zip}"
  content_type = "application/zip"

  lifecycle {
    create_before_destroy = true

    precondition {
      condition     = fileexists("${local.package}/${each.value.zip}")
      error_message = "There is no ${local.package}/${each.value.zip}, which ${local.manifest_path} names. Run ./deploy.sh package again."
    }
  }
}
