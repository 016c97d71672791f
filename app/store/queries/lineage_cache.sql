-- name: size
SELECT cardinality(node_ids) FROM lineages WHERE id = $1 AND extracted_at = $2;

-- name: nodes
-- The nodes between two positions. No rows once the commit was extracted again.
SELECT n.unique_id, n.resource_type, n.name, n.package_name, convert_to(n.content::text, 'UTF8') AS content, n.upstream
FROM lineages l, unnest(l.node_ids[$3:$4]) WITH ORDINALITY AS member (id, position) JOIN nodes n ON n.id = member.id
WHERE l.id = $1 AND l.extracted_at = $2
ORDER BY member.position;

-- name: quality_nodes
-- What `lineage.quality` counts, of the nodes between two positions.
SELECT n.unique_id, n.resource_type, n.package_name, convert_to(n.content::text, 'UTF8') AS content, n.definition, n.upstream
FROM lineages l, unnest(l.node_ids[$3:$4]) WITH ORDINALITY AS member (id, position) JOIN nodes n ON n.id = member.id
WHERE l.id = $1 AND l.extracted_at = $2 ORDER BY member.position;

-- name: quality_differing
-- The unique_ids of what may have another quality in one of two lineages: nodes that differ, and what tests that differ are about.
WITH old AS (SELECT unnest(node_ids) AS id FROM lineages WHERE id = $1 AND extracted_at = $2),
new AS (SELECT unnest(node_ids) AS id FROM lineages WHERE id = $3 AND extracted_at = $4),
differing AS ((TABLE old EXCEPT TABLE new) UNION ALL (TABLE new EXCEPT TABLE old))
SELECT DISTINCT about.name FROM differing JOIN nodes n USING (id)
CROSS JOIN LATERAL unnest(CASE WHEN n.resource_type IN ('test', 'unit_test') THEN n.upstream ELSE ARRAY[n.unique_id] END)
  AS about (name);

-- name: quality_nodes_named
-- The nodes $3, and the tests that are about them.
SELECT n.unique_id, n.resource_type, n.package_name, convert_to(n.content::text, 'UTF8') AS content, n.definition, n.upstream
FROM lineages l, unnest(l.node_ids) AS member (id) JOIN nodes n ON n.id = member.id
WHERE l.id = $1 AND l.extracted_at = $2
  AND (n.unique_id = ANY($3::text[]) OR (n.resource_type IN ('test', 'unit_test') AND n.upstream && $3::text[]));

-- name: differing_nodes
-- The nodes that are in only one of two lineages, paired by unique_id. Collation C sorts by code point.
WITH old AS (SELECT unnest(node_ids) AS id FROM lineages WHERE id = $1 AND extracted_at = $2),
new AS (SELECT unnest(node_ids) AS id FROM lineages WHERE id = $3 AND extracted_at = $4),
gone AS (SELECT n.id, n.unique_id FROM (TABLE old EXCEPT TABLE new) AS member JOIN nodes n USING (id)),
come AS (SELECT n.id, n.unique_id FROM (TABLE new EXCEPT TABLE old) AS member JOIN nodes n USING (id))
SELECT coalesce(array_agg(gone.id ORDER BY unique_id COLLATE "C"), '{}') AS base,
       coalesce(array_agg(come.id ORDER BY unique_id COLLATE "C"), '{}') AS head
FROM gone FULL JOIN come USING (unique_id);

-- name: node_versions
SELECT id, unique_id, convert_to(content::text, 'UTF8') AS content, upstream, sql_hash, config_hash FROM nodes WHERE id = ANY($1::bigint[]);

-- name: columns_size
-- No row, or NULL, once the commit was extracted again.
SELECT cardinality(column_ids) FROM lineages WHERE id = $1 AND extracted_at = $2 AND columns_state = 'ready';
