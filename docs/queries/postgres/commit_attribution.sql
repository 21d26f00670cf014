-- Who committed in the last 60 days: commits, pull requests (of each commit the first), and repositories.
SELECT
  author,
  COUNT(DISTINCT sha) AS commits_count,
  COUNT(DISTINCT CONCAT(host, '/', CAST(repository_id AS text), '/', CAST(pr_number AS text))) AS prs_count,
  COUNT(DISTINCT CONCAT(host, '/', CAST(repository_id AS text))) AS repositories_count
FROM commits
WHERE commit_date >= now() - INTERVAL '60 days'
GROUP BY author
ORDER BY commits_count DESC, author;
