-- name: install
INSERT INTO installations (id, account, account_type) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET account = excluded.account, account_type = excluded.account_type;

-- name: uninstall
UPDATE installations SET deleted_at = now() WHERE id = $1 AND deleted_at IS NULL;

-- name: add_repository
-- A repository can move from one installation to another, and come back.
INSERT INTO repositories (id, installation_id, full_name, private, default_branch, look_at)
VALUES ($1, $2, $3, $4, $5, now())
ON CONFLICT (id) DO UPDATE
SET installation_id = excluded.installation_id, full_name = excluded.full_name, private = excluded.private,
    default_branch = coalesce(excluded.default_branch, repositories.default_branch), removed_at = NULL, look_at = now(), look_attempts = 0;

-- name: remove_repositories
-- The installation is named so that a late event cannot remove what has moved to another one.
UPDATE repositories SET removed_at = now(), look_at = NULL WHERE installation_id = $1 AND id = ANY($2::bigint[]);

-- name: see_installation
-- A push can come before, or without, the event that tells of its installation.
INSERT INTO installations (id, account, account_type) VALUES ($1, $2, 'User') ON CONFLICT (id) DO NOTHING;

-- name: see_repository
-- Nothing is returned when the repository was taken out, or its installation deleted: a late push then says nothing new.
INSERT INTO repositories AS r (id, installation_id, full_name, private, default_branch)
SELECT $1, $2, $3, $4, $5 FROM installations WHERE id = $2 AND deleted_at IS NULL
ON CONFLICT (id) DO UPDATE
SET full_name = excluded.full_name, private = excluded.private, installation_id = excluded.installation_id,
    default_branch = coalesce(excluded.default_branch, r.default_branch)
WHERE r.removed_at IS NULL
RETURNING r.id;

-- name: claim_look
-- The next repository that GitHub is to be asked about; a look that was cut short comes again after a minute.
UPDATE repositories r SET look_at = now() + interval '1 minute', look_attempts = look_attempts + 1
FROM (
  SELECT r.id FROM repositories r JOIN installations i ON i.id = r.installation_id
  WHERE r.look_at <= now() AND r.removed_at IS NULL AND i.deleted_at IS NULL
  ORDER BY r.look_at LIMIT 1 FOR UPDATE OF r SKIP LOCKED
) due
WHERE r.id = due.id
RETURNING r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private, r.look_attempts;

-- name: look_done
UPDATE repositories SET default_branch = coalesce($2, default_branch), look_at = $3 WHERE id = $1;
