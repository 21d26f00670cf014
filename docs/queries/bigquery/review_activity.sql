-- Who reviewed in the last 90 days: how often, how many pull requests, in how many repositories. Without bots.
-- A number alone is no pull request: every repository has a number 1.
SELECT
  reviewer,
  COUNT(*) AS reviews_given,
  COUNT(DISTINCT CONCAT(host, '/', CAST(repository_id AS STRING), '/', CAST(pr_number AS STRING))) AS prs_reviewed,
  COUNT(DISTINCT CONCAT(host, '/', CAST(repository_id AS STRING))) AS repositories_count
FROM github_stats.reviews
WHERE submitted_at >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 90 DAY) AND reviewer_type = 'User'
GROUP BY reviewer
ORDER BY reviews_given DESC, reviewer;
