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
-- claim ends with the lease. Another process may be first: then there is no row. $5: later than this, what was created is looked for first.
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
          coalesce(k.created_as, k.extraction_id) AS created_as,
          (SELECT e.delivery_id FROM extractions e WHERE e.id = k.extraction_id) AS delivery_id,
          extract(epoch FROM now() - k.doubled_at)::float8 AS doubled_s,
          k.github_id IS NULL AND EXISTS (
            SELECT FROM extractions e WHERE e.id = k.extraction_id AND (e.trigger = 'reconcile' OR e.created_at < now() - $5::interval)
          ) AS forgotten;

-- name: release
-- The process stops. After $3, a request that it has just sent has arrived before another process looks for the result.
UPDATE check_runs SET lease_until = least(lease_until, now() + $3::interval) WHERE id = $1 AND claims = $2;

-- name: mark_in_doubt
-- The next request may succeed without our receiving the answer. $3: the `external_id` in it, if it creates the check run. $4: an earlier
-- request of the kind may still arrive.
UPDATE check_runs SET in_doubt = true, created_as = coalesce($3::uuid, created_as), doubled_at = CASE WHEN $4 THEN now() ELSE doubled_at END
WHERE id = $1 AND claims = $2 AND lease_until > now();

-- name: mark_refused
-- GitHub answered that it did not create the check run.
UPDATE check_runs SET in_doubt = false WHERE id = $1 AND claims = $2;

-- name: strays
-- Of GitHub's check runs $1 (with the `external_id` $2) of commit $4 of repository $3, those that nobody here will end. What a row without
-- GitHub's id has sent may be among them: then it is that row's, unless it is $5.
SELECT run.github_id FROM unnest($1::bigint[], $2::text[]) AS run (github_id, external_id)
WHERE NOT EXISTS (
  SELECT FROM connections c
  JOIN extractions e ON e.connection_id = c.id AND e.sha = $4
  JOIN check_runs k ON k.extraction_id = e.id
  WHERE c.repository_id = $3 AND (k.github_id = run.github_id OR (
    k.github_id IS NULL AND k.id <> $5 AND run.external_id IN (k.extraction_id::text, k.created_as::text))))
ORDER BY run.github_id DESC;

-- name: mark_created
UPDATE check_runs SET github_id = $3, in_doubt = false WHERE id = $1 AND claims = $2;

-- name: mark_sent
-- Changes within $4 are sent together, but the conclusion is sent at once. $5: digests of annotations. $6: this was a conclusion; `first` says
-- whether it was the first one of its extraction. $7: after this time from `doubled_at`, it is sent once more; $8: that has been done.
UPDATE check_runs k
SET concluded_for = CASE WHEN $6::boolean THEN e.id ELSE k.concluded_for END, sent = CASE WHEN $7::interval IS NULL OR k.doubled_at IS NULL THEN $3 ELSE $3 - 1 END, attempts = 0, in_doubt = false, lease_until = NULL,
    annotations = CASE WHEN $5::text[] <@ k.annotations OR $5 = '{}' THEN k.annotations
                       ELSE ARRAY(SELECT unnest(k.annotations) UNION SELECT unnest($5)) END,
    doubled_at = CASE WHEN $8::boolean THEN NULL ELSE k.doubled_at END,
    due_at = CASE WHEN e.finished_at IS NULL THEN now() + $4::interval ELSE coalesce(k.doubled_at + $7, now()) END
FROM extractions e, check_runs before WHERE e.id = k.extraction_id AND before.id = k.id AND k.id = $1 AND k.claims = $2
RETURNING $6::boolean AND before.concluded_for IS DISTINCT FROM e.id AS first,
          extract(epoch FROM clock_timestamp() - e.delivered_at)::float8 AS age_s;

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
-- GitHub asked us to wait with this installation. $3: only with check runs that it does not have yet. If there are many, those that come
-- later in their turn (the newest of each repository first) wait longer, 20 of them about as long as 20 take, so that a backlog is not written
-- anew again and again. Those that are added before the end of the wait are not due before it either.
WITH installation AS (
  UPDATE installations SET check_runs_held_until = greatest(check_runs_held_until, now() + $2::interval) WHERE id = $1
), held AS (
  SELECT id, (row_number() OVER (ORDER BY rank, place) - 1) / 20 AS later
  FROM (
    SELECT id, rank, row_number() OVER (PARTITION BY rank, repository_id ORDER BY number DESC) AS place
    FROM check_runs
    WHERE sent < revision AND abandoned IS NULL AND installation_id = $1 AND (NOT $3::boolean OR github_id IS NULL)
      AND due_at < now() + $2
  ) waiting
)
UPDATE check_runs k SET due_at = greatest(k.due_at, now() + $2) + held.later * interval '15 seconds' FROM held WHERE k.id = held.id;
