-- How many merged pull requests have each size label, and how many hours they were open on average.
SELECT
  size_label,
  COUNT(*) AS pr_count,
  ROUND(CAST(AVG(date_part('epoch', merged_at - created_at)) / 3600 AS numeric), 2) AS avg_hours_to_merge
FROM pull_requests
WHERE is_merged AND size_label IS NOT NULL
GROUP BY size_label
ORDER BY pr_count DESC, size_label;
