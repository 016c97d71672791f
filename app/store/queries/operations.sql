-- name: ended
-- What happened to the extractions that ended in the last week: of the newest $1 of them, so that a busy week does not make this slow.
-- A failure's cause is the title of its problem. `spent` is the processor time of dbt's container.
WITH ended AS MATERIALIZED (
  SELECT e.connection_id, e.status, e.created_at, e.started_at, e.finished_at,
         e.finished_at > now() - interval '1 day' AS is_of_day,
         CASE WHEN e.status = 'failed' THEN coalesce(e.problem->>'title', '') END AS cause,
         CASE WHEN e.status = 'failed' THEN e.problem->>'conclusion' END AS conclusion,
         (e.facts->'usage'->>'cpu_seconds')::float8 AS spent
  FROM extractions e WHERE e.finished_at > now() - interval '7 days' ORDER BY e.finished_at DESC LIMIT $1
), spans AS (
  SELECT span.kind, span.seconds, e.is_of_day
  FROM ended e CROSS JOIN LATERAL (VALUES
    ('waiting', extract(epoch FROM e.started_at - e.created_at)::float8),
    ('running', extract(epoch FROM e.finished_at - e.started_at)::float8)
  ) span (kind, seconds)
  WHERE e.status IN ('succeeded', 'failed') AND span.seconds IS NOT NULL
)
SELECT
  (SELECT count(*) FROM ended) AS counted,
  (SELECT min(finished_at) FROM ended) AS since,
  (SELECT json_agg(f) FROM (
    SELECT status, count(*) FILTER (WHERE is_of_day) AS day, count(*) AS week FROM ended GROUP BY status ORDER BY status
  ) f) AS statuses,
  (SELECT json_agg(f) FROM (
    SELECT cause, min(conclusion) AS conclusion, count(*) FILTER (WHERE is_of_day) AS day, count(*) AS week
    FROM ended WHERE cause IS NOT NULL GROUP BY cause ORDER BY count(*) DESC, cause LIMIT $2
  ) f) AS failures,
  (SELECT json_agg(f) FROM (
    SELECT s.kind, d.days, count(*) AS times,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY s.seconds) AS p50, percentile_cont(0.95) WITHIN GROUP (ORDER BY s.seconds) AS p95
    FROM spans s JOIN (VALUES (1), (7)) d (days) ON d.days = 7 OR s.is_of_day GROUP BY s.kind, d.days ORDER BY s.kind DESC, d.days
  ) f) AS spans,
  (SELECT json_agg(f) FROM (
    SELECT e.connection_id AS id, sum(e.spent) AS cpu_seconds, count(*) AS extractions
    FROM ended e GROUP BY e.connection_id HAVING sum(e.spent) > 0 ORDER BY sum(e.spent) DESC, e.connection_id LIMIT $2
  ) f) AS connections,
  (SELECT json_agg(f) FROM (
    SELECT r.installation_id AS id, sum(e.spent) AS cpu_seconds, sum(e.extractions) AS extractions
    FROM (SELECT connection_id, sum(spent) AS spent, count(*) AS extractions FROM ended GROUP BY connection_id) e
    JOIN connections c ON c.id = e.connection_id JOIN repositories r ON r.id = c.repository_id
    GROUP BY r.installation_id HAVING sum(e.spent) > 0 ORDER BY sum(e.spent) DESC, r.installation_id LIMIT $2
  ) f) AS installations;

-- name: connection_names
SELECT c.id, r.full_name, c.project_dir
FROM connections c JOIN repositories r ON r.id = c.repository_id WHERE c.id = ANY($1::uuid[]);

-- name: installation_names
SELECT id, account FROM installations WHERE id = ANY($1::bigint[]);

-- name: deliveries
-- Of the last three days, for which GitHub keeps every delivery. A missed one is one that failed and was requested again; it is repaired
-- once it has arrived. Counts stop at $1.
SELECT
  (SELECT count(*) FROM (SELECT FROM deliveries WHERE received_at > now() - interval '3 days' LIMIT $1) counted) AS received,
  count(*) AS missed, count(d.id) AS repaired
FROM (SELECT delivery_id FROM redeliveries WHERE asked_at > now() - interval '3 days' LIMIT $1) r
LEFT JOIN deliveries d ON d.id = r.delivery_id;

-- name: missed_deliveries
-- The newest $1.
SELECT r.delivery_id, r.times, r.asked_at, d.event, d.received_at
FROM redeliveries r LEFT JOIN deliveries d ON d.id = r.delivery_id
WHERE r.asked_at > now() - interval '3 days' ORDER BY r.asked_at DESC, r.delivery_id LIMIT $1;

-- name: check_runs_due
-- The oldest $1 after the first $2 of those that `backlog` counts.
SELECT k.due_at, k.attempts, k.github_id IS NOT NULL AS is_created, coalesce(k.lease_until > now(), false) AS is_being_sent, NULL AS reason,
       e.id AS extraction_id, e.connection_id, e.branch, e.sha, e.status, r.full_name AS repository, c.project_dir
FROM (
  SELECT * FROM check_runs WHERE sent < revision AND abandoned IS NULL AND due_at <= now() ORDER BY due_at, id LIMIT $1 OFFSET $2
) k
JOIN extractions e ON e.id = k.extraction_id JOIN connections c ON c.id = e.connection_id JOIN repositories r ON r.id = c.repository_id
ORDER BY k.due_at, k.id;

-- name: check_runs_unsent
-- The newest $1 after the first $2 of those that are not tried any more although their repositories are there.
SELECT k.due_at, k.attempts, k.github_id IS NOT NULL AS is_created, false AS is_being_sent, k.abandoned AS reason,
       e.id AS extraction_id, e.connection_id, e.branch, e.sha, e.status, r.full_name AS repository, c.project_dir
FROM (
  SELECT * FROM check_runs WHERE abandoned LIKE 'not sent: %' AND sent < revision ORDER BY id DESC LIMIT $1 OFFSET $2
) k
JOIN extractions e ON e.id = k.extraction_id JOIN connections c ON c.id = e.connection_id JOIN repositories r ON r.id = c.repository_id
ORDER BY k.id DESC;

-- name: people
-- Of the sessions that `sessions` counts: the people, those who were here last first; $3 of them after the first $4.
SELECT user_id, (array_agg(login ORDER BY created_at DESC))[1] AS login, count(*) AS sessions,
       min(created_at) AS since, max(used_at) AS used_at
FROM (SELECT * FROM sessions WHERE expires_at > now() AND used_at > now() - $2::interval LIMIT $1) counted
GROUP BY user_id ORDER BY max(used_at) DESC, user_id LIMIT $3 OFFSET $4;

-- name: tables
-- The largest $1 tables of the database, with their indexes and large values.
SELECT c.relname AS name, pg_total_relation_size(c.oid) AS size_bytes, CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END AS rows
FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
ORDER BY pg_total_relation_size(c.oid) DESC, c.relname LIMIT $1;

-- name: sessions
-- Counts stop at $1; a session ends $2 after its last use.
SELECT count(*) AS sessions, count(DISTINCT user_id) AS people
FROM (SELECT user_id FROM sessions WHERE expires_at > now() AND used_at > now() - $2::interval LIMIT $1) counted;

-- name: database
SELECT pg_database_size(current_database()) AS size_bytes, current_setting('server_version') AS version,
       (SELECT max(name) FROM migrations) AS migration, (SELECT count(*) FROM migrations) AS migrations;

-- name: active
-- $1 `queued` or `running`, $2 a connection, $3 an installation; the oldest $4 of them after the first $5.
SELECT e.id, e.branch, e.sha, e.status, e.stage, e.trigger, e.created_at, e.started_at, e.finished_at, e.connection_id, r.full_name,
       c.project_dir, NULL AS cause, (e.facts->'usage'->>'cpu_seconds')::float8 AS cpu_seconds
FROM extractions e JOIN connections c ON c.id = e.connection_id JOIN repositories r ON r.id = c.repository_id
WHERE e.status IN ('queued', 'running') AND e.status = $1
  AND ($2::uuid IS NULL OR e.connection_id = $2) AND ($3::bigint IS NULL OR r.installation_id = $3)
ORDER BY e.number LIMIT $4 OFFSET $5;

-- name: ended_list
-- The extractions that `ended` counts, of the last $2 days: with a status ($3), a cause ($4), a connection ($5), an installation ($6); the
-- newest $7 of them after the first $8.
SELECT e.id, e.branch, e.sha, e.status, e.stage, e.trigger, e.created_at, e.started_at, e.finished_at, e.connection_id, r.full_name,
       c.project_dir, e.cause, (e.facts->'usage'->>'cpu_seconds')::float8 AS cpu_seconds
FROM (
  SELECT *, CASE WHEN status = 'failed' THEN coalesce(problem->>'title', '') END AS cause
  FROM extractions WHERE finished_at > now() - interval '7 days' ORDER BY finished_at DESC LIMIT $1
) e
JOIN connections c ON c.id = e.connection_id JOIN repositories r ON r.id = c.repository_id
WHERE e.finished_at > now() - make_interval(days => $2) AND ($3::text IS NULL OR e.status = $3) AND ($4::text IS NULL OR e.cause = $4)
  AND ($5::uuid IS NULL OR e.connection_id = $5) AND ($6::bigint IS NULL OR r.installation_id = $6)
ORDER BY e.finished_at DESC, e.number DESC LIMIT $7 OFFSET $8;

-- name: first_run
-- How far a new service is. A connection without a project directory is not known to have a project.
SELECT
  EXISTS (SELECT FROM installations WHERE deleted_at IS NULL) AS installed,
  EXISTS (SELECT FROM connections WHERE hidden_at IS NULL AND project_dir IS NOT NULL) AS found,
  EXISTS (SELECT FROM extractions WHERE status IN ('queued', 'running')) AS working,
  EXISTS (SELECT FROM extractions WHERE finished_at IS NOT NULL AND status = 'failed') AS failed,
  EXISTS (SELECT FROM lineages) AS extracted;
