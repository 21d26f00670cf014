# The GitHub collector: a job that Cloud Scheduler starts every hour, and that nobody else can call.
# The same as deployment/deploy.sh makes; deployment/DEPLOYMENT.md tells the rest.

locals {
  name   = "github-collector"
  bucket = var.bucket_name != "" ? var.bucket_name : "${var.project_id}-github-stats-data"

  services = [
    "artifactregistry",
    "bigquery",
    "cloudbuild",
    "cloudscheduler",
    "iam",
    "run",
    "secretmanager",
    "storage",
  ]

  settings = {
    GITHUB_ORG          = var.github_org
    BIGQUERY_PROJECT_ID = var.project_id
    BIGQUERY_DATASET_ID = var.bigquery_dataset_id
    BIGQUERY_LOCATION   = var.bigquery_location
    GCS_BUCKET_NAME     = local.bucket
    PERSIST_TO_GCS      = "true"
    HARVESTER_SINKS     = "bigquery"
  }
}

resource "google_project_service" "needed" {
  for_each           = toset(local.services)
  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false
}

resource "google_artifact_registry_repository" "images" {
  repository_id = local.name
  location      = var.region
  format        = "DOCKER"
  depends_on    = [google_project_service.needed]
}

resource "google_service_account" "runner" {
  account_id   = local.name
  display_name = "GitHub collector"
  depends_on   = [google_project_service.needed]
}

resource "google_service_account" "scheduler" {
  account_id   = "${local.name}-scheduler"
  display_name = "Starts the GitHub collector"
  depends_on   = [google_project_service.needed]
}

resource "google_secret_manager_secret" "token" {
  secret_id = "github-token"

  replication {
    auto {}
  }

  depends_on = [google_project_service.needed]
}

resource "google_secret_manager_secret_version" "token" {
  secret                 = google_secret_manager_secret.token.id
  secret_data_wo         = var.github_token
  secret_data_wo_version = var.github_token_version
}

resource "google_secret_manager_secret_iam_member" "runner" {
  secret_id = google_secret_manager_secret.token.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.runner.member
}

resource "google_storage_bucket" "archive" {
  name                        = local.bucket
  location                    = var.bigquery_location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  depends_on                  = [google_project_service.needed]

  # What is gone at GitHub is here alone.
  lifecycle {
    prevent_destroy = true
  }
}

# Objects of this bucket alone.
resource "google_storage_bucket_iam_member" "runner" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectAdmin"
  member = google_service_account.runner.member
}

# What it takes to make a dataset, which is the maker's then, and to run jobs.
resource "google_project_iam_member" "runner" {
  project = var.project_id
  role    = "roles/bigquery.user"
  member  = google_service_account.runner.member
}

resource "google_cloud_run_v2_job" "collector" {
  name                = local.name
  location            = var.region
  deletion_protection = false

  template {
    task_count = 1

    template {
      service_account = google_service_account.runner.email
      max_retries     = 0
      timeout         = "3300s" # less than the hour until the next, so that no two run at a time

      containers {
        image = var.image
        args  = ["github", "collect", "--go-on"]

        resources {
          limits = {
            cpu    = "1"
            memory = "1Gi"
          }
        }

        dynamic "env" {
          for_each = local.settings
          content {
            name  = env.key
            value = env.value
          }
        }

        env {
          name = "GITHUB_TOKEN"
          value_source {
            secret_key_ref {
              secret  = google_secret_manager_secret.token.secret_id
              version = "latest"
            }
          }
        }
      }
    }
  }

  depends_on = [
    google_secret_manager_secret_iam_member.runner,
    google_secret_manager_secret_version.token,
  ]
}

resource "google_cloud_run_v2_job_iam_member" "scheduler" {
  name     = google_cloud_run_v2_job.collector.name
  location = google_cloud_run_v2_job.collector.location
  role     = "roles/run.invoker"
  member   = google_service_account.scheduler.member
}

resource "google_cloud_scheduler_job" "hourly" {
  name      = local.name
  region    = var.region
  schedule  = var.schedule
  time_zone = "Etc/UTC"

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.collector.id}:run"

    oauth_token {
      service_account_email = google_service_account.scheduler.email
    }
  }

  depends_on = [google_project_service.needed]
}
