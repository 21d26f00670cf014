-- Made by docs/generate.py. Of each key the row stays that was read last; without doubles nothing is removed.
-- Stop the sink first. A table is made with its first row: leave out the statements of those that are not there.

CREATE OR REPLACE TABLE github_stats.commits
PARTITION BY TIMESTAMP_TRUNC(commit_date, MONTH)
CLUSTER BY organization, repository, author
AS SELECT * EXCEPT (nth) FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM github_stats.commits
) WHERE nth = 1;

CREATE OR REPLACE TABLE github_stats.issue_comments
PARTITION BY TIMESTAMP_TRUNC(created_at, MONTH)
CLUSTER BY organization, repository, author
AS SELECT * EXCEPT (nth) FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM github_stats.issue_comments
) WHERE nth = 1;

CREATE OR REPLACE TABLE github_stats.pr_commits
PARTITION BY TIMESTAMP_TRUNC(event_time, MONTH)
CLUSTER BY organization, repository, sha
AS SELECT * EXCEPT (nth) FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM github_stats.pr_commits
) WHERE nth = 1;

CREATE OR REPLACE TABLE github_stats.pull_requests
PARTITION BY TIMESTAMP_TRUNC(created_at, MONTH)
CLUSTER BY organization, repository, author
AS SELECT * EXCEPT (nth) FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM github_stats.pull_requests
) WHERE nth = 1;

CREATE OR REPLACE TABLE github_stats.repositories
PARTITION BY TIMESTAMP_TRUNC(event_time, MONTH)
CLUSTER BY organization, repository
AS SELECT * EXCEPT (nth) FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM github_stats.repositories
) WHERE nth = 1;

CREATE OR REPLACE TABLE github_stats.review_comments
PARTITION BY TIMESTAMP_TRUNC(created_at, MONTH)
CLUSTER BY organization, repository, author
AS SELECT * EXCEPT (nth) FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM github_stats.review_comments
) WHERE nth = 1;

CREATE OR REPLACE TABLE github_stats.reviews
PARTITION BY TIMESTAMP_TRUNC(submitted_at, MONTH)
CLUSTER BY organization, repository, reviewer
AS SELECT * EXCEPT (nth) FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM github_stats.reviews
) WHERE nth = 1;
