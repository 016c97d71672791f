-- name: claim
-- The next check run that GitHub does not show as it is; whoever dies over it loses it after the lease.
UPDATE check_runs k SET lease_until = now() + interval '40 seconds'
FROM (
  SELECT k.extraction_id FROM check_runs k
  WHERE k.sent < k.revision AND k.abandoned IS NULL AND k.due_at <= now() AND (k.lease_until IS NULL OR k.lease_until < now())
  ORDER BY k.due_at LIMIT 1 FOR UPDATE SKIP LOCKED
) due
WHERE k.extraction_id = due.extraction_id
RETURNING k.extraction_id, k.github_id, k.revision, k.in_doubt, k.attempts;

-- name: release
-- Its process stops. What it may have sent a moment ago shall have arrived before somebody looks for it.
UPDATE check_runs SET lease_until = least(lease_until, now() + interval '3 seconds') WHERE extraction_id = $1;

-- name: doubt
-- What is sent now may arrive without our hearing of it.
UPDATE check_runs SET in_doubt = true WHERE extraction_id = $1;

-- name: created
UPDATE check_runs SET github_id = $2, in_doubt = false WHERE extraction_id = $1;

-- name: sent
-- What changes within half a second is told together, but how it ended is told at once.
UPDATE check_runs k
SET sent = $2, attempts = 0, in_doubt = false, lease_until = NULL,
    due_at = CASE WHEN e.finished_at IS NULL THEN now() + interval '500 milliseconds' ELSE now() END
FROM extractions e WHERE e.id = k.extraction_id AND k.extraction_id = $1;

-- name: postpone
UPDATE check_runs SET attempts = attempts + 1, lease_until = NULL, due_at = now() + $2::interval WHERE extraction_id = $1;

-- name: abandon
UPDATE check_runs SET abandoned = $2, lease_until = NULL WHERE extraction_id = $1;

-- name: next_due
-- Seconds until there is something to do, NULL when there is nothing. Only what others are just sending stands before the first one.
SELECT extract(epoch FROM min(greatest(due_at, coalesce(lease_until, due_at))) - now())::float8
FROM (SELECT due_at, lease_until FROM check_runs WHERE sent < revision AND abandoned IS NULL ORDER BY due_at LIMIT 100) first;

-- name: hold
-- GitHub asked the whole installation to wait.
UPDATE check_runs k SET due_at = greatest(k.due_at, now() + $2::interval)
FROM extractions e JOIN connections c ON c.id = e.connection_id JOIN repositories r ON r.id = c.repository_id
WHERE k.extraction_id = e.id AND k.sent < k.revision AND k.abandoned IS NULL AND r.installation_id = $1;
