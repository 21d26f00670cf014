terraform {
  required_version = ">= 1.11" # write-only arguments: the token never stands in the state

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 8.0"
    }
  }
}

provider "google" {
  project = var.project_id
  region  = var.region
}
