-- name: resources
-- The counts of the connection's lineage, from its extraction.
SELECT l.sha, l.extracted_at, e.result->'counts' AS counts, (e.result->>'nodes')::bigint AS nodes, (e.result->>'edges')::bigint AS edges
FROM connections c JOIN lineages l ON l.id = c.lineage_id LEFT JOIN extractions e ON e.id = l.extraction_id
WHERE c.id = $1;

-- name: statuses
-- Of the newest $2 extractions.
SELECT status, count(*) AS extractions, min(created_at) AS since
FROM (SELECT status, created_at FROM extractions WHERE connection_id = $1 ORDER BY number DESC LIMIT $2) newest
GROUP BY status;

-- name: stages
-- Of the succeeded ones among the newest $2 extractions.
SELECT stage, count(*) AS times, (array_agg(seconds ORDER BY number DESC))[1] AS last,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS p50, percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95
FROM (
  SELECT e.number, s.stage, extract(epoch FROM s.ended_at - s.started_at)::float8 AS seconds
  FROM (SELECT number, status, stages FROM extractions WHERE connection_id = $1 ORDER BY number DESC LIMIT $2) e,
       json_to_recordset(e.stages) AS s (stage text, started_at timestamptz, ended_at timestamptz)
  WHERE e.status = 'succeeded' AND s.ended_at IS NOT NULL
) timed
GROUP BY stage;

-- name: costs
-- Of the succeeded ones among the newest $2 extractions, where dbt ran and the engine reported the usage.
SELECT count(cpu) AS cpu_times, (array_agg(cpu ORDER BY number DESC) FILTER (WHERE cpu IS NOT NULL))[1] AS cpu_last,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY cpu) AS cpu_p50, percentile_cont(0.95) WITHIN GROUP (ORDER BY cpu) AS cpu_p95,
       coalesce(sum(cpu), 0) AS cpu_sum,
       count(peak) AS peak_times, (array_agg(peak ORDER BY number DESC) FILTER (WHERE peak IS NOT NULL))[1] AS peak_last,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY peak) AS peak_p50, percentile_disc(0.95) WITHIN GROUP (ORDER BY peak) AS peak_p95,
       coalesce(max(peak), 0) AS peak_max
FROM (
  SELECT number, (result->'usage'->>'cpu_seconds')::float8 AS cpu, (result->'usage'->>'peak_memory_bytes')::bigint AS peak
  FROM (SELECT number, status, result FROM extractions WHERE connection_id = $1 ORDER BY number DESC LIMIT $2) e
  WHERE status = 'succeeded'
) used;

-- name: freshness
-- How often the pushes to a branch ($2) were answered within the objective ($5), for each number of days ($4), among its newest $3
-- extractions. A push is a new head of the branch, from an event or found by the reconciler. Its answer is the first result of its own
-- extraction or of a later push (in the order of `switch`): a lineage (its columns may come later), or an error that dbt reported.
-- Extractions that were cancelled, or failed because of Freshet, are no answer.
WITH newest AS MATERIALIZED (
  SELECT number, sha, status, trigger, created_at, finished_at, problem->>'conclusion' AS conclusion, coalesce(position, number) AS place,
         coalesce(lineage_at, CASE WHEN status = 'succeeded' THEN finished_at END) AS lineage_at
  FROM extractions WHERE connection_id = $1 AND branch = $2 AND NOT background ORDER BY number DESC LIMIT $3
), pushes AS (
  SELECT *, lag(sha) OVER (ORDER BY number) IS DISTINCT FROM sha AND trigger IN ('push', 'reconcile', 'discovery') AS pushed,
         min(lineage_at) OVER later AS succeeded_at,
         min(finished_at) FILTER (WHERE status = 'failed' AND conclusion IN ('failure', 'skipped')) OVER later AS refused_at
  FROM newest WINDOW later AS (ORDER BY place DESC)
), judged AS (
  SELECT created_at,
         CASE
           WHEN refused_at < coalesce(succeeded_at, 'infinity') THEN 'refused'
           WHEN succeeded_at <= created_at + $5::interval THEN 'met'
           WHEN succeeded_at IS NULL AND created_at + $5::interval > now() THEN 'pending'
           ELSE 'missed' END AS verdict
  FROM pushes WHERE pushed
)
SELECT days, count(j.verdict) FILTER (WHERE verdict <> 'pending') AS pushes, count(*) FILTER (WHERE verdict = 'met') AS met,
       count(*) FILTER (WHERE verdict = 'missed') AS missed, count(*) FILTER (WHERE verdict = 'refused') AS refused,
       count(*) FILTER (WHERE verdict = 'pending') AS pending,
       -- If the branch has more than $3 extractions, counting begins at the oldest one that was read.
       CASE WHEN (SELECT count(*) FROM newest) = $3 THEN greatest(now() - make_interval(days => days), (SELECT min(created_at) FROM newest))
            ELSE now() - make_interval(days => days) END AS since
FROM unnest($4::integer[]) AS days LEFT JOIN judged j ON j.created_at > now() - make_interval(days => days)
GROUP BY days ORDER BY days;

-- name: connection_states
-- `Connection.state` of up to $1 connections, $2 its `UPDATING_FOR`, with the seconds since the oldest of each fell behind.
SELECT state, count(*) AS connections, extract(epoch FROM now() - min(stale_since))::float8 AS behind_s
FROM (
  SELECT c.stale_since, CASE
    WHEN c.head_sha IS NULL OR l.sha = c.head_sha THEN CASE WHEN c.lineage_id IS NULL THEN 'never' ELSE 'current' END
    WHEN h.status = 'failed' THEN 'failed'
    WHEN c.lineage_id IS NULL THEN 'never'
    WHEN h.status IN ('queued', 'running') AND l.branch = c.branch AND c.stale_since > now() - $2::interval THEN 'updating'
    ELSE 'stale' END AS state
  FROM (
    SELECT c.id, c.head_sha, c.stale_since, c.lineage_id, coalesce(c.branch, r.default_branch) AS branch
    FROM connections c
    JOIN repositories r ON r.id = c.repository_id AND r.removed_at IS NULL
    JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
    WHERE c.hidden_at IS NULL LIMIT $1
  ) c
  LEFT JOIN lineages l ON l.id = c.lineage_id
  LEFT JOIN LATERAL (
    SELECT e.status FROM extractions e
    WHERE e.connection_id = c.id AND e.sha = c.head_sha AND NOT e.background ORDER BY e.number DESC LIMIT 1
  ) h ON l.sha IS DISTINCT FROM c.head_sha
) known
GROUP BY state;

-- name: backlog
-- Each count stops at $1, so that a long queue does not make this slow.
SELECT
  (SELECT count(*) FROM (SELECT FROM extractions WHERE status = 'queued' LIMIT $1) counted) AS queued,
  (SELECT count(*) FROM (SELECT FROM extractions WHERE status = 'running' LIMIT $1) counted) AS running,
  (SELECT extract(epoch FROM now() - min(due_at))::float8 FROM (
    SELECT due_at FROM extractions WHERE status = 'queued' ORDER BY number LIMIT 1000
  ) first) AS queued_s,
  (SELECT count(*) FROM (
    SELECT FROM check_runs WHERE sent < revision AND abandoned IS NULL AND due_at <= now() LIMIT $1
  ) counted) AS check_runs_due,
  (SELECT count(*) FROM (
    SELECT FROM check_runs WHERE abandoned LIKE 'not sent: %' AND sent < revision LIMIT $1
  ) counted) AS check_runs_unsent,
  (SELECT extract(epoch FROM now() - min(due_at))::float8 FROM check_runs WHERE sent < revision AND abandoned IS NULL) AS check_runs_due_s;
