-- name: set
-- $2 the claim.
UPDATE extractions SET base = $3 WHERE id = $1 AND worker = $2 AND status = 'running';

-- name: of_commit
-- What the last extraction of a commit ($3) on a branch ($2) was compared with.
SELECT base FROM extractions WHERE connection_id = $1 AND sha = $3 AND branch || '' = $2 AND base IS NOT NULL ORDER BY number DESC LIMIT 1;

-- name: nearest
-- The first of the commits $2 that can be compared with, if $4 is given of those of that branch. $3: see `commit`.
SELECT listed.sha
FROM unnest($2::text[]) WITH ORDINALITY AS listed (sha, place)
JOIN lineages l ON l.connection_id = $1 AND l.sha = listed.sha
WHERE l.columns_state IS DISTINCT FROM 'pending' AND (l.trust NOT SIMILAR TO '(side|fork) %' OR l.trust = ANY($3::text[]))
  AND ($4::text IS NULL OR l.branch = $4)
ORDER BY listed.place LIMIT 1;

-- name: commit
-- Whether a commit ($2) can be compared with, whether an extraction of it is queued or running, and how the last other one ended. What a
-- branch that anybody may push to had a part in counts for that branch alone: $3 are the trusts of the extraction that is compared. One of a
-- fork does not count: it had fewer packages, and its lineage is a stranger's.
SELECT EXISTS (
         SELECT FROM lineages l
         WHERE l.connection_id = $1 AND l.sha = $2 AND l.columns_state IS DISTINCT FROM 'pending'
           AND (l.trust NOT SIMILAR TO '(side|fork) %' OR l.trust = ANY($3::text[]))
       ) AS stored,
       EXISTS (
         SELECT FROM extractions e WHERE e.connection_id = $1 AND e.sha = $2 AND e.status IN ('queued', 'running') AND NOT e.of_fork
       ) AS active,
       last.status, last.problem->>'title' AS title, last.problem->>'conclusion' AS conclusion
FROM (VALUES (0)) one LEFT JOIN LATERAL (
  SELECT e.status, e.problem FROM extractions e
  WHERE e.connection_id = $1 AND e.sha = $2 AND e.status NOT IN ('queued', 'running') AND NOT e.of_fork ORDER BY e.number DESC LIMIT 1
) last ON true;

-- name: is_same
SELECT base.node_ids = head.node_ids AND base.column_ids = head.column_ids AND base.columns_state IS NOT DISTINCT FROM head.columns_state
FROM lineages base, lineages head
WHERE base.id = $1 AND base.extracted_at = $2 AND head.id = $3 AND head.extracted_at = $4;

-- name: queue
-- $4: how many may wait in the background of an installation. Its position is that of the newest extraction of the same commit, or 0, as for
-- every commit that is not known to be new. No row: the commit is queued or running, or there is no room.
INSERT INTO extractions (connection_id, branch, sha, trigger, position)
SELECT $1, $2, $3, 'base', coalesce(
  (SELECT coalesce(position, number) FROM extractions
   WHERE connection_id = $1 AND sha = $3 AND branch || '' = $2 ORDER BY number DESC LIMIT 1), 0)
FROM connections c JOIN repositories r ON r.id = c.repository_id
WHERE c.id = $1
  AND NOT EXISTS (SELECT FROM extractions e WHERE e.connection_id = $1 AND e.sha = $3 AND e.status IN ('queued', 'running') AND NOT e.of_fork)
  AND (SELECT count(*) FROM (
         SELECT FROM extractions e WHERE e.installation_id = r.installation_id AND e.background AND e.status = 'queued' LIMIT $4
       ) counted) < $4
ON CONFLICT (connection_id, sha) WHERE status IN ('queued', 'running') AND background DO NOTHING
RETURNING id;

-- name: impact_of_lineage
-- What the extraction of a lineage did, with the policy of its commit.
SELECT e.result->'impact' AS impact FROM lineages l JOIN extractions e ON e.id = l.extraction_id WHERE l.id = $1;

-- name: wait
-- $3 NULL: what to compare with has to be found.
INSERT INTO impact_waits (extraction_id, connection_id, sha, due_at) VALUES ($1, $2, $3, now() + $4::interval)
ON CONFLICT (extraction_id) DO UPDATE SET sha = excluded.sha, due_at = excluded.due_at, lease_until = NULL;

-- name: find_again
-- Of the newest extractions of a commit ($3) of a branch ($2), one per connection of the repository $1.
INSERT INTO impact_waits (extraction_id, connection_id)
SELECT e.id, e.connection_id FROM connections c CROSS JOIN LATERAL (
  SELECT e.id, e.connection_id, e.status FROM extractions e
  WHERE e.connection_id = c.id AND e.sha = $3 AND e.branch || '' = $2 AND NOT e.background ORDER BY e.number DESC LIMIT 1
) e
WHERE c.repository_id = $1 AND c.hidden_at IS NULL AND e.status IN ('running', 'succeeded')
ON CONFLICT (extraction_id) DO UPDATE SET sha = NULL, attempts = 0, due_at = now(), lease_until = NULL;

-- name: claim_wait
-- The next impact to compute again. If the process dies, the claim ends with the lease.
UPDATE impact_waits w SET lease_until = now() + $1::interval
FROM (
  SELECT extraction_id FROM impact_waits WHERE due_at <= now() AND (lease_until IS NULL OR lease_until < now())
  ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
) due
WHERE w.extraction_id = due.extraction_id
RETURNING w.extraction_id, w.sha, w.attempts, w.due_at;

-- name: postpone_wait
-- If the extraction of the commit ended since the claim, when it was due at $2, the impact stays due. $4: this was an attempt.
UPDATE impact_waits
SET lease_until = NULL, attempts = attempts + $4::boolean::integer, due_at = CASE WHEN due_at = $2 THEN now() + $3::interval ELSE due_at END
WHERE extraction_id = $1;

-- name: end_wait
-- Unless it is due anew since the claim.
DELETE FROM impact_waits WHERE extraction_id = $1 AND due_at = $2;

-- name: replace_result
-- Of an extraction that has ended.
UPDATE extractions SET result = $2, base = $3 WHERE id = $1 AND status = 'succeeded';

-- name: show_again
-- GitHub allows changes of a completed check run.
UPDATE check_runs SET revision = revision + 1, due_at = CASE WHEN attempts = 0 THEN now() ELSE due_at END WHERE extraction_id = $1;

-- name: notify
SELECT pg_notify('freshet_checks', ''), pg_notify('freshet_extractions', $1::text);

-- name: seconds_until_due
-- NULL if nothing waits.
SELECT extract(epoch FROM min(greatest(due_at, coalesce(lease_until, due_at))) - now())::float8
FROM (SELECT due_at, lease_until FROM impact_waits ORDER BY due_at LIMIT 100) first;
