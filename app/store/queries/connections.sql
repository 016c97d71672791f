-- name: lock_repository
-- Whoever makes connections of a repository does so one at a time.
SELECT id FROM repositories WHERE id = $1 FOR UPDATE;

-- name: of_repository
SELECT c.id, c.project_dir, c.branch, c.by_hand, c.project_name, c.head_sha, c.stale_since, c.signed_series, c.created_at, c.lineage_id,
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
SELECT c.id, c.project_dir, c.branch, c.by_hand, c.project_name, c.head_sha, c.stale_since, c.signed_series, c.created_at, c.lineage_id,
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
  WHERE e.connection_id = page.id AND e.sha = page.head_sha ORDER BY e.number DESC LIMIT 1
) h ON l.sha IS DISTINCT FROM page.head_sha
ORDER BY page.listed_as, page.id;

-- name: create
-- $1 repository, $2 directory, $3 branch, $4 by hand. One that was hidden comes back with its history, the one that went last.
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
-- Another branch has another order of pushes, and another directory holds another project: then there is no lineage of it yet.
UPDATE connections SET project_dir = $2, branch = $3, by_hand = $4, head_etag = NULL, lineage_number = 0,
  lineage_id = CASE WHEN project_dir IS NOT DISTINCT FROM $2 THEN lineage_id END
WHERE id = $1;

-- name: remove
UPDATE connections SET hidden_at = now(), signed_series = signed_series + 1 WHERE id = $1 AND hidden_at IS NULL;

-- name: pass_over
-- What the connection is of does not get another one by itself.
INSERT INTO removals (repository_id, branch, project_dir)
SELECT r.id, coalesce(nullif(c.branch, r.default_branch), ''), coalesce(c.project_dir, '')
FROM connections c JOIN repositories r ON r.id = c.repository_id WHERE c.id = $1
ON CONFLICT DO NOTHING;

-- name: take_up
-- What the connection is of is wanted again; of one that does not know its project yet, that is whatever its branch holds.
DELETE FROM removals m USING connections c JOIN repositories r ON r.id = c.repository_id
WHERE c.id = $1 AND m.repository_id = r.id AND m.branch = coalesce(nullif(c.branch, r.default_branch), '')
  AND m.project_dir = coalesce(c.project_dir, m.project_dir);

-- name: removed
SELECT branch, project_dir FROM removals WHERE repository_id = $1 ORDER BY branch, project_dir;

-- name: branches
-- Those that are set, each with its ETag if all its connections know it.
SELECT branch, CASE WHEN count(*) = count(head_etag) THEN min(head_etag) END AS etag
FROM connections WHERE repository_id = $1 AND branch IS NOT NULL AND hidden_at IS NULL GROUP BY branch ORDER BY branch;

-- name: keep_etag
UPDATE connections SET head_etag = $3 WHERE repository_id = $1 AND branch = $2 AND hidden_at IS NULL;

-- name: hide_unfound
-- The first extraction found no project. Who made the connection himself is told why, and keeps it.
UPDATE connections SET hidden_at = now() WHERE id = $1 AND project_dir IS NULL AND NOT by_hand AND hidden_at IS NULL;

-- name: hide
UPDATE connections SET hidden_at = now() WHERE id = $1 AND hidden_at IS NULL;

-- name: move
UPDATE connections SET project_dir = $2 WHERE id = $1;

-- name: move_head
-- The ETag of the head before says nothing of this one, and would hide it if the branch went back.
WITH moving AS (
  SELECT c.id, r.id AS repository_id, coalesce(c.branch = r.default_branch, true) AS "default"
  FROM connections c JOIN repositories r ON r.id = c.repository_id WHERE c.id = $1 AND c.head_sha IS DISTINCT FROM $2
), marked AS (
  UPDATE repositories SET head_moved = true WHERE id = (SELECT repository_id FROM moving WHERE "default") AND NOT head_moved
)
UPDATE connections SET head_sha = $2, head_etag = NULL WHERE id = (SELECT id FROM moving);

-- name: found_project
-- The first extraction of a connection made by a push finds out where the project is; no two connections of a branch are of one.
UPDATE connections c
SET project_name = coalesce($3, project_name),
    project_dir = coalesce(project_dir, CASE WHEN NOT EXISTS (
      SELECT FROM connections o WHERE o.repository_id = c.repository_id AND o.id <> c.id AND o.hidden_at IS NULL
        AND coalesce(o.project_dir, '') = $2 AND coalesce(o.branch, '') = coalesce(c.branch, '')) THEN $2 END)
WHERE id = $1;
