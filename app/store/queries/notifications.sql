-- name: claim_watch
-- The next connection that is due for evaluation. Locked rows are skipped here, and no later statement of the transaction waits for a
-- lock: a transaction that ends an extraction may briefly wait for us, never the other way round.
SELECT w.connection_id FROM watches w JOIN connections c ON c.id = w.connection_id
WHERE w.due_at <= now() ORDER BY w.due_at LIMIT 1
FOR UPDATE OF w SKIP LOCKED FOR KEY SHARE OF c SKIP LOCKED;

-- name: reschedule_watch
UPDATE watches SET due_at = $2 WHERE connection_id = $1;

-- name: end_watch
DELETE FROM watches WHERE connection_id = $1;

-- name: head_state
-- The state of the newest commit; no row if the connection is hidden or its installation suspended. Extractions since the last verdict,
-- and since the lineage, are looked for among the newest 100 of the branch.
SELECT c.head_sha AS sha, l.sha AS lineage_sha, l.extracted_at, coalesce(h.id, l.extraction_id) AS extraction_id, h.status,
       h.problem->>'conclusion' AS conclusion, h.problem->>'title' AS title, h.problem->>'path' AS path, h.finished_at,
       coalesce(s.waiting_since, h.created_at, w.since) AS waiting_since, coalesce(s.behind_since, h.created_at, w.since) AS behind_since
FROM connections c
JOIN watches w ON w.connection_id = c.id
JOIN repositories r ON r.id = c.repository_id AND r.removed_at IS NULL
JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL AND i.suspended_at IS NULL
LEFT JOIN lineages l ON l.id = c.lineage_id
LEFT JOIN LATERAL (
  SELECT e.id, e.status, e.problem, e.created_at, e.finished_at FROM extractions e
  WHERE e.connection_id = c.id AND e.sha = c.head_sha AND e.branch || '' = coalesce(c.branch, r.default_branch, e.branch) AND NOT e.background
  ORDER BY e.number DESC LIMIT 1
) h ON l.sha IS DISTINCT FROM c.head_sha
LEFT JOIN LATERAL (
  SELECT min(of.created_at) FILTER (WHERE of.number > of.judged) AS waiting_since,
         min(of.created_at) FILTER (WHERE coalesce(of.position, of.number) > coalesce(c.lineage_number, 0)) AS behind_since
  FROM (
    SELECT e.number, e.position, e.created_at, coalesce(max(e.number) FILTER (
             WHERE e.status = 'succeeded'
                OR (e.status = 'failed' AND e.problem->>'conclusion' IN ('failure', 'timed_out', 'action_required', 'skipped'))
           ) OVER (), 0) AS judged
    FROM (
      SELECT e.number, e.position, e.created_at, e.status, e.problem FROM extractions e
      WHERE e.connection_id = c.id AND e.branch = coalesce(c.branch, r.default_branch) AND NOT e.background ORDER BY e.number DESC LIMIT 100
    ) e
  ) of
) s ON l.sha IS DISTINCT FROM c.head_sha
WHERE c.id = $1 AND c.hidden_at IS NULL AND c.head_sha IS NOT NULL;

-- name: recipients
-- The subscriptions that apply to a connection, its own before those of its installation, each with the problem it has reported. A
-- subscription that is being deleted is skipped.
SELECT s.id, s.kind, s.address, s.events, s.since, t.event AS told, t.reason AS told_reason, t.since AS told_since
FROM subscriptions s LEFT JOIN told t ON t.subscription_id = s.id AND t.connection_id = $1
WHERE NOT s.paused AND (s.connection_id = $1 OR s.installation_id = (
  SELECT r.installation_id FROM connections c JOIN repositories r ON r.id = c.repository_id WHERE c.id = $1
))
ORDER BY s.connection_id IS NULL, s.created_at, s.id
FOR KEY SHARE OF s SKIP LOCKED;

-- name: set_reported
INSERT INTO told (subscription_id, connection_id, event, reason, since) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (subscription_id, connection_id) DO UPDATE SET event = excluded.event, reason = excluded.reason, since = excluded.since;

-- name: clear_reported
DELETE FROM told WHERE subscription_id = $1 AND connection_id = $2;

-- name: queue_notice
-- Unsent messages about the connection are outdated now, and replaced.
WITH overtaken AS (
  DELETE FROM notices WHERE subscription_id = $1 AND connection_id = $2 AND event <> 'test' AND (lease_until IS NULL OR lease_until < now())
)
INSERT INTO notices (subscription_id, connection_id, event, extraction_id, since, before) VALUES ($1, $2, $3, $4, $5, $6);

-- name: claim
-- The next message that is due. If the process dies, the claim ends with the lease.
UPDATE notices n SET lease_until = now() + $1::interval
FROM (
  SELECT id FROM notices WHERE due_at <= now() AND (lease_until IS NULL OR lease_until < now())
  ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
) due, subscriptions s
WHERE n.id = due.id AND s.id = n.subscription_id
RETURNING n.id AS notice_id, n.event, n.created_at AS told_at, n.attempts, n.connection_id AS of_connection, n.extraction_id, n.since, n.before,
          s.id, s.connection_id, s.installation_id, s.kind, s.address, s.events, s.paused, s.created_at, s.secret,
          s.last_event, s.last_outcome, s.last_detail, s.last_at;

-- name: release
-- The process stops.
UPDATE notices SET lease_until = NULL WHERE id = $1;

-- name: postpone
-- A message that a newer one has replaced is not retried.
WITH noted AS (
  UPDATE subscriptions SET last_event = $3, last_outcome = 'postponed', last_detail = $4, last_at = now() WHERE id = $2 RETURNING id
), overtaken AS (
  DELETE FROM notices n USING noted WHERE n.id = $1 AND EXISTS (
    SELECT FROM notices o WHERE o.subscription_id = n.subscription_id AND o.connection_id = n.connection_id AND o.created_at > n.created_at
      AND o.event <> 'test' AND n.event <> 'test'
  ) RETURNING n.id
)
UPDATE notices n SET attempts = n.attempts + 1, lease_until = NULL, due_at = now() + $5::interval
FROM noted WHERE n.id = $1 AND n.id NOT IN (SELECT id FROM overtaken);

-- name: finish
-- $6: the recipient refuses further messages. As everywhere, the subscription is locked before its messages.
WITH noted AS (
  UPDATE subscriptions SET last_event = $3, last_outcome = $4, last_detail = $5, last_at = now(), paused = paused OR $6
  WHERE id = $2 RETURNING id
)
DELETE FROM notices n USING noted WHERE n.id = $1;

-- name: drop
DELETE FROM notices WHERE id = $1;

-- name: seconds_until_watch
-- NULL if no connection is due for evaluation.
SELECT extract(epoch FROM w.due_at - now())::float8 FROM watches w JOIN connections c ON c.id = w.connection_id ORDER BY w.due_at LIMIT 1;

-- name: seconds_until_due
-- NULL if nothing waits. Among the first 100 rows, those under a lease are being sent by other processes.
SELECT extract(epoch FROM min(greatest(due_at, coalesce(lease_until, due_at))) - now())::float8
FROM (SELECT due_at, lease_until FROM notices ORDER BY due_at LIMIT 100) first;
