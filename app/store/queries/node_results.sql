-- name: note_artifact
-- No row if it was taken before.
INSERT INTO run_artifacts (connection_id, kind, invocation_id, generated_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (connection_id, kind, invocation_id) DO NOTHING RETURNING id;

-- name: forget_artifacts
-- All but the newest $2.
DELETE FROM run_artifacts WHERE connection_id = $1
  AND id <= (SELECT id FROM run_artifacts WHERE connection_id = $1 ORDER BY id DESC OFFSET $2 LIMIT 1);

-- name: save
-- Results of one artifact, written at $2, each of another node. An older one than the last goes into the history alone, which keeps the
-- newest $8. `is_last`: it is the last one now.
INSERT INTO node_results AS r (connection_id, unique_id, at, status, message, loaded_at, history, seconds, bytes, slot_ms)
SELECT $1, n.unique_id, $2, n.status, n.message, n.loaded_at, jsonb_build_array(n.entry),
       (n.entry->>2)::float8, (n.entry->>4)::float8, (n.entry->>5)::float8
FROM unnest($3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::jsonb[]) AS n (unique_id, status, message, loaded_at, entry)
ORDER BY n.unique_id
ON CONFLICT (connection_id, unique_id) DO UPDATE SET
  at = greatest(r.at, excluded.at),
  status = CASE WHEN excluded.at >= r.at THEN excluded.status ELSE r.status END,
  message = CASE WHEN excluded.at >= r.at THEN excluded.message ELSE r.message END,
  loaded_at = CASE WHEN excluded.at >= r.at THEN excluded.loaded_at ELSE r.loaded_at END,
  (history, seconds, bytes, slot_ms) = (
    SELECT jsonb_agg(newest.one ORDER BY newest.at DESC), sum((newest.one->>2)::float8), sum((newest.one->>4)::float8),
           sum((newest.one->>5)::float8)
    FROM (
      SELECT DISTINCT ON ((h.one->0)::bigint) (h.one->0)::bigint AS at, h.one
      FROM jsonb_array_elements(excluded.history || r.history) WITH ORDINALITY h (one, place)
      ORDER BY (h.one->0)::bigint DESC, h.place LIMIT $8
    ) newest)
RETURNING at = $2 AS is_last;

-- name: of_nodes
SELECT unique_id, at, status, message, loaded_at, history FROM node_results WHERE connection_id = $1 AND unique_id = ANY($2::text[]);

-- name: page
-- The last results after a node ($2), with one of the statuses ($3), or one that is not among $4.
SELECT unique_id, at, status, message, loaded_at, history FROM node_results
WHERE connection_id = $1 AND unique_id > $2 AND (status = ANY($3::text[]) OR status <> ALL($4::text[])) ORDER BY unique_id LIMIT $5;

-- name: failed
-- At most $2 nodes whose last result failed or warned. The statuses are those of the index.
SELECT unique_id, status FROM node_results
WHERE connection_id = $1 AND status IN ('error', 'fail', 'partial success', 'runtime error', 'warn') LIMIT $2;

-- name: stale_sources
-- At most $3 sources whose freshness failed within $2. The statuses are those of the index.
SELECT unique_id, at FROM node_results
WHERE connection_id = $1 AND status IN ('error', 'fail', 'partial success', 'runtime error', 'warn') AND status <> 'warn'
  AND unique_id LIKE 'source.%' AND at > now() - $2::interval LIMIT $3;

-- name: revision
-- Changes with every artifact that is taken.
SELECT max(id) FROM run_artifacts WHERE connection_id = $1;

-- name: purge
-- At most $2 results that are older than $1.
DELETE FROM node_results WHERE (connection_id, unique_id) IN (
  SELECT connection_id, unique_id FROM node_results WHERE at < now() - $1::interval ORDER BY at LIMIT $2);

-- name: purge_artifacts
DELETE FROM run_artifacts
WHERE id = ANY(ARRAY(SELECT id FROM run_artifacts WHERE sent_at < now() - $1::interval ORDER BY sent_at LIMIT $2));
