-- Who opened pull requests in the last 30 days, how many of them are merged, and how often they were reviewed. Without bots.
SELECT
  author,
  COUNT(*) AS prs_created,
  COUNTIF(is_merged) AS prs_merged,
  SUM(additions) AS lines_added,
  SUM(deletions) AS lines_deleted,
  ROUND(AVG(review_count), 2) AS avg_reviews_received
FROM github_stats.pull_requests
WHERE created_at >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 30 DAY) AND author_type = 'User'
GROUP BY author
ORDER BY prs_merged DESC, prs_created DESC, author;
