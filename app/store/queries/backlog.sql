-- name: backlog
-- Each count ends at $1, so that asking costs no more on a bad day.
SELECT
  (SELECT count(*) FROM (SELECT FROM extractions WHERE status = 'queued' LIMIT $1) counted) AS queued,
  (SELECT count(*) FROM (SELECT FROM extractions WHERE status = 'running' LIMIT $1) counted) AS running,
  (SELECT extract(epoch FROM now() - min(due_at))::float8 FROM (
    SELECT due_at FROM extractions WHERE status = 'queued' ORDER BY number LIMIT 1000
  ) first) AS queued_s,
  (SELECT count(*) FROM (
    SELECT FROM check_runs WHERE sent < revision AND abandoned IS NULL AND due_at <= now() LIMIT $1
  ) counted) AS check_runs_due,
  (SELECT extract(epoch FROM now() - min(due_at))::float8 FROM check_runs WHERE sent < revision AND abandoned IS NULL) AS check_runs_due_s;
