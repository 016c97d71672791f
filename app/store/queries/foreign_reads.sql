-- name: sources
-- The sources of a connection ($1) that may be one of the tables $2 (keys), at most $3; columns only if they are no longer than $4.
SELECT n.unique_id, n.content ->> 'relation_name' AS name,
       CASE WHEN octet_length(n.content::text) <= $4 THEN n.content -> 'columns' END AS columns
FROM source_relations s JOIN nodes n ON n.id = s.node_id
WHERE s.connection_id = $1 AND s.relation = ANY($2::bytea[])
ORDER BY n.unique_id LIMIT $3;

-- name: readers
-- The nodes of a lineage ($1, $2) that depend on sources ($3), of some types ($4, in this order), at most $5.
SELECT n.id, n.unique_id, n.resource_type, n.name, n.upstream
FROM lineages l JOIN nodes n ON n.id = ANY(l.node_ids)
WHERE l.id = $1 AND l.extracted_at = $2 AND n.upstream && $3::text[] AND n.resource_type = ANY($4::text[])
ORDER BY array_position($4::text[], n.resource_type), n.unique_id LIMIT $5;

-- name: columns
-- How exactly the columns of some nodes ($3) of a lineage ($1, $2) are known.
SELECT n.id, n.unique_id, n.status
FROM lineages l JOIN node_columns n ON n.id = ANY(l.column_ids)
WHERE l.id = $1 AND l.extracted_at = $2 AND l.columns_state = 'ready' AND n.unique_id = ANY($3::text[]);

-- name: contents
SELECT unique_id, content FROM node_columns WHERE id = ANY($1::bigint[]) AND octet_length(content) <= $2;

-- name: codes
SELECT unique_id, compiled_code FROM node_columns WHERE id = ANY($1::bigint[]) AND octet_length(compiled_code) <= $2;

-- name: definitions
SELECT unique_id, definition FROM nodes WHERE id = ANY($1::bigint[]) AND octet_length(definition) <= $2;

-- name: handing_on
-- Nodes ($1); columns only if they are no longer than $2.
SELECT id, unique_id, content ->> 'materialized' AS materialized,
       CASE WHEN octet_length(content::text) <= $2 THEN content -> 'columns' END AS columns
FROM nodes WHERE id = ANY($1::bigint[]);

-- name: size
SELECT cardinality(node_ids) FROM lineages WHERE id = $1 AND extracted_at = $2;

-- name: below
-- The nodes between two positions ($3, $4) of a lineage ($1, $2) that are of some types ($5).
SELECT n.unique_id, n.resource_type, n.name, n.upstream
FROM lineages l, unnest(l.node_ids[$3:$4]) AS member (id) JOIN nodes n ON n.id = member.id
WHERE l.id = $1 AND l.extracted_at = $2 AND n.resource_type = ANY($5::text[]);
