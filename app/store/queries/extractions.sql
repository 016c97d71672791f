-- name: supersede
-- A newer commit of the branch replaces queued extractions, except those that somebody requested (forced), and those of a commit that others
-- are compared with.
UPDATE extractions SET status = 'superseded', finished_at = now()
WHERE connection_id = $1 AND branch = $2 AND status = 'queued' AND NOT forced AND NOT background AND sha <> $3;

-- name: supersede_background
-- The commit has an extraction that is not of the background.
UPDATE extractions SET status = 'superseded', finished_at = now()
WHERE connection_id = $1 AND sha = $2 AND status = 'queued' AND background;

-- name: enqueue
-- $6: the commit is known to be the newest of its branch. Otherwise it takes the position of the newest extraction of the same commit, or
-- 0 (before all others). `branch || ''` keeps the planner from using the index on branches: the one on commits has few rows.
-- $7: the commit is or was the head of the branch, which an earlier extraction may know. $8: its push created the branch.
INSERT INTO extractions (connection_id, branch, sha, trigger, forced, position, was_head, created_branch)
SELECT $1, $2, $3, $4, $5, CASE WHEN NOT $6::boolean THEN coalesce(
  (SELECT coalesce(position, number) FROM extractions
   WHERE connection_id = $1 AND sha = $3 AND branch || '' = $2 ORDER BY number DESC LIMIT 1), 0) END,
  $7::boolean OR EXISTS (SELECT FROM extractions WHERE connection_id = $1 AND sha = $3 AND branch || '' = $2 AND was_head), $8
ON CONFLICT (connection_id, branch, sha) WHERE status IN ('queued', 'running') AND NOT background DO NOTHING
RETURNING id;

-- name: active_of_commit
-- It learns what is known of its commit now ($4 and $5 as $7 and $8 above).
UPDATE extractions SET was_head = was_head OR $4, created_branch = created_branch OR $5
WHERE connection_id = $1 AND branch = $2 AND sha = $3 AND status IN ('queued', 'running') AND NOT background
RETURNING id;

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
UPDATE extractions
SET status = $3, stage = NULL, stages = $4, problem = $5, result = $6, facts = $7, finished_at = now(), worker = NULL, lease_until = NULL,
    tries = try_ended(tries, jsonb_build_object('outcome', $3::text, 'stage', CASE WHEN $3 <> 'succeeded' THEN stage END,
                                                'title', $5::json->>'title', 'message', $5::json->>'message'))
WHERE id = $1 AND worker = $2 AND status = 'running'
RETURNING (tries->-1->>'number')::integer AS try;

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
SELECT EXISTS (SELECT FROM extractions WHERE connection_id = $1 AND sha = $2 AND NOT background);

-- name: newest_of_branch
SELECT sha, status, problem->>'conclusion' AS conclusion FROM extractions
WHERE connection_id = $1 AND branch = $2 AND status <> 'superseded' AND NOT background ORDER BY number DESC LIMIT 1;

-- name: by_id
SELECT e.id, e.number, e.connection_id, e.branch, e.sha, e.status, e.trigger, e.created_at, e.stage, e.stages, e.attempt, e.forced, e.base, e.background,
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
SELECT e.id, e.number, e.connection_id, e.branch, e.sha, e.status, e.trigger, e.created_at, e.stage, e.stages, e.attempt, e.forced, e.base, e.background,
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
SELECT e.id, e.number, e.connection_id, e.branch, e.sha, e.status, e.trigger, e.created_at, e.stage, e.stages, e.attempt, e.forced, e.base, e.background,
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
SELECT e.id, e.number, e.connection_id, e.branch, e.sha, e.status, e.trigger, e.created_at, e.stage, e.stages, e.attempt, e.forced, e.base, e.background,
       e.started_at, e.finished_at, e.problem, e.result, e.tries, e.facts, c.project_dir, r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private,
       (SELECT count(DISTINCT coalesce(s.project_dir, '')) FROM connections s WHERE s.repository_id = r.id AND (s.hidden_at IS NULL OR s.id = c.id)) AS siblings,
       e.branch = coalesce(c.branch, r.default_branch) AS followed,
       (SELECT i.repository_selection FROM installations i WHERE i.id = r.installation_id) AS repository_selection
FROM extractions e
JOIN connections c ON c.id = e.connection_id
JOIN repositories r ON r.id = c.repository_id
WHERE e.connection_id = $1 AND e.number = ANY($2::bigint[])
ORDER BY e.number DESC;
