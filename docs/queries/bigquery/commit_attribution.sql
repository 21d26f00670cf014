-- Who committed in the last 60 days: commits, pull requests (of each commit the first), and repositories.
SELECT
  author,
  COUNT(DISTINCT sha) AS commits_count,
  COUNT(DISTINCT CONCAT(host, '/', CAST(repository_id AS STRING), '/', CAST(pr_number AS STRING))) AS prs_count,
  COUNT(DISTINCT CONCAT(host, '/', CAST(repository_id AS STRING))) AS repositories_count
FROM github_stats.commits
WHERE commit_date >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 60 DAY)
GROUP BY author
ORDER BY commits_count DESC, author;
