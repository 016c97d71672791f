-- In all statements, $1 has the private repositories to include, besides public ones; NULL: all. Of several connections of one project,
-- one counts.

-- name: page
-- The projects of repositories from $2 up to, but without $3, by name: at most $4, with the number of all.
SELECT one.total, one.id, one.project_dir, one.repository_id, one.full_name, one.installation_id, one.default_branch, one.private,
       cardinality(l.node_ids) AS size, l.id AS lineage_id, l.sha, l.branch, l.project_name, l.dbt_version, l.adapter_type,
       l.manifest_schema, l.extracted_at, l.columns_state, l.columns_reason,
       ARRAY(SELECT DISTINCT coalesce(k.branch, one.default_branch) FROM connections k
             WHERE k.repository_id = one.repository_id AND coalesce(k.project_dir, '') = coalesce(one.project_dir, '')
               AND k.hidden_at IS NULL AND k.lineage_id IS NOT NULL AND k.id <> one.id) AS other_branches
FROM (
  SELECT c.id, c.project_dir, c.listed_as, c.lineage_id, r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private,
         count(*) OVER () AS total
  FROM connections c
  JOIN repositories r ON r.id = c.repository_id AND r.removed_at IS NULL
  JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
  WHERE c.listed_as >= lower($2::text COLLATE "C") AND c.listed_as < lower($3::text COLLATE "C")
    AND c.hidden_at IS NULL AND c.lineage_id IS NOT NULL
    AND CASE WHEN $1::bigint[] IS NULL THEN true ELSE NOT r.private OR r.id = ANY($1) END
    AND stands_for_project(c.id, c.repository_id, c.project_dir, r.default_branch)
  ORDER BY c.listed_as, c.id LIMIT $4
) one JOIN lineages l ON l.id = one.lineage_id
ORDER BY one.listed_as, one.id;

-- name: installation
-- The installation of repositories from $2 up to, but without $3.
SELECT r.installation_id
FROM connections c
JOIN repositories r ON r.id = c.repository_id AND r.removed_at IS NULL
JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
WHERE c.listed_as >= lower($2::text COLLATE "C") AND c.listed_as < lower($3::text COLLATE "C")
  AND c.hidden_at IS NULL AND c.lineage_id IS NOT NULL
  AND CASE WHEN $1::bigint[] IS NULL THEN true ELSE NOT r.private OR r.id = ANY($1) END
ORDER BY c.listed_as, c.id LIMIT 1;

-- name: some
-- The projects for which one of the connections $2 counts.
SELECT c.id, c.project_dir, r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private,
       l.id AS lineage_id, l.sha, l.branch, l.project_name, l.dbt_version, l.adapter_type, l.manifest_schema, l.extracted_at,
       l.columns_state, l.columns_reason
FROM (SELECT DISTINCT id FROM unnest($2::uuid[]) AS given (id)) wanted
CROSS JOIN LATERAL (SELECT * FROM connections WHERE id = wanted.id AND hidden_at IS NULL OFFSET 0) c
CROSS JOIN LATERAL (SELECT * FROM repositories WHERE id = c.repository_id AND removed_at IS NULL OFFSET 0) r
JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
JOIN lineages l ON l.id = c.lineage_id
WHERE CASE WHEN $1::bigint[] IS NULL THEN true ELSE NOT r.private OR r.id = ANY($1) END
  AND stands_for_project(c.id, c.repository_id, c.project_dir, r.default_branch);

-- name: made
-- The nodes of an owner ($2, an installation) that may make one of the tables $3 (keys), at most $4.
SELECT n.unique_id, n.name, n.resource_type, n.content ->> 'relation_name' AS relation_name, n.content ->> 'access' AS access,
       n.content ->> 'materialized' AS materialized,
       n.content ->> 'original_file_path' AS original_file_path, n.package_name,
       c.id, c.project_dir, r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private,
       l.id AS lineage_id, l.sha, l.branch, l.project_name, l.dbt_version, l.adapter_type, l.manifest_schema, l.extracted_at,
       l.columns_state, l.columns_reason
FROM made_tables m
CROSS JOIN LATERAL (SELECT * FROM connections WHERE id = m.connection_id AND hidden_at IS NULL OFFSET 0) c
JOIN repositories r ON r.id = c.repository_id AND r.installation_id = $2 AND r.removed_at IS NULL
JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
JOIN lineages l ON l.id = c.lineage_id
JOIN nodes n ON n.id = m.node_id
WHERE m.relation = ANY($3::bytea[]) AND m.installation_id = $2
  AND CASE WHEN $1::bigint[] IS NULL THEN true ELSE NOT r.private OR r.id = ANY($1) END
  AND stands_for_project(c.id, c.repository_id, c.project_dir, r.default_branch)
LIMIT $4;

-- name: read
-- The same of the sources that may be one of these tables.
SELECT n.unique_id, n.name, n.resource_type, n.content ->> 'relation_name' AS relation_name, n.content ->> 'access' AS access,
       n.content ->> 'materialized' AS materialized,
       n.content ->> 'original_file_path' AS original_file_path, n.package_name,
       c.id, c.project_dir, r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private,
       l.id AS lineage_id, l.sha, l.branch, l.project_name, l.dbt_version, l.adapter_type, l.manifest_schema, l.extracted_at,
       l.columns_state, l.columns_reason
FROM source_relations m
CROSS JOIN LATERAL (SELECT * FROM connections WHERE id = m.connection_id AND hidden_at IS NULL OFFSET 0) c
JOIN repositories r ON r.id = c.repository_id AND r.installation_id = $2 AND r.removed_at IS NULL
JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
JOIN lineages l ON l.id = c.lineage_id
JOIN nodes n ON n.id = m.node_id
WHERE m.relation = ANY($3::bytea[]) AND m.installation_id = $2
  AND CASE WHEN $1::bigint[] IS NULL THEN true ELSE NOT r.private OR r.id = ANY($1) END
  AND stands_for_project(c.id, c.repository_id, c.project_dir, r.default_branch)
LIMIT $4;

-- name: nodes
-- The same of the nodes with these unique_ids (keys), which projects have of their own or in a package.
SELECT n.unique_id, n.name, n.resource_type, n.content ->> 'relation_name' AS relation_name, n.content ->> 'access' AS access,
       n.content ->> 'materialized' AS materialized,
       n.content ->> 'original_file_path' AS original_file_path, n.package_name,
       c.id, c.project_dir, r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private,
       l.id AS lineage_id, l.sha, l.branch, l.project_name, l.dbt_version, l.adapter_type, l.manifest_schema, l.extracted_at,
       l.columns_state, l.columns_reason
FROM made_tables m
CROSS JOIN LATERAL (SELECT * FROM connections WHERE id = m.connection_id AND hidden_at IS NULL OFFSET 0) c
JOIN repositories r ON r.id = c.repository_id AND r.installation_id = $2 AND r.removed_at IS NULL
JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
JOIN lineages l ON l.id = c.lineage_id
JOIN nodes n ON n.id = m.node_id
WHERE m.node = ANY($3::bytea[]) AND m.installation_id = $2
  AND CASE WHEN $1::bigint[] IS NULL THEN true ELSE NOT r.private OR r.id = ANY($1) END
  AND stands_for_project(c.id, c.repository_id, c.project_dir, r.default_branch)
LIMIT $4;
