-- name: differing
-- The rows of nodes and, if $5, of their columns that are in only one of two lineages, paired by unique_id.
WITH base AS (SELECT node_ids, column_ids FROM lineages WHERE id = $1 AND extracted_at = $2),
head AS (SELECT node_ids, column_ids FROM lineages WHERE id = $3 AND extracted_at = $4),
old_nodes AS (SELECT unnest(node_ids) AS id FROM base),
new_nodes AS (SELECT unnest(node_ids) AS id FROM head),
old_columns AS (SELECT unnest(column_ids) AS id FROM base WHERE $5),
new_columns AS (SELECT unnest(column_ids) AS id FROM head WHERE $5),
gone_nodes AS (SELECT n.id, n.unique_id, octet_length(n.definition) AS size FROM (TABLE old_nodes EXCEPT TABLE new_nodes) AS member JOIN nodes n USING (id)),
come_nodes AS (SELECT n.id, n.unique_id, octet_length(n.definition) AS size FROM (TABLE new_nodes EXCEPT TABLE old_nodes) AS member JOIN nodes n USING (id)),
gone_columns AS (
  SELECT n.id, n.unique_id, octet_length(n.content) AS size
  FROM (TABLE old_columns EXCEPT TABLE new_columns) AS member JOIN node_columns n USING (id)
),
come_columns AS (
  SELECT n.id, n.unique_id, octet_length(n.content) AS size
  FROM (TABLE new_columns EXCEPT TABLE old_columns) AS member JOIN node_columns n USING (id)
)
SELECT unique_id, gone_nodes.id AS base, come_nodes.id AS head, gone_columns.id AS base_columns, come_columns.id AS head_columns,
       coalesce(gone_nodes.size, 0) + coalesce(come_nodes.size, 0) + coalesce(gone_columns.size, 0) + coalesce(come_columns.size, 0) AS size_bytes
FROM gone_nodes
FULL JOIN come_nodes USING (unique_id)
FULL JOIN gone_columns USING (unique_id)
FULL JOIN come_columns USING (unique_id)
ORDER BY unique_id COLLATE "C";

-- name: at_positions
-- The rows of the nodes at these positions (from 1) of a lineage. No rows once the commit was extracted again.
SELECT n.id, n.unique_id, convert_to(n.content::text, 'UTF8') AS content, n.upstream, n.sql_hash, n.definition
FROM lineages l, unnest(l.node_ids) WITH ORDINALITY AS member (id, position) JOIN nodes n ON n.id = member.id
WHERE l.id = $1 AND l.extracted_at = $2 AND member.position = ANY($3::bigint[]);

-- name: nodes
SELECT id, unique_id, convert_to(content::text, 'UTF8') AS content, upstream, sql_hash, definition FROM nodes WHERE id = ANY($1::bigint[]);

-- name: columns
SELECT id, status, content, sha256(compiled_code) AS code_hash FROM node_columns WHERE id = ANY($1::bigint[]);

-- name: codes
-- Compiled code that is not longer than $2 bytes.
SELECT id, compiled_code FROM node_columns WHERE id = ANY($1::bigint[]) AND length(compiled_code) <= $2;
