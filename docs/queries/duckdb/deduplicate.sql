-- Made by docs/generate.py. Of each key the row stays that was read last; without doubles nothing is removed.
-- Stop the sink first. A table is made with its first row: leave out the statements of those that are not there.

DELETE FROM commits WHERE rowid IN (
  SELECT rowid FROM (SELECT rowid, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM commits) WHERE nth > 1
);

DELETE FROM issue_comments WHERE rowid IN (
  SELECT rowid FROM (SELECT rowid, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM issue_comments) WHERE nth > 1
);

DELETE FROM pr_commits WHERE rowid IN (
  SELECT rowid FROM (SELECT rowid, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM pr_commits) WHERE nth > 1
);

DELETE FROM pull_requests WHERE rowid IN (
  SELECT rowid FROM (SELECT rowid, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM pull_requests) WHERE nth > 1
);

DELETE FROM repositories WHERE rowid IN (
  SELECT rowid FROM (SELECT rowid, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM repositories) WHERE nth > 1
);

DELETE FROM review_comments WHERE rowid IN (
  SELECT rowid FROM (SELECT rowid, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM review_comments) WHERE nth > 1
);

DELETE FROM reviews WHERE rowid IN (
  SELECT rowid FROM (SELECT rowid, ROW_NUMBER() OVER (PARTITION BY event_module, subject ORDER BY ingestion_timestamp DESC, event_rank DESC) AS nth FROM reviews) WHERE nth > 1
);
