-- name: connections
-- The connections of an installation ($1) whose lineage is of a project of one of these names ($2), at most $4: those of one repository ($3)
-- first, and of a project that is followed on several branches that of the default branch first.
SELECT c.id, c.project_dir, l.project_name, l.id AS lineage_id, l.extracted_at,
       r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private
FROM installations i
JOIN repositories r ON r.installation_id = i.id AND r.removed_at IS NULL
JOIN connections c ON c.repository_id = r.id AND c.hidden_at IS NULL
JOIN lineages l ON l.id = c.lineage_id AND l.project_name = ANY($2::text[])
WHERE i.id = $1 AND i.deleted_at IS NULL
ORDER BY r.id <> $3, c.branch IS NOT NULL, c.created_at, c.id
LIMIT $4;

-- name: public_models
-- The public models of a lineage ($1, $2) that its project itself has, at most $3.
SELECT n.id, n.name, (n.content -> 'version')::text AS version, n.content ->> 'relation_name' AS relation_name
FROM lineages l JOIN nodes n ON n.id = ANY(l.node_ids)
WHERE l.id = $1 AND l.extracted_at = $2 AND n.resource_type = 'model' AND n.package_name = l.project_name
  AND n.content ->> 'access' = 'public'
ORDER BY n.unique_id LIMIT $3;

-- name: definitions
SELECT name, definition FROM nodes WHERE id = ANY($1::bigint[]) AND octet_length(definition) <= $2;
