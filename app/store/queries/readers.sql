-- name: owner
-- The repository of a connection ($1), and whether a commit ($2) is one of the branch that it follows.
SELECT r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private,
       EXISTS (SELECT FROM lineages l WHERE l.connection_id = c.id AND l.sha = $2 AND l.branch = coalesce(c.branch, r.default_branch))
       OR EXISTS (SELECT FROM extractions e
                  WHERE e.connection_id = c.id AND e.sha = $2 AND e.branch || '' = coalesce(c.branch, r.default_branch)) AS followed
FROM connections c JOIN repositories r ON r.id = c.repository_id
WHERE c.id = $1;

-- name: tables
-- What the nodes make that are in only one of two lineages ($1, $2 and $3, $4), of some types ($5); of the second one also those named in $6.
WITH old AS (SELECT unnest(node_ids) AS id FROM lineages WHERE id = $1 AND extracted_at = $2),
new AS (SELECT unnest(node_ids) AS id FROM lineages WHERE id = $3 AND extracted_at = $4),
both_sides AS (SELECT id FROM old INTERSECT SELECT id FROM new)
SELECT side.at_head, side.at_base, n.unique_id, n.content ->> 'relation_name' AS name, n.content ->> 'materialized' AS materialized
FROM (
  SELECT id, false AS at_head, true AS at_base FROM (TABLE old EXCEPT TABLE new) AS gone
  UNION ALL
  SELECT id, true, false FROM (TABLE new EXCEPT TABLE old) AS come
) side JOIN nodes n USING (id)
-- Other projects make the tables of external nodes.
WHERE n.resource_type = ANY($5::text[]) AND n.content ->> 'external_node' IS NULL
UNION ALL
SELECT true, true, n.unique_id, n.content ->> 'relation_name', n.content ->> 'materialized'
FROM both_sides JOIN nodes n USING (id)
WHERE n.unique_id = ANY($6::text[]);

-- name: connections
-- Other connections of an installation ($2) with sources that may be one of the tables $3 (keys), at most $5, with the number of all: of the
-- same repository ($4) first, then of public ones, and of others only if $6. $1: the connection itself.
SELECT c.id, c.project_dir, r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private,
       l.id AS lineage_id, l.extracted_at, l.adapter_type, l.columns_state, count(*) OVER () AS total
FROM (SELECT DISTINCT connection_id FROM source_relations WHERE installation_id = $2 AND relation = ANY($3::bytea[])) reading
JOIN connections c ON c.id = reading.connection_id AND c.id <> $1 AND c.hidden_at IS NULL
JOIN repositories r ON r.id = c.repository_id AND r.installation_id = $2 AND r.removed_at IS NULL
JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
JOIN lineages l ON l.id = c.lineage_id
WHERE $6 OR r.id = $4 OR NOT r.private
ORDER BY r.id <> $4, r.private, c.listed_as, c.id
LIMIT $5;
