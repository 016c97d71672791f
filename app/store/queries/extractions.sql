-- name: supersede
-- A newer commit of the branch ($1 to $3) replaces queued extractions, except those that somebody requested (forced), and those of a commit
-- that others are compared with. Of the commits $4 and $5, the latter are replaced: they have an extraction that is not of the background.
-- LATERAL, `ANY (ARRAY(…))` and `status || ''` keep the planner from the index of all that is queued, which it takes while that is little.
UPDATE extractions SET status = 'superseded', finished_at = now()
WHERE status || '' = 'queued' AND id = ANY (ARRAY(
  SELECT old.id FROM unnest($1::uuid[], $2::text[], $3::text[]) AS newer (connection_id, branch, sha)
  CROSS JOIN LATERAL (
    SELECT id FROM extractions
    WHERE connection_id = newer.connection_id AND branch = newer.branch AND sha <> newer.sha AND NOT forced
      AND status IN ('queued', 'running') AND NOT background AND status || '' = 'queued'
    OFFSET 0
  ) old
  UNION ALL
  SELECT old.id FROM unnest($4::uuid[], $5::text[]) AS other (connection_id, sha)
  CROSS JOIN LATERAL (
    SELECT id FROM extractions
    WHERE connection_id = other.connection_id AND sha = other.sha
      AND status IN ('queued', 'running') AND background AND status || '' = 'queued'
    OFFSET 0
  ) old));

-- name: enqueue
-- In the given order. `newest`: the commit is known to be the newest of its branch. Otherwise it takes the position of the newest extraction
-- of the same commit, or 0 (before all others). `branch || ''` keeps the planner from using the index on branches: the one on commits has few
-- rows. `was_head`: the commit is or was the head of the branch, which an earlier extraction may know. `created_branch`: its push created the
-- branch.
INSERT INTO extractions (connection_id, branch, sha, trigger, forced, position, was_head, created_branch, delivery_id, delivered_at, traceparent)
SELECT n.connection_id, n.branch, n.sha, n.trigger, n.forced, CASE WHEN NOT n.newest THEN coalesce(
  (SELECT coalesce(position, number) FROM extractions
   WHERE connection_id = n.connection_id AND sha = n.sha AND branch || '' = n.branch ORDER BY number DESC LIMIT 1), 0) END,
  n.was_head OR EXISTS (
    SELECT FROM extractions WHERE connection_id = n.connection_id AND sha = n.sha AND branch || '' = n.branch AND was_head),
  n.created_branch, n.delivery_id, clock_timestamp() - n.age, n.traceparent
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::boolean[], $7::boolean[], $8::boolean[],
            $9::text[], $10::interval[], $11::text[])
  WITH ORDINALITY AS n (connection_id, branch, sha, trigger, forced, newest, was_head, created_branch, delivery_id, age, traceparent, place)
ORDER BY n.place
ON CONFLICT (connection_id, branch, sha) WHERE status IN ('queued', 'running') AND NOT background DO NOTHING
RETURNING id, connection_id, branch, sha;

-- name: active_of_commit
-- It learns what is known of its commit now.
UPDATE extractions e
SET was_head = e.was_head OR n.was_head, created_branch = e.created_branch OR n.created_branch,
    delivery_id = coalesce(e.delivery_id, n.delivery_id),
    delivered_at = CASE WHEN e.delivery_id IS NULL THEN clock_timestamp() - n.age ELSE e.delivered_at END,
    traceparent = CASE WHEN e.delivery_id IS NULL THEN n.traceparent ELSE e.traceparent END
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::boolean[], $6::text[], $7::interval[], $8::text[])
  AS n (connection_id, branch, sha, was_head, created_branch, delivery_id, age, traceparent)
CROSS JOIN LATERAL (
  SELECT id FROM extractions
  WHERE connection_id = n.connection_id AND branch = n.branch AND sha = n.sha AND status IN ('queued', 'running') AND NOT background
  OFFSET 0
) active
WHERE e.id = active.id AND e.status || '' IN ('queued', 'running')
RETURNING e.id, e.connection_id, e.branch, e.sha;

-- name: branch_with_head
-- The branch whose head a commit is or was: $3 if that is one of several, and one of a fork only if there is no other.
SELECT branch FROM extractions WHERE connection_id = $1 AND sha = $2 AND was_head ORDER BY branch = $3 DESC, of_fork, number DESC LIMIT 1;

-- name: trust
-- See `BranchTrust`. A branch is identified by its name, the extraction of the push that created it, and whether it is followed.
SELECT e.was_head, e.branch, e.branch = f.branch AS followed, f.branch AS followed_branch,
       (SELECT max(b.number) FROM extractions b WHERE b.connection_id = e.connection_id AND b.branch = e.branch AND b.created_branch) AS created,
       (SELECT max(b.number) FROM extractions b
        WHERE b.connection_id = e.connection_id AND b.branch = f.branch AND b.created_branch) AS followed_created,
       (SELECT l.trust FROM lineages l WHERE l.connection_id = e.connection_id AND l.sha = e.sha) AS made_by,
       e.sha IS NOT DISTINCT FROM c.head_sha AS is_followed_head
FROM extractions e
JOIN connections c ON c.id = e.connection_id
JOIN repositories r ON r.id = c.repository_id
CROSS JOIN LATERAL (SELECT coalesce(c.branch, r.default_branch, e.branch) AS branch) f
WHERE e.id = $1;

-- name: lock_claims
-- One claim at a time, so that each sees what the previous one has taken.
SELECT pg_advisory_xact_lock(1181971316);

-- name: claim
-- Of the installations that wait, the one with the fewest running extractions, and of those the one that was served least recently: its
-- oldest extraction, those of repositories with a known project first; never two of one connection at a time. Those of forks come after all
-- that was pushed, one of an installation at a time, and one in five seconds: half of what GitHub allows is left to the others. Those in the
-- background come last, for ten minutes even after those of other installations. Nobody waits for a running one of either kind. $1 the
-- claim's own name, $3 installations that have used up their places, $4 whether those of forks and in the background may start. The sets
-- `running` and `suspended` are small; `waiting` is read by leaps.
WITH RECURSIVE running AS MATERIALIZED (
  SELECT connection_id, installation_id, background, of_fork FROM extractions WHERE status = 'running'
), suspended AS MATERIALIZED (
  SELECT id FROM installations WHERE suspended_at IS NOT NULL
), waiting AS (
  (SELECT installation_id FROM extractions WHERE status = 'queued' ORDER BY installation_id LIMIT 1)
  UNION ALL
  SELECT following.installation_id FROM waiting CROSS JOIN LATERAL (
    SELECT e.installation_id FROM extractions e WHERE e.status = 'queued' AND e.installation_id > waiting.installation_id
    ORDER BY e.installation_id LIMIT 1
  ) following
), head AS (
  SELECT first.id
  FROM waiting JOIN installations i ON i.id = waiting.installation_id
  CROSS JOIN LATERAL (
    SELECT e.id, e.number, e.background AND e.created_at > now() - interval '10 minutes' AS spare FROM extractions e
    WHERE e.status = 'queued' AND e.installation_id = waiting.installation_id AND e.due_at <= now()
      AND e.connection_id NOT IN (SELECT connection_id FROM running WHERE NOT background AND NOT of_fork)
      AND (NOT e.background OR ($4::boolean AND e.connection_id NOT IN (SELECT connection_id FROM running)))
      AND (NOT e.of_fork OR ($4::boolean AND coalesce(i.fork_at < now() - interval '5 seconds', true)
                             AND waiting.installation_id NOT IN (SELECT installation_id FROM running WHERE of_fork)))
    ORDER BY e.background, e.of_fork, e.probing, e.number LIMIT 1
  ) first
  WHERE waiting.installation_id <> ALL ($3::bigint[]) AND waiting.installation_id NOT IN (SELECT id FROM suspended)
  ORDER BY first.spare, (SELECT count(*) FROM running WHERE running.installation_id = waiting.installation_id AND NOT background),
           i.served_at NULLS FIRST, first.number
  LIMIT 1
), next AS (
  SELECT e.id FROM extractions e WHERE e.id = (SELECT id FROM head) AND e.status = 'queued' FOR UPDATE SKIP LOCKED
)
UPDATE extractions e
SET status = 'running', worker = $1, lease_until = now() + $2::interval, attempt = e.attempt + 1,
    started_at = coalesce(e.started_at, now()), stage = NULL, tries = try_begun(e.tries),
    -- Once everything but the comparison is stored, that is what is left to do.
    stages = CASE WHEN e.result->'impact' IS NULL THEN '[]' ELSE e.stages END,
    facts = CASE WHEN e.result->'impact' IS NULL THEN '{}' ELSE e.facts END
FROM next WHERE e.id = next.id
RETURNING e.id, e.installation_id, e.background, e.of_fork;

-- name: served
UPDATE installations SET served_at = clock_timestamp(), fork_at = CASE WHEN $2::boolean THEN clock_timestamp() ELSE fork_at END WHERE id = $1;

-- name: renew
UPDATE extractions SET lease_until = now() + $2::interval WHERE worker = ANY ($1::text[]) AND status = 'running' RETURNING worker;

-- name: hold
-- Whether the claim is still valid, and locked until the end of the transaction.
SELECT id FROM extractions WHERE id = $1 AND worker = $2 AND status = 'running' FOR NO KEY UPDATE;

-- name: requeue_expired
-- Their worker died: another one takes them.
UPDATE extractions SET status = 'queued', worker = NULL, lease_until = NULL, stage = NULL,
    tries = try_ended(tries, jsonb_build_object('outcome', 'lost', 'stage', stage, 'next_due_at', due_at))
WHERE status = 'running' AND lease_until < now();

-- name: hand_back
UPDATE extractions SET status = 'queued', worker = NULL, lease_until = NULL, stage = NULL, attempt = attempt - 1, due_at = now(),
    tries = try_ended(tries, jsonb_build_object('outcome', 'handed_back', 'stage', stage, 'next_due_at', now()))
WHERE id = $1 AND worker = $2 AND status = 'running';

-- name: give_back
-- An outage of the database ended the claims $1. If one has expired, its extraction (of $2) has been queued again, and that was no attempt.
WITH given_back AS (
  UPDATE extractions SET status = 'queued', worker = NULL, lease_until = NULL, stage = NULL, attempt = attempt - 1, due_at = now(),
      tries = try_ended(tries, jsonb_build_object('outcome', 'lost', 'stage', stage, 'next_due_at', now()))
  WHERE worker = ANY ($1::text[]) AND status = 'running'
  RETURNING id
), expired AS (
  UPDATE extractions SET attempt = attempt - 1
  WHERE id = ANY ($2::uuid[]) AND status IN ('queued', 'running') AND coalesce(worker, '') <> ALL ($1::text[]) AND attempt > 0
)
SELECT count(*) FROM given_back;

-- name: retry
-- $4 why, $5 what is known of it.
UPDATE extractions SET status = 'queued', worker = NULL, lease_until = NULL, stage = NULL, due_at = now() + $3::interval, facts = $5,
    tries = try_ended(tries, jsonb_build_object('outcome', 'retried', 'stage', stage, 'next_due_at', now() + $3::interval,
                                                'title', $4::json->>'title', 'message', $4::json->>'message'))
WHERE id = $1 AND worker = $2 AND status = 'running'
RETURNING (tries->-1->>'number')::integer AS try;

-- name: enter_stage
-- $6: the result so far, once the lineage is stored.
UPDATE extractions SET stage = $3, stages = $4, facts = $5, result = coalesce($6, result),
    lineage_at = coalesce(lineage_at, CASE WHEN $6 IS NOT NULL THEN now() END)
WHERE id = $1 AND worker = $2 AND status = 'running';

-- name: finish
WITH ended AS (
  UPDATE extractions
  SET status = $3, stage = NULL, stages = $4, problem = $5, result = $6, facts = $7, finished_at = now(), worker = NULL, lease_until = NULL,
      tries = try_ended(tries, jsonb_build_object('outcome', $3::text, 'stage', CASE WHEN $3 <> 'succeeded' THEN stage END,
                                                  'title', $5::json->>'title', 'message', $5::json->>'message'))
  WHERE id = $1 AND worker = $2 AND status = 'running'
  RETURNING connection_id, finished_at, tries, (facts->'usage'->>'cpu_seconds')::float8 AS spent
), counted AS (
  INSERT INTO extraction_costs AS c (connection_id, month, extractions, cpu_seconds)
  SELECT connection_id, date_trunc('month', finished_at AT TIME ZONE 'UTC')::date, 1, spent FROM ended WHERE spent IS NOT NULL
  ON CONFLICT (connection_id, month)
  DO UPDATE SET extractions = c.extractions + excluded.extractions, cpu_seconds = c.cpu_seconds + excluded.cpu_seconds
)
SELECT (tries->-1->>'number')::integer AS try FROM ended;

-- name: cancel
-- The worker loses its claim, and is notified by a trigger.
UPDATE extractions
SET status = 'cancelled', stage = NULL, finished_at = now(), worker = NULL, lease_until = NULL,
    tries = CASE WHEN status = 'running' THEN try_ended(tries, jsonb_build_object('outcome', 'cancelled', 'stage', stage)) ELSE tries END
WHERE id = $1 AND status IN ('queued', 'running');

-- name: cancel_installation
-- Their check runs cannot be updated any more. Running ones end when GitHub refuses a request.
UPDATE extractions e SET status = 'cancelled', finished_at = now()
FROM connections c
WHERE c.id = e.connection_id AND e.status = 'queued' AND e.installation_id = $1
  AND ($2::bigint[] IS NULL OR c.repository_id = ANY($2));

-- name: cancel_of_branch
-- What nobody requested (forced) and is queued for the last commit of a branch that nobody needs any more.
UPDATE extractions e SET status = 'cancelled', finished_at = now()
FROM connections c JOIN repositories r ON r.id = c.repository_id
WHERE c.id = e.connection_id AND c.repository_id = $1 AND e.branch = $2 AND e.sha = $3 AND e.status = 'queued' AND NOT e.forced
  AND e.branch IS DISTINCT FROM coalesce(c.branch, r.default_branch);

-- name: cancel_of_fork
-- Like `cancel`, for all queued and running ones of a fork's branch.
UPDATE extractions e
SET status = 'cancelled', stage = NULL, finished_at = now(), worker = NULL, lease_until = NULL,
    tries = CASE WHEN status = 'running' THEN try_ended(tries, jsonb_build_object('outcome', 'cancelled', 'stage', stage)) ELSE tries END
FROM connections c
WHERE c.id = e.connection_id AND c.repository_id = $1 AND e.branch = $2 AND e.of_fork AND e.status IN ('queued', 'running');

-- name: needs_extraction
-- Whether a commit has no answer yet: none is on its way, none was given, and if one failed, it was because of Freshet.
SELECT NOT EXISTS (
  SELECT FROM extractions WHERE connection_id = $1 AND sha = $2 AND NOT background
    AND (status IN ('queued', 'running', 'succeeded') OR (status = 'failed' AND problem->>'conclusion' IS DISTINCT FROM 'neutral')));

-- name: fail_queued
UPDATE extractions SET status = 'failed', problem = $2, finished_at = now() WHERE connection_id = $1 AND status = 'queued';

-- name: stop_connection
-- Like `cancel`, for all queued and running ones.
UPDATE extractions
SET status = 'cancelled', stage = NULL, finished_at = now(), worker = NULL, lease_until = NULL,
    tries = CASE WHEN status = 'running' THEN try_ended(tries, jsonb_build_object('outcome', 'cancelled', 'stage', stage)) ELSE tries END
WHERE connection_id = $1 AND status IN ('queued', 'running');

-- name: knows
SELECT n.place - 1 AS place FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS n (connection_id, sha, place)
CROSS JOIN LATERAL (SELECT FROM extractions WHERE connection_id = n.connection_id AND sha = n.sha AND NOT background LIMIT 1) e;

-- name: newest_of_branch
SELECT n.place - 1 AS place, e.* FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS n (connection_id, branch, place)
CROSS JOIN LATERAL (
  SELECT sha, status, problem->>'conclusion' AS conclusion FROM extractions
  WHERE connection_id = n.connection_id AND branch = n.branch AND status <> 'superseded' AND NOT background ORDER BY number DESC LIMIT 1
) e;

-- name: by_id
SELECT e.id, e.number, e.connection_id, e.branch, e.sha, e.status, e.trigger, e.created_at, e.stage, e.stages, e.attempt, e.forced, e.base, e.background, e.delivery_id, e.traceparent,
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
SELECT e.id, e.number, e.connection_id, e.branch, e.sha, e.status, e.trigger, e.created_at, e.stage, e.stages, e.attempt, e.forced, e.base, e.background, e.delivery_id, e.traceparent,
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

-- name: for_connection
SELECT e.id, e.number, e.connection_id, e.branch, e.sha, e.status, e.trigger, e.created_at, e.stage, e.stages, e.attempt, e.forced, e.base, e.background, e.delivery_id, e.traceparent,
       e.started_at, e.finished_at, e.problem, e.result, e.tries, e.facts, c.project_dir, r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private,
       (SELECT count(DISTINCT coalesce(s.project_dir, '')) FROM connections s WHERE s.repository_id = r.id AND (s.hidden_at IS NULL OR s.id = c.id)) AS siblings,
       e.branch = coalesce(c.branch, r.default_branch) AS followed,
       (SELECT i.repository_selection FROM installations i WHERE i.id = r.installation_id) AS repository_selection
FROM extractions e
JOIN connections c ON c.id = e.connection_id
JOIN repositories r ON r.id = c.repository_id
WHERE e.connection_id = $1 AND e.number < coalesce($2::bigint, 9223372036854775807) AND NOT e.background
ORDER BY e.number DESC
LIMIT $3;

-- name: find
-- The numbers of matching extractions among the next $5 of a connection's history. Searching in steps bounds the time for rare matches.
SELECT count(*) AS seen, min(number) AS last, array_agg(number ORDER BY number DESC) FILTER (WHERE matches) AS found
FROM (
  SELECT number, ($3::text[] IS NULL OR status = ANY($3)) AND ($4::text IS NULL OR branch = $4) AS matches
  FROM extractions WHERE connection_id = $1 AND number < coalesce($2::bigint, 9223372036854775807)
  ORDER BY number DESC LIMIT $5
) step;

-- name: find_of_commit
-- The same for one commit ($6).
SELECT count(*) AS seen, min(number) AS last, array_agg(number ORDER BY number DESC) FILTER (WHERE matches) AS found
FROM (
  SELECT number, ($3::text[] IS NULL OR status = ANY($3)) AND ($4::text IS NULL OR branch = $4) AS matches
  FROM extractions WHERE connection_id = $1 AND sha = $6 AND number < coalesce($2::bigint, 9223372036854775807)
  ORDER BY number DESC LIMIT $5
) step;

-- name: by_numbers
SELECT e.id, e.number, e.connection_id, e.branch, e.sha, e.status, e.trigger, e.created_at, e.stage, e.stages, e.attempt, e.forced, e.base, e.background, e.delivery_id, e.traceparent,
       e.started_at, e.finished_at, e.problem, e.result, e.tries, e.facts, c.project_dir, r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private,
       (SELECT count(DISTINCT coalesce(s.project_dir, '')) FROM connections s WHERE s.repository_id = r.id AND (s.hidden_at IS NULL OR s.id = c.id)) AS siblings,
       e.branch = coalesce(c.branch, r.default_branch) AS followed,
       (SELECT i.repository_selection FROM installations i WHERE i.id = r.installation_id) AS repository_selection
FROM extractions e
JOIN connections c ON c.id = e.connection_id
JOIN repositories r ON r.id = c.repository_id
WHERE e.connection_id = $1 AND e.number = ANY($2::bigint[])
ORDER BY e.number DESC;
