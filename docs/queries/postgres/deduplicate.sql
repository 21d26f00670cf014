-- Made by docs/generate.py. Of each key the row stays that was read last; without doubles nothing is removed.
-- Stop the sink first. A table is made with its first row: leave out the statements of those that are not there.

DELETE FROM commits WHERE ctid IN (
  SELECT ctid FROM (SELECT ctid, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM commits) AS counted WHERE nth > 1
);

DELETE FROM issue_comments WHERE ctid IN (
  SELECT ctid FROM (SELECT ctid, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM issue_comments) AS counted WHERE nth > 1
);

DELETE FROM pr_commits WHERE ctid IN (
  SELECT ctid FROM (SELECT ctid, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM pr_commits) AS counted WHERE nth > 1
);

DELETE FROM pull_requests WHERE ctid IN (
  SELECT ctid FROM (SELECT ctid, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM pull_requests) AS counted WHERE nth > 1
);

DELETE FROM repositories WHERE ctid IN (
  SELECT ctid FROM (SELECT ctid, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM repositories) AS counted WHERE nth > 1
);

DELETE FROM review_comments WHERE ctid IN (
  SELECT ctid FROM (SELECT ctid, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM review_comments) AS counted WHERE nth > 1
);

DELETE FROM reviews WHERE ctid IN (
  SELECT ctid FROM (SELECT ctid, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM reviews) AS counted WHERE nth > 1
);
