output "job" {
  description = "What Cloud Scheduler starts."
  value       = google_cloud_run_v2_job.collector.id
}

output "bucket" {
  description = "Where the archive is."
  value       = google_storage_bucket.archive.url
}

output "images" {
  description = "Where images are pushed to."
  value       = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.images.repository_id}"
}
