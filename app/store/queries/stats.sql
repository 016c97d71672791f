-- name: resources
-- Of the connection's lineage, as its extraction counted them.
SELECT l.sha, l.extracted_at, e.result->'counts' AS counts, (e.result->>'nodes')::bigint AS nodes, (e.result->>'edges')::bigint AS edges
FROM connections c JOIN lineages l ON l.id = c.lineage_id LEFT JOIN extractions e ON e.id = l.extraction_id
WHERE c.id = $1;

-- name: statuses
-- Of the newest $2.
SELECT status, count(*) AS extractions, min(created_at) AS since
FROM (SELECT status, created_at FROM extractions WHERE connection_id = $1 ORDER BY number DESC LIMIT $2) newest
GROUP BY status;

-- name: stages
-- Of those of the newest $2 that succeeded.
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
-- Of those of the newest $2 that succeeded and for which dbt ran, each where the engine told what it cost.
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

-- name: pushes
-- How fast the pushes to a branch ($2) were answered, of its newest $3 extractions, in the last so many days ($4), for an objective ($5).
-- A push is a commit that we were told of, or found, as the branch's new one. Its answer is the first end of its own extraction or of
-- one that stands no lower among the pushes, as `switch` orders them: a lineage, or dbt's no. What ended by a fault of ours, or was
-- cancelled, is no answer.
WITH newest AS MATERIALIZED (
  SELECT number, sha, status, trigger, created_at, finished_at, problem->>'conclusion' AS conclusion, coalesce(position, number) AS place
  FROM extractions WHERE connection_id = $1 AND branch = $2 ORDER BY number DESC LIMIT $3
), told AS (
  SELECT *, lag(sha) OVER (ORDER BY number) IS DISTINCT FROM sha AND trigger IN ('push', 'reconcile', 'discovery') AS pushed,
         min(finished_at) FILTER (WHERE status = 'succeeded') OVER later AS succeeded_at,
         min(finished_at) FILTER (WHERE status = 'failed' AND conclusion IN ('failure', 'skipped')) OVER later AS refused_at
  FROM newest WINDOW later AS (ORDER BY place DESC)
), judged AS (
  SELECT created_at,
         CASE
           WHEN refused_at < coalesce(succeeded_at, 'infinity') THEN 'refused'
           WHEN succeeded_at <= created_at + $5::interval THEN 'met'
           WHEN succeeded_at IS NULL AND created_at + $5::interval > now() THEN 'pending'
           ELSE 'missed' END AS verdict
  FROM told WHERE pushed
)
SELECT days, count(j.verdict) FILTER (WHERE verdict <> 'pending') AS pushes, count(*) FILTER (WHERE verdict = 'met') AS met,
       count(*) FILTER (WHERE verdict = 'missed') AS missed, count(*) FILTER (WHERE verdict = 'refused') AS refused,
       count(*) FILTER (WHERE verdict = 'pending') AS pending,
       -- When the branch has more extractions than were looked at, the oldest of these is where the counting begins.
       CASE WHEN (SELECT count(*) FROM newest) = $3 THEN greatest(now() - make_interval(days => days), (SELECT min(created_at) FROM newest))
            ELSE now() - make_interval(days => days) END AS since
FROM unnest($4::integer[]) AS days LEFT JOIN judged j ON j.created_at > now() - make_interval(days => days)
GROUP BY days ORDER BY days;
