#!/usr/bin/env bash
# Puts the GitHub collector into a project of Google Cloud: a job (or a function) that Cloud Scheduler starts every hour, and
# that nobody else can call. It may be repeated: what is there stays, what changed is changed. deployment/DEPLOYMENT.md tells the rest.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: deployment/deploy.sh [--function] [--dry-run]

  --function   a Cloud Function in the place of the Cloud Run job
  --dry-run    print the commands that change something, and run none

Needed in the environment:
  GCP_PROJECT_ID      the project that everything is put into
  GITHUB_TOKEN        it goes into Secret Manager, and nowhere else
  GITHUB_ORG          login of the organisation
May be set:
  REGION=us-central1  where it runs
  SCHEDULE="0 * * * *"  when, in UTC, as cron writes it
  IMAGE               an image that is there already; otherwise it is built from this folder
  BIGQUERY_DATASET_ID=github_stats, BIGQUERY_LOCATION=US, GCS_BUCKET_NAME=<project>-github-stats-data

Exit codes: 0 done · 1 a command of gcloud failed · 2 wrong usage · 3 something is missing
USAGE
}

NAME=github-collector
SECRET=github-token
RUNS_FOR=3300 # seconds: less than the hour until the next, so that no two run at a time

function=""
dry_run=""
for word in "$@"; do
  case "$word" in
    --function) function=yes ;;
    --dry-run) dry_run=yes ;;
    -h | --help) usage; exit 0 ;;
    *) echo "deploy: there is no $word" >&2; usage >&2; exit 2 ;;
  esac
done

missing=()
for variable in GCP_PROJECT_ID GITHUB_TOKEN GITHUB_ORG; do
  [ -n "${!variable:-}" ] || missing+=("$variable")
done
if [ "${#missing[@]}" -gt 0 ]; then
  echo "deploy: not set: ${missing[*]}. Set each in the environment, such as: export GCP_PROJECT_ID=my-project" >&2
  exit 3
fi
if [ -z "$dry_run" ] && ! command -v gcloud >/dev/null; then
  echo "deploy: there is no gcloud on the PATH. Install the Google Cloud CLI, then: gcloud auth login" >&2
  exit 3
fi

REGION="${REGION:-us-central1}"
SCHEDULE="${SCHEDULE:-0 * * * *}"
BIGQUERY_DATASET_ID="${BIGQUERY_DATASET_ID:-github_stats}"
BIGQUERY_LOCATION="${BIGQUERY_LOCATION:-US}"
GCS_BUCKET_NAME="${GCS_BUCKET_NAME:-$GCP_PROJECT_ID-github-stats-data}"
RUNNER="$NAME@$GCP_PROJECT_ID.iam.gserviceaccount.com"
CALLER="$NAME-scheduler@$GCP_PROJECT_ID.iam.gserviceaccount.com"
SETTINGS="^|^GITHUB_ORG=$GITHUB_ORG|BIGQUERY_PROJECT_ID=$GCP_PROJECT_ID|BIGQUERY_DATASET_ID=$BIGQUERY_DATASET_ID"
SETTINGS+="|BIGQUERY_LOCATION=$BIGQUERY_LOCATION|GCS_BUCKET_NAME=$GCS_BUCKET_NAME|PERSIST_TO_GCS=true|HARVESTER_SINKS=bigquery"
cd "$(dirname "$0")/.."

say() { echo "deploy${dry_run:+ (dry run)}: $*" >&2; }

# One command that changes something. With --dry-run it is printed instead.
run() {
  if [ -n "$dry_run" ]; then
    printf 'gcloud'
    printf ' %q' "$@" "--project=$GCP_PROJECT_ID"
    printf '\n'
  else
    gcloud "$@" "--project=$GCP_PROJECT_ID" --quiet >/dev/null
  fi
}

# there COMMAND…: whether that describes something.
there() { [ -z "$dry_run" ] && gcloud "$@" "--project=$GCP_PROJECT_ID" --quiet >/dev/null 2>&1; }

# ensure WHAT (command that describes it) -- (command that makes it)
ensure() {
  local what=$1 look=()
  shift
  while [ "$1" != -- ]; do
    look+=("$1")
    shift
  done
  shift
  if there "${look[@]}"; then
    say "$what: there"
  else
    say "$what: made"
    run "$@"
  fi
}

# A new account is known everywhere only after some seconds.
grant() {
  local turn
  for turn in 1 2 3 4 5 6; do
    if run "$@"; then return 0; fi
    [ "$turn" -eq 6 ] || sleep "${GRANT_PAUSE:-10}"
  done
  say "gcloud refused: $*"
  return 1
}

services() {
  local apis=(artifactregistry bigquery cloudbuild cloudscheduler iam run secretmanager storage)
  [ -z "$function" ] || apis+=(cloudfunctions)
  run services enable "${apis[@]/%/.googleapis.com}"
}

accounts() {
  ensure "account $NAME" iam service-accounts describe "$RUNNER" -- \
    iam service-accounts create "$NAME" --display-name="GitHub collector"
  ensure "account $NAME-scheduler" iam service-accounts describe "$CALLER" -- \
    iam service-accounts create "$NAME-scheduler" --display-name="Starts the GitHub collector"
}

# The token is read from stdin, so that no list of processes shows it.
token() {
  ensure "secret $SECRET" secrets describe "$SECRET" -- secrets create "$SECRET" --replication-policy=automatic
  if [ -z "$dry_run" ] &&
    [ "$(gcloud secrets versions access latest --secret="$SECRET" "--project=$GCP_PROJECT_ID" --quiet 2>/dev/null)" = "$GITHUB_TOKEN" ]; then
    say "secret $SECRET: holds this token"
  else
    say "secret $SECRET: a new version"
    # No pipe: a dry run reads nothing, and whoever writes into it would end the script.
    run secrets versions add "$SECRET" --data-file=- < <(printf %s "$GITHUB_TOKEN")
  fi
  grant secrets add-iam-policy-binding "$SECRET" --member="serviceAccount:$RUNNER" --role=roles/secretmanager.secretAccessor
}

# Objects of this bucket alone; of BigQuery what it takes to make a dataset, which is the maker's then, and to run jobs.
stores() {
  local bucket="gs://$GCS_BUCKET_NAME"
  ensure "bucket $GCS_BUCKET_NAME" storage buckets describe "$bucket" -- \
    storage buckets create "$bucket" --location="$BIGQUERY_LOCATION" --uniform-bucket-level-access --public-access-prevention
  grant storage buckets add-iam-policy-binding "$bucket" --member="serviceAccount:$RUNNER" --role=roles/storage.objectAdmin
  grant projects add-iam-policy-binding "$GCP_PROJECT_ID" --member="serviceAccount:$RUNNER" --role=roles/bigquery.user --condition=None
}

image() {
  [ -z "${IMAGE:-}" ] || return 0
  IMAGE="$REGION-docker.pkg.dev/$GCP_PROJECT_ID/$NAME/event-harvester:latest"
  ensure "images $NAME" artifacts repositories describe "$NAME" --location="$REGION" -- \
    artifacts repositories create "$NAME" --location="$REGION" --repository-format=docker
  say "image: built in the cloud"
  run builds submit . --config=deployment/cloudbuild.yaml --ignore-file=deployment/.gcloudignore --substitutions="_IMAGE=$IMAGE"
}

job() {
  image
  say "job $NAME: deployed"
  run run jobs deploy "$NAME" --region="$REGION" --image="$IMAGE" --args=github,collect,--go-on --service-account="$RUNNER" \
    --set-env-vars="$SETTINGS" --set-secrets="GITHUB_TOKEN=$SECRET:latest" \
    --tasks=1 --max-retries=0 --task-timeout="${RUNS_FOR}s" --cpu=1 --memory=1Gi
  grant run jobs add-iam-policy-binding "$NAME" --region="$REGION" --member="serviceAccount:$CALLER" --role=roles/run.invoker
  every_hour "https://run.googleapis.com/v2/projects/$GCP_PROJECT_ID/locations/$REGION/jobs/$NAME:run" \
    --oauth-service-account-email="$CALLER"
}

collector_function() {
  local source address
  source=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder is known now
  trap "rm -rf '$source'" EXIT
  cp -R deployment/function/main.py harvester consumers index_templates dashboards "$source"
  find "$source" -name __pycache__ -type d -prune -exec rm -rf {} +
  cp requirements/production.txt "$source/requirements.txt"
  say "function $NAME: deployed"
  run functions deploy "$NAME" --gen2 --region="$REGION" --runtime=python311 --source="$source" --entry-point=collect \
    --trigger-http --no-allow-unauthenticated --service-account="$RUNNER" --set-env-vars="$SETTINGS" \
    --set-secrets="GITHUB_TOKEN=$SECRET:latest" --timeout=1800s --memory=1Gi --cpu=1 --max-instances=1 --concurrency=1
  grant functions add-invoker-policy-binding "$NAME" --region="$REGION" --member="serviceAccount:$CALLER"
  address="https://$REGION-$GCP_PROJECT_ID.cloudfunctions.net/$NAME" # what a dry run shows: the true one is known when it is there
  [ -n "$dry_run" ] || address=$(gcloud functions describe "$NAME" --region="$REGION" --format="value(serviceConfig.uri)" "--project=$GCP_PROJECT_ID")
  every_hour "$address" --oidc-service-account-email="$CALLER" --oidc-token-audience="$address" --attempt-deadline=1800s
}

# every_hour ADDRESS (how Cloud Scheduler logs in there)
every_hour() {
  local address=$1 verb=create
  shift
  if there scheduler jobs describe "$NAME" --location="$REGION"; then verb=update; fi
  say "schedule $NAME: ${verb}d, \"$SCHEDULE\" UTC"
  run scheduler jobs "$verb" http "$NAME" --location="$REGION" --schedule="$SCHEDULE" --time-zone=Etc/UTC \
    --uri="$address" --http-method=POST "$@"
}

services
accounts
token
stores
if [ -n "$function" ]; then collector_function; else job; fi
say "done. What is older than a day is read once, by hand: deployment/DEPLOYMENT.md, \"The first half year\""
