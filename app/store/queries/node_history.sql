-- name: steps
-- The newest $4 commits of a branch whose lineage is stored, up to the position $5, newest first, without those that took over the lineage
-- of the one before; and which of the newest $6 versions of a node, and of its columns, each has. `unread`: it may have an older one.
-- Only the ids of the nodes of each lineage are read, and only of those that are left. Most have the version of the commit after it, which is
-- looked for first: 10,000 ids are searched for one in 0.03 ms.
WITH RECURSIVE versions AS MATERIALIZED (
  SELECT coalesce(array_agg(id), '{}') AS ids FROM (
    SELECT id FROM nodes WHERE connection_id = $1 AND left(unique_id, 200) = left($3, 200) AND unique_id = $3 ORDER BY id DESC LIMIT $6) n
), column_versions AS MATERIALIZED (
  SELECT coalesce(array_agg(id), '{}') AS ids FROM (
    SELECT id FROM node_columns WHERE connection_id = $1 AND left(unique_id, 200) = left($3, 200) AND unique_id = $3
    ORDER BY id DESC LIMIT $6) n
), commits AS (
  SELECT e.id, e.sha, e.created_at, e.facts, coalesce(e.position, e.number) AS position FROM extractions e
  WHERE e.connection_id = $1 AND e.branch = $2 AND NOT e.background AND coalesce(e.position, e.number) <= $5
  ORDER BY e.number DESC LIMIT 10 * $4
), walk AS (
  SELECT DISTINCT ON (c.position) c.position, l.id AS lineage_id, c.id, c.sha, c.created_at, c.facts, l.input
  FROM commits c JOIN lineages l ON l.connection_id = $1 AND l.sha = c.sha
  ORDER BY c.position DESC, c.created_at DESC
), different AS MATERIALIZED (
  SELECT *, row_number() OVER (ORDER BY position DESC) AS place
  FROM (SELECT *, lag(input) OVER (ORDER BY position) AS input_before FROM walk) w
  WHERE input IS NULL OR input IS DISTINCT FROM input_before
  ORDER BY position DESC LIMIT $4
), steps (place, node_id, columns_id, has_columns) AS (
  SELECT 0::bigint, NULL::bigint, NULL::bigint, false
  UNION ALL
  SELECT d.place,
         CASE WHEN s.node_id = ANY(l.node_ids) THEN s.node_id
              ELSE (SELECT max(one) FROM unnest((SELECT ids FROM versions)) AS one WHERE one = ANY(l.node_ids)) END,
         CASE WHEN s.columns_id = ANY(l.column_ids) THEN s.columns_id
              ELSE (SELECT max(one) FROM unnest((SELECT ids FROM column_versions)) AS one WHERE one = ANY(l.column_ids)) END,
         l.columns_state IS NOT DISTINCT FROM 'ready'
  FROM steps s JOIN different d ON d.place = s.place + 1 JOIN lineages l ON l.id = d.lineage_id
)
SELECT d.id, d.sha, d.created_at, d.facts->'commit' AS commit, s.has_columns, s.node_id, s.columns_id,
       cardinality((SELECT ids FROM versions)) = $6 OR cardinality((SELECT ids FROM column_versions)) = $6 AS unread
FROM steps s JOIN different d USING (place)
ORDER BY place;

-- name: position
-- Of a commit on a branch.
SELECT max(coalesce(position, number)) FROM extractions WHERE connection_id = $1 AND branch = $2 AND sha = $3 AND NOT background;

-- name: nodes
SELECT id, unique_id, convert_to(content::text, 'UTF8') AS content, upstream, sql_hash, config_hash
FROM nodes WHERE id = ANY($1::bigint[]) AND pg_column_size(content) <= $2;

-- name: columns
SELECT id, content FROM node_columns WHERE id = ANY($1::bigint[]) AND pg_column_size(content) <= $2;

-- name: classes
-- What the changes of extractions ($1) do to a node, as far as their results list it.
SELECT e.id, array_agg(DISTINCT one->>'class') AS classes
FROM extractions e, json_array_elements(CASE WHEN json_typeof(e.result->'impact'->'changes') = 'array' THEN e.result->'impact'->'changes' ELSE '[]' END) AS one
WHERE e.id = ANY($1::uuid[]) AND one->>'unique_id' = $2
GROUP BY e.id;
