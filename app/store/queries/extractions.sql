-- name: supersede
-- A newer commit of the branch takes the place of those that have not begun, but for those that somebody asked for.
UPDATE extractions SET status = 'superseded', finished_at = now()
WHERE connection_id = $1 AND branch = $2 AND status = 'queued' AND NOT forced AND sha <> $3;

-- name: enqueue
-- $6: it is known to be newer than what was pushed before; else it stands where its commit stood, or before all others.
-- The newest of the commit knows: each one of them took over where the one before it stood, or was the newest of all. It is looked for
-- by commit, not among all of the branch: `branch || ''` keeps the planner from the index of branches.
INSERT INTO extractions (connection_id, branch, sha, trigger, forced, position)
SELECT $1, $2, $3, $4, $5, CASE WHEN NOT $6::boolean THEN coalesce(
  (SELECT coalesce(position, number) FROM extractions
   WHERE connection_id = $1 AND sha = $3 AND branch || '' = $2 ORDER BY number DESC LIMIT 1), 0) END
ON CONFLICT (connection_id, branch, sha) WHERE status IN ('queued', 'running') DO NOTHING
RETURNING id;

-- name: active_id
SELECT id FROM extractions WHERE connection_id = $1 AND branch = $2 AND sha = $3 AND status IN ('queued', 'running');

-- name: lock_claims
-- Claims are made one after the other, so that each sees what the one before has taken.
SELECT pg_advisory_xact_lock(1181971316);

-- name: claim
-- The oldest of the installation that has the fewest running; never two of one connection at a time.
-- First the queue in its order, up to the first one whose installation has none running; when there is none such, the first of each
-- installation that has. The sets are small: what runs, and who is suspended.
WITH running AS MATERIALIZED (
  SELECT connection_id, installation_id FROM extractions WHERE status = 'running'
), suspended AS MATERIALIZED (
  SELECT id FROM installations WHERE suspended_at IS NOT NULL
), idle AS MATERIALIZED (
  SELECT e.id FROM extractions e
  WHERE e.status = 'queued' AND e.due_at <= now()
    AND e.connection_id NOT IN (SELECT connection_id FROM running)
    AND e.installation_id NOT IN (SELECT installation_id FROM running)
    AND e.installation_id NOT IN (SELECT id FROM suspended)
  ORDER BY e.number LIMIT 1 FOR UPDATE SKIP LOCKED
), busy AS (
  SELECT head.id
  FROM (SELECT installation_id, count(*) AS running FROM running GROUP BY installation_id) i
  CROSS JOIN LATERAL (
    SELECT e.id, e.number FROM extractions e
    WHERE e.status = 'queued' AND e.installation_id = i.installation_id AND e.due_at <= now()
      AND e.connection_id NOT IN (SELECT connection_id FROM running)
    ORDER BY e.number LIMIT 1
  ) head
  WHERE NOT EXISTS (SELECT FROM idle) AND i.installation_id NOT IN (SELECT id FROM suspended)
  ORDER BY i.running, head.number LIMIT 1
), next AS (
  SELECT e.id FROM extractions e
  WHERE e.id = (SELECT id FROM idle UNION ALL SELECT id FROM busy) AND e.status = 'queued' FOR UPDATE SKIP LOCKED
)
UPDATE extractions e
SET status = 'running', worker = $1, lease_until = now() + $2::interval, attempt = e.attempt + 1,
    started_at = coalesce(e.started_at, now()), stage = NULL, stages = '[]', facts = '{}', tries = try_begun(e.tries)
FROM next WHERE e.id = next.id
RETURNING e.id;

-- name: renew
UPDATE extractions SET lease_until = now() + $2::interval WHERE worker = $1 AND status = 'running' RETURNING id;

-- name: requeue_expired
-- Their worker died: somebody else takes them.
UPDATE extractions SET status = 'queued', worker = NULL, lease_until = NULL, stage = NULL,
    tries = try_ended(tries, jsonb_build_object('outcome', 'lost', 'stage', stage, 'next_due_at', due_at))
WHERE status = 'running' AND lease_until < now();

-- name: hand_back
UPDATE extractions SET status = 'queued', worker = NULL, lease_until = NULL, stage = NULL, attempt = attempt - 1, due_at = now(),
    tries = try_ended(tries, jsonb_build_object('outcome', 'handed_back', 'stage', stage, 'next_due_at', now()))
WHERE id = $1 AND worker = $2 AND status = 'running';

-- name: retry
-- $4 why, $5 what is known of it.
UPDATE extractions SET status = 'queued', worker = NULL, lease_until = NULL, stage = NULL, due_at = now() + $3::interval, facts = $5,
    tries = try_ended(tries, jsonb_build_object('outcome', 'retried', 'stage', stage, 'next_due_at', now() + $3::interval,
                                                'title', $4::json->>'title', 'message', $4::json->>'message'))
WHERE id = $1 AND worker = $2 AND status = 'running'
RETURNING (tries->-1->>'number')::integer AS try;

-- name: enter_stage
UPDATE extractions SET stage = $3, stages = $4, facts = $5 WHERE id = $1 AND worker = $2 AND status = 'running';

-- name: finish
UPDATE extractions
SET status = $3, stage = NULL, stages = $4, problem = $5, result = $6, facts = $7, finished_at = now(), worker = NULL, lease_until = NULL,
    tries = try_ended(tries, jsonb_build_object('outcome', $3::text, 'stage', CASE WHEN $3 <> 'succeeded' THEN stage END,
                                                'title', $5::json->>'title', 'message', $5::json->>'message'))
WHERE id = $1 AND worker = $2 AND status = 'running'
RETURNING (tries->-1->>'number')::integer AS try;

-- name: cancel
-- Whoever runs it loses its claim with this, and hears of it by a trigger.
UPDATE extractions
SET status = 'cancelled', stage = NULL, finished_at = now(), worker = NULL, lease_until = NULL,
    tries = CASE WHEN status = 'running' THEN try_ended(tries, jsonb_build_object('outcome', 'cancelled', 'stage', stage)) ELSE tries END
WHERE id = $1 AND status IN ('queued', 'running');

-- name: cancel_installation
-- Nobody can be told of these any more: running ones end by themselves when GitHub refuses.
UPDATE extractions e SET status = 'cancelled', finished_at = now()
FROM connections c
WHERE c.id = e.connection_id AND e.status = 'queued' AND e.installation_id = $1
  AND ($2::bigint[] IS NULL OR c.repository_id = ANY($2));

-- name: cancel_connection
UPDATE extractions SET status = 'cancelled', finished_at = now() WHERE connection_id = $1 AND status = 'queued';

-- name: stop_connection
-- As `cancel`, all of them.
UPDATE extractions
SET status = 'cancelled', stage = NULL, finished_at = now(), worker = NULL, lease_until = NULL,
    tries = CASE WHEN status = 'running' THEN try_ended(tries, jsonb_build_object('outcome', 'cancelled', 'stage', stage)) ELSE tries END
WHERE connection_id = $1 AND status IN ('queued', 'running');

-- name: newest_of_branch
SELECT sha, status, problem->>'conclusion' AS conclusion FROM extractions
WHERE connection_id = $1 AND branch = $2 AND status <> 'superseded' ORDER BY number DESC LIMIT 1;

-- name: by_id
SELECT e.id, e.number, e.connection_id, e.branch, e.sha, e.status, e.trigger, e.created_at, e.stage, e.stages, e.attempt, e.forced,
       e.started_at, e.finished_at, e.problem, e.result, e.tries, e.facts, c.project_dir, r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private,
       (SELECT count(DISTINCT coalesce(s.project_dir, '')) FROM connections s WHERE s.repository_id = r.id AND (s.hidden_at IS NULL OR s.id = c.id)) AS siblings,
       e.branch = coalesce(c.branch, r.default_branch) AS followed,
       (SELECT i.repository_selection FROM installations i WHERE i.id = r.installation_id) AS repository_selection
FROM extractions e
JOIN connections c ON c.id = e.connection_id
JOIN repositories r ON r.id = c.repository_id AND r.removed_at IS NULL
JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
WHERE e.id = $1;

-- name: active
SELECT e.id, e.number, e.connection_id, e.branch, e.sha, e.status, e.trigger, e.created_at, e.stage, e.stages, e.attempt, e.forced,
       e.started_at, e.finished_at, e.problem, e.result, e.tries, e.facts, c.project_dir, r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private,
       (SELECT count(DISTINCT coalesce(s.project_dir, '')) FROM connections s WHERE s.repository_id = r.id AND (s.hidden_at IS NULL OR s.id = c.id)) AS siblings,
       e.branch = coalesce(c.branch, r.default_branch) AS followed,
       (SELECT i.repository_selection FROM installations i WHERE i.id = r.installation_id) AS repository_selection
FROM extractions e
JOIN connections c ON c.id = e.connection_id
JOIN repositories r ON r.id = c.repository_id AND r.removed_at IS NULL
JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
WHERE e.status IN ('queued', 'running') AND e.number > coalesce($1::bigint, 0) AND CASE WHEN $3::bigint[] IS NULL THEN true ELSE NOT r.private OR r.id = ANY($3) END
ORDER BY e.number
LIMIT $2;

-- name: of_connection
SELECT e.id, e.number, e.connection_id, e.branch, e.sha, e.status, e.trigger, e.created_at, e.stage, e.stages, e.attempt, e.forced,
       e.started_at, e.finished_at, e.problem, e.result, e.tries, e.facts, c.project_dir, r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private,
       (SELECT count(DISTINCT coalesce(s.project_dir, '')) FROM connections s WHERE s.repository_id = r.id AND (s.hidden_at IS NULL OR s.id = c.id)) AS siblings,
       e.branch = coalesce(c.branch, r.default_branch) AS followed,
       (SELECT i.repository_selection FROM installations i WHERE i.id = r.installation_id) AS repository_selection
FROM extractions e
JOIN connections c ON c.id = e.connection_id
JOIN repositories r ON r.id = c.repository_id
WHERE e.connection_id = $1 AND e.number < coalesce($2::bigint, 9223372036854775807)
ORDER BY e.number DESC
LIMIT $3;

-- name: find
-- Numbers of those that have what is asked for, among the next $5 of a connection's history: what is rare is looked for in steps.
SELECT count(*) AS seen, min(number) AS last, array_agg(number ORDER BY number DESC) FILTER (WHERE wanted) AS found
FROM (
  SELECT number, ($3::text[] IS NULL OR status = ANY($3)) AND ($4::text IS NULL OR branch = $4) AS wanted
  FROM extractions WHERE connection_id = $1 AND number < coalesce($2::bigint, 9223372036854775807)
  ORDER BY number DESC LIMIT $5
) step;

-- name: find_of_commit
-- The same among the next $5 of one commit, $6.
SELECT count(*) AS seen, min(number) AS last, array_agg(number ORDER BY number DESC) FILTER (WHERE wanted) AS found
FROM (
  SELECT number, ($3::text[] IS NULL OR status = ANY($3)) AND ($4::text IS NULL OR branch = $4) AS wanted
  FROM extractions WHERE connection_id = $1 AND sha = $6 AND number < coalesce($2::bigint, 9223372036854775807)
  ORDER BY number DESC LIMIT $5
) step;

-- name: numbered
SELECT e.id, e.number, e.connection_id, e.branch, e.sha, e.status, e.trigger, e.created_at, e.stage, e.stages, e.attempt, e.forced,
       e.started_at, e.finished_at, e.problem, e.result, e.tries, e.facts, c.project_dir, r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private,
       (SELECT count(*) FROM connections s WHERE s.repository_id = r.id AND (s.hidden_at IS NULL OR s.id = c.id)) AS siblings,
       e.branch = coalesce(c.branch, r.default_branch) AS followed,
       (SELECT i.repository_selection FROM installations i WHERE i.id = r.installation_id) AS repository_selection
FROM extractions e
JOIN connections c ON c.id = e.connection_id
JOIN repositories r ON r.id = c.repository_id
WHERE e.connection_id = $1 AND e.number = ANY($2::bigint[])
ORDER BY e.number DESC;
