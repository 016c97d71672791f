-- name: next_turn
-- The rank and installation of the check run to send next: what is current first, then each installation in its turn. $1: the last one's.
SELECT rank, first.installation_id
FROM (VALUES (0), (1), (2)) ranks (rank) CROSS JOIN (VALUES (false), (true)) rounds (again)
CROSS JOIN LATERAL (
  SELECT k.installation_id FROM check_runs k
  WHERE k.sent < k.revision AND k.abandoned IS NULL AND k.due_at <= now() AND (k.lease_until IS NULL OR k.lease_until < now())
    AND k.rank = ranks.rank AND k.installation_id > CASE WHEN again THEN -1 ELSE $1::bigint END
  ORDER BY k.installation_id LIMIT 1
) first
ORDER BY rank, again LIMIT 1;

-- name: claim
-- Of rank $2 in installation $3, the newest check run of the next repository after $4 that differs on GitHub. If the process dies, the
-- claim ends with the lease. Another process may be first: then there is no row.
UPDATE check_runs k SET lease_until = now() + $1::interval, claims = k.claims + 1
FROM (
  SELECT first.id FROM (VALUES (false), (true)) rounds (again) CROSS JOIN LATERAL (
    SELECT k.id FROM check_runs k
    WHERE k.sent < k.revision AND k.abandoned IS NULL AND k.due_at <= now() AND (k.lease_until IS NULL OR k.lease_until < now())
      AND k.rank = $2 AND k.installation_id = $3 AND k.repository_id > CASE WHEN again THEN -1 ELSE $4::bigint END
    ORDER BY k.repository_id, k.number DESC LIMIT 1
  ) first
  ORDER BY again LIMIT 1
) due
WHERE k.id = due.id AND k.due_at <= now() AND (k.lease_until IS NULL OR k.lease_until < now())
RETURNING k.id, k.extraction_id, k.repository_id, k.github_id, k.revision, k.in_doubt, k.attempts, k.claims, k.completed, k.rank, k.annotations,
          coalesce(k.created_as, k.extraction_id) AS created_as;

-- name: release
-- The process stops. After $3, a request that it has just sent has arrived before another process looks for the result.
UPDATE check_runs SET lease_until = least(lease_until, now() + $3::interval) WHERE id = $1 AND claims = $2;

-- name: mark_in_doubt
-- The next request may succeed without our receiving the answer. $3: the `external_id` in it, if it creates the check run.
UPDATE check_runs SET in_doubt = true, created_as = coalesce($3::uuid, created_as)
WHERE id = $1 AND claims = $2 AND lease_until > now();

-- name: mark_created
UPDATE check_runs SET github_id = $3, in_doubt = false WHERE id = $1 AND claims = $2;

-- name: mark_sent
-- Changes within $4 are sent together, but the conclusion is sent at once. $5: digests of annotations.
UPDATE check_runs k
SET sent = $3, attempts = 0, in_doubt = false, lease_until = NULL,
    annotations = CASE WHEN $5::text[] <@ k.annotations OR $5 = '{}' THEN k.annotations
                       ELSE ARRAY(SELECT unnest(k.annotations) UNION SELECT unnest($5)) END,
    due_at = CASE WHEN e.finished_at IS NULL THEN now() + $4::interval ELSE now() END
FROM extractions e WHERE e.id = k.extraction_id AND k.id = $1 AND k.claims = $2;

-- name: postpone
-- $4: it counts as an attempt.
UPDATE check_runs SET attempts = attempts + $4::boolean::integer, lease_until = NULL, due_at = now() + $3::interval
WHERE id = $1 AND claims = $2;

-- name: abandon
UPDATE check_runs SET abandoned = $3, lease_until = NULL WHERE id = $1 AND claims = $2;

-- name: seconds_until_due
-- NULL if nothing waits. Among the first 100 rows, those under a lease are being sent by other processes.
SELECT extract(epoch FROM min(greatest(due_at, coalesce(lease_until, due_at))) - now())::float8
FROM (SELECT due_at, lease_until FROM check_runs WHERE sent < revision AND abandoned IS NULL ORDER BY due_at LIMIT 100) first;

-- name: hold_installation
-- GitHub asked us to wait with this installation. $3: only with check runs that it does not have yet.
UPDATE check_runs SET due_at = greatest(due_at, now() + $2::interval)
WHERE sent < revision AND abandoned IS NULL AND installation_id = $1 AND (NOT $3::boolean OR github_id IS NULL)
  AND due_at < now() + $2::interval;
