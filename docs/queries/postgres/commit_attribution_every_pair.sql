-- The same with every pull request that a commit is in: stacked and picked ones are in several.
SELECT
  commits.author,
  COUNT(DISTINCT commits.sha) AS commits_count,
  COUNT(DISTINCT CONCAT(pairs.host, '/', CAST(pairs.repository_id AS text), '/', CAST(pairs.pr_number AS text))) AS prs_count,
  COUNT(DISTINCT CONCAT(commits.host, '/', CAST(commits.repository_id AS text))) AS repositories_count
FROM commits
JOIN pr_commits AS pairs
  ON pairs.event_module = commits.event_module AND pairs.repository_id = commits.repository_id AND pairs.sha = commits.sha
WHERE commits.commit_date >= now() - INTERVAL '60 days'
GROUP BY commits.author
ORDER BY commits_count DESC, author;
