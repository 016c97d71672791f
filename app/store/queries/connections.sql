-- name: lock_repository
-- Whoever makes connections of a repository does so one at a time.
SELECT id FROM repositories WHERE id = $1 FOR UPDATE;

-- name: of_repository
SELECT c.id, c.project_dir, c.branch, c.project_name, c.head_sha, c.created_at, c.lineage_id,
       l.sha AS lineage_sha, l.extracted_at, h.status AS head_status, h.title AS head_problem,
       r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private
FROM connections c
JOIN repositories r ON r.id = c.repository_id
LEFT JOIN lineages l ON l.id = c.lineage_id
LEFT JOIN LATERAL (
  SELECT e.status, e.problem->>'title' AS title FROM extractions e
  WHERE e.connection_id = c.id AND e.sha = c.head_sha ORDER BY e.number DESC LIMIT 1
) h ON l.sha IS DISTINCT FROM c.head_sha
WHERE c.repository_id = $1 AND c.hidden_at IS NULL
ORDER BY c.created_at, c.id;

-- name: by_id
SELECT c.id, c.project_dir, c.branch, c.project_name, c.head_sha, c.created_at, c.lineage_id,
       l.sha AS lineage_sha, l.extracted_at, h.status AS head_status, h.title AS head_problem,
       r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private
FROM connections c
JOIN repositories r ON r.id = c.repository_id AND r.removed_at IS NULL
JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
LEFT JOIN lineages l ON l.id = c.lineage_id
LEFT JOIN LATERAL (
  SELECT e.status, e.problem->>'title' AS title FROM extractions e
  WHERE e.connection_id = c.id AND e.sha = c.head_sha ORDER BY e.number DESC LIMIT 1
) h ON l.sha IS DISTINCT FROM c.head_sha
WHERE c.id = $1 AND c.hidden_at IS NULL;

-- name: page
-- $1 owner, $2 repository, $3 words anywhere, $4 and $5 name and id of the last one of the page before, $7 repositories besides public
-- ones that may be seen (NULL: all). They are gone through in their
-- order, from where the page begins to where the owner or the repository ends; only $3 and $7 have to look at each on the way.
SELECT page.*, l.sha AS lineage_sha, l.extracted_at, h.status AS head_status, h.title AS head_problem
FROM (
  SELECT c.id, c.project_dir, c.branch, c.project_name, c.head_sha, c.created_at, c.lineage_id, c.listed_as,
         r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private
  FROM connections c
  JOIN repositories r ON r.id = c.repository_id AND r.removed_at IS NULL
  JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
  WHERE c.hidden_at IS NULL
    AND (c.listed_as, c.id) > (
      greatest(lower($4::text COLLATE "C"), lower($1::text COLLATE "C") || '/', lower($2::text COLLATE "C"), ''),
      CASE WHEN lower($4 COLLATE "C") >= greatest(lower($1 COLLATE "C") || '/', lower($2 COLLATE "C"), '') THEN $5::uuid
           ELSE '00000000-0000-0000-0000-000000000000' END)
    AND c.listed_as < coalesce(least(lower($1 COLLATE "C") || '0', lower($2 COLLATE "C") || ' '), U&'\+10FFFF')
    AND CASE WHEN $7::bigint[] IS NULL THEN true ELSE NOT r.private OR r.id = ANY($7) END
    AND ($3::text IS NULL OR strpos(lower(concat_ws(' ', r.full_name, c.project_name, c.project_dir)), lower($3)) > 0)
  ORDER BY c.listed_as, c.id
  LIMIT $6
) page
LEFT JOIN lineages l ON l.id = page.lineage_id
LEFT JOIN LATERAL (
  SELECT e.status, e.problem->>'title' AS title FROM extractions e
  WHERE e.connection_id = page.id AND e.sha = page.head_sha ORDER BY e.number DESC LIMIT 1
) h ON l.sha IS DISTINCT FROM page.head_sha
ORDER BY page.listed_as, page.id;

-- name: create
-- One that was hidden comes back with its history.
INSERT INTO connections AS c (repository_id, project_dir) VALUES ($1, $2)
ON CONFLICT (repository_id, coalesce(project_dir, ''), coalesce(branch, '')) DO UPDATE
SET hidden_at = NULL, project_dir = excluded.project_dir
RETURNING c.id;

-- name: hide
UPDATE connections SET hidden_at = now() WHERE id = $1 AND hidden_at IS NULL;

-- name: move
UPDATE connections SET project_dir = $2 WHERE id = $1;

-- name: move_head
UPDATE connections SET head_sha = $2 WHERE id = $1;

-- name: found_project
-- The first extraction of a connection made by a push finds out where the project is.
UPDATE connections SET project_dir = coalesce(project_dir, $2), project_name = coalesce($3, project_name) WHERE id = $1;
