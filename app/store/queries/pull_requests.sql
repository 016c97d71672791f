-- name: record
-- No row if a newer state is known.
INSERT INTO pull_requests AS p (repository_id, number, head_sha, branch, base_branch, draft, open, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (repository_id, number) DO UPDATE
SET head_sha = excluded.head_sha, branch = excluded.branch, base_branch = excluded.base_branch, draft = excluded.draft,
    open = excluded.open, updated_at = excluded.updated_at
WHERE p.updated_at <= excluded.updated_at
RETURNING number;

-- name: has_open
SELECT EXISTS (SELECT FROM pull_requests WHERE repository_id = $1 AND branch = $2 AND open);

-- name: base_branch_of
-- Of several pull requests with this head: an open one, then one of this very commit ($3), then the one to the followed branch ($4), then
-- the one with the lowest number. A closed one counts for the commit with which it was closed.
SELECT base_branch, number FROM pull_requests
WHERE repository_id = $1 AND branch = $2 AND (open OR head_sha = $3)
ORDER BY open DESC, head_sha = $3 DESC, base_branch IS NOT DISTINCT FROM $4 DESC, number LIMIT 1;

-- name: purge
-- Those that were closed more than $1 ago, at most $2.
DELETE FROM pull_requests WHERE (repository_id, number) IN (
  SELECT repository_id, number FROM pull_requests WHERE NOT open AND updated_at < now() - $1::interval ORDER BY updated_at LIMIT $2);
