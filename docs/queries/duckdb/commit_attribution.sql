-- Who committed in the last 60 days: commits, pull requests (of each commit the first), and repositories.
SELECT
  author,
  COUNT(DISTINCT sha) AS commits_count,
  COUNT(DISTINCT CONCAT(host, '/', CAST(repository_id AS VARCHAR), '/', CAST(pr_number AS VARCHAR))) AS prs_count,
  COUNT(DISTINCT CONCAT(host, '/', CAST(repository_id AS VARCHAR))) AS repositories_count
FROM commits
WHERE commit_date >= make_timestamp(epoch_us(now())) - INTERVAL 60 DAY
GROUP BY author
ORDER BY commits_count DESC, author;
