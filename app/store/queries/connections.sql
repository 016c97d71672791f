-- name: lock_repository
-- Connections of a repository are created by one transaction at a time. Not FOR UPDATE: changing a connection twice in one transaction, as
-- storing a lineage does, locks its repository's key while it holds the connection.
SELECT id FROM repositories WHERE id = ANY($1::bigint[]) ORDER BY id FOR NO KEY UPDATE;

-- name: lock_repository_of_new
-- The same before a connection learns its directory, which no other connection of the repository may get meanwhile.
SELECT r.id FROM connections c JOIN repositories r ON r.id = c.repository_id WHERE c.id = $1 AND c.project_dir IS NULL FOR NO KEY UPDATE OF r;

-- name: for_repository
SELECT c.id, c.project_dir, c.branch, c.by_hand, c.project_name, c.head_sha, c.stale_since, c.signed_series, c.created_at, c.lineage_id,
       l.sha AS lineage_sha, l.branch AS lineage_branch, l.extracted_at, h.status AS head_status, h.title AS head_problem,
       r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private
FROM (SELECT DISTINCT id FROM unnest($1::bigint[]) AS given (id)) wanted
CROSS JOIN LATERAL (SELECT * FROM connections WHERE repository_id = wanted.id AND hidden_at IS NULL OFFSET 0) c
JOIN repositories r ON r.id = c.repository_id
LEFT JOIN lineages l ON l.id = c.lineage_id
LEFT JOIN LATERAL (
  SELECT e.status, e.problem->>'title' AS title FROM extractions e
  WHERE e.connection_id = c.id AND e.sha = c.head_sha AND NOT e.background ORDER BY e.number DESC LIMIT 1
) h ON l.sha IS DISTINCT FROM c.head_sha
ORDER BY c.created_at, c.id;

-- name: some
SELECT c.id, c.project_dir, c.branch, c.by_hand, c.project_name, c.head_sha, c.stale_since, c.signed_series, c.created_at, c.lineage_id,
       l.sha AS lineage_sha, l.branch AS lineage_branch, l.extracted_at, h.status AS head_status, h.title AS head_problem,
       r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private
FROM (SELECT DISTINCT id FROM unnest($1::uuid[]) AS given (id)) wanted
CROSS JOIN LATERAL (SELECT * FROM connections WHERE id = wanted.id AND hidden_at IS NULL OFFSET 0) c
JOIN repositories r ON r.id = c.repository_id AND r.removed_at IS NULL
JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
LEFT JOIN lineages l ON l.id = c.lineage_id
LEFT JOIN LATERAL (
  SELECT e.status, e.problem->>'title' AS title FROM extractions e
  WHERE e.connection_id = c.id AND e.sha = c.head_sha AND NOT e.background ORDER BY e.number DESC LIMIT 1
) h ON l.sha IS DISTINCT FROM c.head_sha;

-- name: page
-- $1 owner, $2 repository, $3 text to search for, $4 and $5 name and id of the last row of the previous page, $7 private repositories
-- that the caller can see (NULL: all). The index is scanned in order from the start of the page to the end of the owner or repository;
-- only $3 and $7 filter row by row.
SELECT page.*, l.sha AS lineage_sha, l.branch AS lineage_branch, l.extracted_at, h.status AS head_status, h.title AS head_problem
FROM (
  SELECT c.id, c.project_dir, c.branch, c.by_hand, c.project_name, c.head_sha, c.stale_since, c.signed_series, c.created_at, c.lineage_id,
         c.listed_as,
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
  WHERE e.connection_id = page.id AND e.sha = page.head_sha AND NOT e.background ORDER BY e.number DESC LIMIT 1
) h ON l.sha IS DISTINCT FROM page.head_sha
ORDER BY page.listed_as, page.id;

-- name: create
-- $1 repository, $2 directory, $3 branch, $4 by hand. A hidden connection comes back with its history, the last hidden one first.
WITH back AS (
  UPDATE connections SET hidden_at = NULL, project_dir = $2, branch = $3, by_hand = $4 WHERE id = (
    SELECT c.id FROM connections c JOIN repositories r ON r.id = c.repository_id
    WHERE c.repository_id = $1 AND c.hidden_at IS NOT NULL AND coalesce(c.project_dir, '') = coalesce($2, '')
      AND coalesce(c.branch, r.default_branch, '') = coalesce($3, r.default_branch, '')
    ORDER BY c.hidden_at DESC LIMIT 1
  ) AND NOT EXISTS (
    SELECT FROM connections WHERE repository_id = $1 AND hidden_at IS NULL AND coalesce(project_dir, '') = coalesce($2, '')
      AND coalesce(branch, '') = coalesce($3, '')
  ) RETURNING id
), made AS (
  INSERT INTO connections AS c (repository_id, project_dir, branch, by_hand) SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT FROM back)
  ON CONFLICT (repository_id, coalesce(project_dir, ''), coalesce(branch, '')) WHERE hidden_at IS NULL DO UPDATE
  SET project_dir = excluded.project_dir, by_hand = c.by_hand OR excluded.by_hand
  RETURNING id
)
SELECT id FROM back UNION ALL SELECT id FROM made;

-- name: change
-- Another branch has its own order of pushes. Another directory is another project, which has no lineage yet.
UPDATE connections SET project_dir = $2, branch = $3, by_hand = $4, head_etag = NULL, lineage_number = 0,
  lineage_id = CASE WHEN project_dir IS NOT DISTINCT FROM $2 THEN lineage_id END
WHERE id = $1;

-- name: remove
UPDATE connections SET hidden_at = now(), signed_series = signed_series + 1 WHERE id = $1 AND hidden_at IS NULL;

-- name: record_removal
-- The project of the connection gets no connection automatically any more.
INSERT INTO removals (repository_id, branch, project_dir)
SELECT r.id, coalesce(nullif(c.branch, r.default_branch), ''), coalesce(c.project_dir, '')
FROM connections c JOIN repositories r ON r.id = c.repository_id WHERE c.id = $1
ON CONFLICT DO NOTHING;

-- name: forget_removal
-- The project of the connection may get one automatically again. If the project is not known yet: all projects of its branch.
DELETE FROM removals m USING connections c JOIN repositories r ON r.id = c.repository_id
WHERE c.id = $1 AND m.repository_id = r.id AND m.branch = coalesce(nullif(c.branch, r.default_branch), '')
  AND m.project_dir = coalesce(c.project_dir, m.project_dir);

-- name: removals
SELECT branch, project_dir FROM removals WHERE repository_id = $1 ORDER BY branch, project_dir;

-- name: branches
-- Branches that are set explicitly, each with its ETag if all its connections have the same.
SELECT branch, CASE WHEN count(*) = count(head_etag) THEN min(head_etag) END AS etag
FROM connections WHERE repository_id = $1 AND branch IS NOT NULL AND hidden_at IS NULL GROUP BY branch ORDER BY branch;

-- name: set_etag
UPDATE connections SET head_etag = $3 WHERE repository_id = $1 AND branch = $2 AND hidden_at IS NULL;

-- name: hide_without_project
-- The first extraction found no project. A connection that was created through the API stays, and shows the reason.
UPDATE connections c SET hidden_at = now()
WHERE c.id = $1 AND c.project_dir IS NULL AND NOT c.by_hand AND c.hidden_at IS NULL AND NOT EXISTS (
  SELECT FROM extractions e JOIN repositories r ON r.id = c.repository_id
  WHERE e.connection_id = c.id AND e.status IN ('queued', 'running') AND e.id <> $2 AND NOT e.background AND e.branch = coalesce(c.branch, r.default_branch));

-- name: hide
UPDATE connections SET hidden_at = now() WHERE id = $1 AND hidden_at IS NULL;

-- name: move
UPDATE connections SET project_dir = $2 WHERE id = $1;

-- name: move_head
-- The ETag belongs to the previous head: keeping it would hide a branch that is reset to that commit.
WITH moving AS (
  SELECT c.id, head.sha, r.id AS repository_id, coalesce(c.branch = r.default_branch, true) AS "default"
  FROM unnest($1::uuid[], $2::text[]) AS head (id, sha)
  JOIN connections c ON c.id = head.id JOIN repositories r ON r.id = c.repository_id
  WHERE c.head_sha IS DISTINCT FROM head.sha
), marked AS (
  UPDATE repositories SET head_moved = true WHERE id IN (SELECT repository_id FROM moving WHERE "default") AND NOT head_moved
)
UPDATE connections c SET head_sha = moving.sha, head_etag = NULL FROM moving WHERE c.id = moving.id;

-- name: set_project
-- A connection created by a push learns its directory from its first extraction, unless another connection of the branch has it.
UPDATE connections c
SET project_name = coalesce($3, project_name),
    project_dir = coalesce(project_dir, CASE WHEN NOT EXISTS (
      SELECT FROM connections o WHERE o.repository_id = c.repository_id AND o.id <> c.id AND o.hidden_at IS NULL
        AND coalesce(o.project_dir, '') = $2 AND coalesce(o.branch, '') = coalesce(c.branch, '')) THEN $2 END)
WHERE id = $1;

-- name: counts
-- Nodes of each type in the lineages of some connections, as their extractions counted them.
SELECT c.id, e.result->'counts' AS counts
FROM connections c JOIN lineages l ON l.id = c.lineage_id JOIN extractions e ON e.id = l.extraction_id
WHERE c.id = ANY($1::uuid[]);
