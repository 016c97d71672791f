-- name: lock_connection
-- Two extractions of one connection store their nodes one after the other.
SELECT lineage_id FROM connections WHERE id = $1 FOR UPDATE;

-- Nodes are named by their hashes, as one value: one text of `hash_bytes` bytes after the other. So a list of many thousands costs
-- nobody but the database anything.

-- name: missing_nodes
-- Where hashes ($2, each of $3 bytes) stand that no node has.
SELECT coalesce(array_agg(place), '{}')
FROM generate_series(0, length($2::bytea) / $3::integer - 1) AS place
LEFT JOIN nodes n ON n.connection_id = $1 AND n.hash = substr($2::bytea, place * $3::integer + 1, $3::integer)
WHERE n.id IS NULL;

-- name: hashes
SELECT string_agg(n.hash, '') FROM lineages l, unnest(l.node_ids) AS member (id) JOIN nodes n ON n.id = member.id WHERE l.id = $1;

-- name: difference
-- What is other in nodes ($3, each of $4 bytes) than in a lineage: at most $5 of each kind, and how many there are. A node that is in
-- both has the same edges in both. C is the order of the code points.
WITH old AS (SELECT unnest(node_ids) AS id FROM lineages WHERE id = $2),
new AS (
  SELECT n.id FROM generate_series(0, length($3::bytea) / $4::integer - 1) AS place
  JOIN nodes n ON n.connection_id = $1 AND n.hash = substr($3::bytea, place * $4::integer + 1, $4::integer)
),
gone AS (SELECT n.unique_id, n.upstream FROM (TABLE old EXCEPT TABLE new) AS member JOIN nodes n USING (id)),
come AS (SELECT n.unique_id, n.upstream FROM (TABLE new EXCEPT TABLE old) AS member JOIN nodes n USING (id)),
changes (kind, upstream, unique_id) AS (
  SELECT 'nodes_added', '', unique_id FROM (SELECT unique_id FROM come EXCEPT SELECT unique_id FROM gone) AS node
  UNION ALL
  SELECT 'nodes_removed', '', unique_id FROM (SELECT unique_id FROM gone EXCEPT SELECT unique_id FROM come) AS node
  UNION ALL
  SELECT 'nodes_changed', '', unique_id FROM (SELECT unique_id FROM come INTERSECT SELECT unique_id FROM gone) AS node
  UNION ALL
  SELECT 'edges_added', upstream, unique_id
  FROM (SELECT unnest(upstream), unique_id FROM come EXCEPT SELECT unnest(upstream), unique_id FROM gone) AS edge (upstream, unique_id)
  UNION ALL
  SELECT 'edges_removed', upstream, unique_id
  FROM (SELECT unnest(upstream), unique_id FROM gone EXCEPT SELECT unnest(upstream), unique_id FROM come) AS edge (upstream, unique_id)
),
ranked AS (
  SELECT kind, upstream, unique_id, count(*) OVER (PARTITION BY kind) AS total,
         row_number() OVER (PARTITION BY kind ORDER BY upstream COLLATE "C", unique_id COLLATE "C") AS place
  FROM changes
)
SELECT kind, upstream, unique_id, total FROM ranked WHERE place <= $5 ORDER BY kind, place;

-- name: save
INSERT INTO lineages
  (connection_id, extraction_id, sha, branch, project_name, dbt_version, adapter_type, manifest_schema, input, node_ids)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce(array_agg(n.id ORDER BY place), '{}')
FROM generate_series(0, length($10::bytea) / $11::integer - 1) AS place
JOIN nodes n ON n.connection_id = $1 AND n.hash = substr($10::bytea, place * $11::integer + 1, $11::integer)
ON CONFLICT (connection_id, sha) DO UPDATE
SET extraction_id = excluded.extraction_id, branch = excluded.branch, project_name = excluded.project_name,
    dbt_version = excluded.dbt_version, adapter_type = excluded.adapter_type, manifest_schema = excluded.manifest_schema,
    node_ids = excluded.node_ids, input = excluded.input, extracted_at = now()
RETURNING id;

-- name: lately_used
SELECT e.result->>'image' AS image, l.adapter_type FROM lineages l JOIN extractions e ON e.id = l.extraction_id
WHERE e.result->>'image' IS NOT NULL ORDER BY l.id DESC LIMIT 50;

-- name: of_input
-- The newest commit with the same input, and what was said of it.
SELECT l.id, l.sha, e.result FROM lineages l JOIN extractions e ON e.id = l.extraction_id
WHERE l.connection_id = $1 AND l.input = $2 ORDER BY l.id DESC LIMIT 1;

-- name: carry
-- The lineage of one commit becomes that of another one too.
INSERT INTO lineages
  (connection_id, extraction_id, sha, branch, project_name, dbt_version, adapter_type, manifest_schema, node_ids, input)
SELECT connection_id, $2, $3, $4, project_name, dbt_version, adapter_type, manifest_schema, node_ids, input FROM lineages WHERE id = $1
ON CONFLICT (connection_id, sha) DO UPDATE
SET extraction_id = excluded.extraction_id, branch = excluded.branch, project_name = excluded.project_name,
    dbt_version = excluded.dbt_version, adapter_type = excluded.adapter_type, manifest_schema = excluded.manifest_schema,
    node_ids = excluded.node_ids, input = excluded.input, extracted_at = now()
RETURNING id;

-- name: switch
-- Only the followed branch moves the lineage: its head always, what is not known to be newer than the lineage never.
UPDATE connections c SET lineage_id = $2, lineage_number = greatest(c.lineage_number, e.position, CASE WHEN e.position IS NULL THEN e.number END)
FROM extractions e, repositories r
WHERE c.id = e.connection_id AND r.id = c.repository_id AND e.id = $1
  AND e.branch = coalesce(c.branch, r.default_branch, e.branch)
  AND (e.sha = c.head_sha
       OR (coalesce(e.position, e.number) > 0
           AND (c.lineage_id IS NULL
                OR (c.lineage_number <= coalesce(e.position, e.number)
                    AND (SELECT l.sha FROM lineages l WHERE l.id = c.lineage_id) IS DISTINCT FROM c.head_sha))));

-- name: current
SELECT l.id, l.sha, l.branch, l.project_name, l.dbt_version, l.adapter_type, l.manifest_schema, l.extracted_at
FROM connections c JOIN lineages l ON l.id = c.lineage_id
WHERE c.id = $1;

-- name: at_sha
SELECT id, sha, branch, project_name, dbt_version, adapter_type, manifest_schema, extracted_at
FROM lineages WHERE connection_id = $1 AND sha = $2;
