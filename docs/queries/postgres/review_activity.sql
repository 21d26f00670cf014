-- Who reviewed in the last 90 days: how often, how many pull requests, in how many repositories. Without bots.
-- A number alone is no pull request: every repository has a number 1.
SELECT
  reviewer,
  COUNT(*) AS reviews_given,
  COUNT(DISTINCT CONCAT(host, '/', CAST(repository_id AS text), '/', CAST(pr_number AS text))) AS prs_reviewed,
  COUNT(DISTINCT CONCAT(host, '/', CAST(repository_id AS text))) AS repositories_count
FROM reviews
WHERE submitted_at >= now() - INTERVAL '90 days' AND reviewer_type = 'User'
GROUP BY reviewer
ORDER BY reviews_given DESC, reviewer;
