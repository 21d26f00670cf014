variable "project_id" {
  description = "Project that everything is put into."
  type        = string
}

variable "github_org" {
  description = "Login of the organisation."
  type        = string
}

variable "github_token" {
  description = "It goes into Secret Manager and into no state: export TF_VAR_github_token."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "github_token_version" {
  description = "Raise it with every new token: that is how Terraform knows that there is one."
  type        = number
  default     = 1
}

variable "image" {
  description = "The image of the harvester, such as us-central1-docker.pkg.dev/my-project/github-collector/event-harvester:latest."
  type        = string
}

variable "region" {
  description = "Where it runs."
  type        = string
  default     = "us-central1"
}

variable "schedule" {
  description = "When it runs, in UTC, as cron writes it."
  type        = string
  default     = "0 * * * *"
}

variable "bigquery_dataset_id" {
  description = "Dataset of the tables; the collector makes it."
  type        = string
  default     = "github_stats"
}

variable "bigquery_location" {
  description = "Where the dataset and the bucket are."
  type        = string
  default     = "US"
}

variable "bucket_name" {
  description = "Bucket of the archive; empty: <project>-github-stats-data."
  type        = string
  default     = ""
}
