-- The same with every pull request that a commit is in: stacked and picked ones are in several.
SELECT
  commits.author,
  COUNT(DISTINCT commits.sha) AS commits_count,
  COUNT(DISTINCT CONCAT(pairs.host, '/', CAST(pairs.repository_id AS VARCHAR), '/', CAST(pairs.pr_number AS VARCHAR))) AS prs_count,
  COUNT(DISTINCT CONCAT(commits.host, '/', CAST(commits.repository_id AS VARCHAR))) AS repositories_count
FROM commits
JOIN pr_commits AS pairs
  ON pairs.event_module = commits.event_module AND pairs.repository_id = commits.repository_id AND pairs.sha = commits.sha
WHERE commits.commit_date >= make_timestamp(epoch_us(now())) - INTERVAL 60 DAY
GROUP BY commits.author
ORDER BY commits_count DESC, author;
