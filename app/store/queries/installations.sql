-- name: install
INSERT INTO installations (id, account, account_type, repository_selection) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE
SET account = coalesce(nullif(excluded.account, ''), installations.account), account_type = excluded.account_type,
    repository_selection = excluded.repository_selection, survey_at = now();

-- name: uninstall
UPDATE installations SET deleted_at = now(), survey_at = NULL WHERE id = $1 AND deleted_at IS NULL;

-- name: sync_installation
-- GitHub's list overrides what events have said.
INSERT INTO installations (id, account, account_type, repository_selection, suspended_at, survey_at)
VALUES ($1, $2, $3, $4, CASE WHEN $5::boolean THEN now() END, CASE WHEN NOT $5 THEN now() END)
ON CONFLICT (id) DO UPDATE
SET account = excluded.account, account_type = excluded.account_type, repository_selection = excluded.repository_selection,
    suspended_at = CASE WHEN $5 THEN coalesce(installations.suspended_at, now()) END, deleted_at = NULL,
    survey_at = CASE WHEN NOT $5 THEN now() END;

-- name: resumed
-- Repositories with a connection, of those of installations $1 that were suspended until now: what was extracted may have failed.
SELECT r.id FROM installations i JOIN repositories r ON r.installation_id = i.id
WHERE i.id = ANY($1::bigint[]) AND i.suspended_at IS NOT NULL AND r.removed_at IS NULL
  AND EXISTS (SELECT FROM connections c WHERE c.repository_id = r.id);

-- name: uninstall_others
-- Installations that GitHub does not list, except those created since the listing began.
UPDATE installations SET deleted_at = now(), survey_at = NULL
WHERE deleted_at IS NULL AND created_at < $2 AND NOT id = ANY($1::bigint[])
RETURNING id;

-- name: claim_survey
-- The next installation whose repositories are due to be listed. An interrupted survey is repeated after $1.
UPDATE installations i SET survey_at = now() + $1::interval
FROM (
  SELECT id FROM installations WHERE survey_at <= now() AND deleted_at IS NULL ORDER BY survey_at LIMIT 1 FOR UPDATE SKIP LOCKED
) due
WHERE i.id = due.id
RETURNING i.id, i.suspended_at IS NOT NULL AS suspended;

-- name: finish_survey
UPDATE installations SET survey_at = $2 WHERE id = $1 AND deleted_at IS NULL;

-- name: resume_check_runs
-- Send the check runs that could not be sent while the installation was suspended.
UPDATE check_runs k SET abandoned = NULL, attempts = 0, due_at = now()
FROM extractions e JOIN connections c ON c.id = e.connection_id JOIN repositories r ON r.id = c.repository_id
WHERE k.extraction_id = e.id AND k.abandoned = 'suspended' AND r.installation_id = $1;

-- name: sync_repositories
-- A look is due for new repositories, for those pushed to since, and once an hour for those with a connection; at those pushed to last
-- first, in steps of a microsecond.
INSERT INTO repositories AS r (id, installation_id, full_name, private, default_branch, archived, pushed_at, listed_at, look_at)
SELECT id, $1, full_name, private, default_branch, archived, pushed_at, now(),
       CASE WHEN NOT archived THEN now() + interval '1 microsecond' * row_number() OVER (ORDER BY pushed_at DESC NULLS LAST, id) END
FROM unnest($2::bigint[], $3::text[], $4::boolean[], $5::text[], $6::boolean[], $7::timestamptz[])
  AS listed (id, full_name, private, default_branch, archived, pushed_at)
ON CONFLICT (id) DO UPDATE
SET installation_id = excluded.installation_id, full_name = excluded.full_name, private = excluded.private,
    default_branch = excluded.default_branch, archived = excluded.archived, pushed_at = excluded.pushed_at, removed_at = NULL,
    listed_at = now(), look_attempts = 0,
    head_etag = CASE WHEN r.default_branch IS NOT DISTINCT FROM excluded.default_branch THEN r.head_etag END,
    look_at = CASE
      WHEN r.looked_at IS NULL OR r.removed_at IS NOT NULL OR r.pushed_at IS DISTINCT FROM excluded.pushed_at
        OR r.default_branch IS DISTINCT FROM excluded.default_branch
        OR (r.looked_at < now() - $8::interval AND EXISTS (SELECT FROM connections c WHERE c.repository_id = r.id))
      THEN least(r.look_at, coalesce(excluded.look_at, now())) ELSE r.look_at END;

-- name: remove_other_repositories
UPDATE repositories SET removed_at = now(), look_at = NULL
WHERE installation_id = $1 AND removed_at IS NULL AND created_at < $3 AND NOT id = ANY($2::bigint[])
RETURNING id;

-- name: add_repository
-- A repository can move to another installation, and back. $6: a look is due now, otherwise after the survey of the installation.
INSERT INTO repositories (id, installation_id, full_name, private, default_branch, look_at)
VALUES ($1, $2, $3, $4, $5, CASE WHEN $6::boolean THEN now() END)
ON CONFLICT (id) DO UPDATE
SET installation_id = excluded.installation_id, full_name = excluded.full_name, private = excluded.private,
    default_branch = coalesce(excluded.default_branch, repositories.default_branch), removed_at = NULL,
    look_at = excluded.look_at, looked_at = NULL, listed_at = NULL, look_attempts = 0, head_etag = NULL;

-- name: remove_repositories
-- The installation is part of the condition, so that a late event cannot remove a repository that has moved to another one.
UPDATE repositories SET removed_at = now(), look_at = NULL WHERE installation_id = $1 AND id = ANY($2::bigint[]);

-- name: add_installation
-- A push can arrive before, or without, the event for its installation.
INSERT INTO installations (id, account, account_type)
SELECT DISTINCT ON (id) id, account, 'User' FROM unnest($1::bigint[], $2::text[]) AS pushed (id, account)
WHERE NOT EXISTS (SELECT FROM installations i WHERE i.id = pushed.id) ORDER BY id
ON CONFLICT (id) DO NOTHING;

-- name: lock
-- In one order always, so that two processes do not wait for each other.
SELECT id FROM repositories WHERE id = ANY($1::bigint[]) ORDER BY id FOR NO KEY UPDATE;

-- name: lock_free
-- The same, but without waiting: the ids of those that another transaction has locked are returned.
WITH free AS MATERIALIZED (SELECT id FROM repositories WHERE id = ANY($1::bigint[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
SELECT id FROM repositories WHERE id = ANY($1) AND id NOT IN (SELECT id FROM free);

-- name: update_from_push
-- No row if the repository was removed or its installation deleted: the push is late.
INSERT INTO repositories AS r (id, installation_id, full_name, private, default_branch)
SELECT pushed.* FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::boolean[], $5::text[])
  AS pushed (id, installation_id, full_name, private, default_branch)
JOIN installations i ON i.id = pushed.installation_id AND i.deleted_at IS NULL
ORDER BY pushed.id
ON CONFLICT (id) DO UPDATE
SET full_name = excluded.full_name, private = excluded.private, installation_id = excluded.installation_id,
    default_branch = coalesce(excluded.default_branch, r.default_branch)
WHERE r.removed_at IS NULL AND EXISTS (SELECT FROM installations WHERE id = excluded.installation_id AND deleted_at IS NULL)
RETURNING r.id;

-- name: look_soon
-- Forget the ETags of its heads, so that nothing counts as unchanged.
WITH forgotten AS (UPDATE connections SET head_etag = NULL WHERE repository_id = ANY($1::bigint[]) AND head_etag IS NOT NULL)
UPDATE repositories SET look_at = now() - interval '1 hour', look_attempts = 0, head_etag = NULL, listed_at = NULL
WHERE id = ANY($1) AND removed_at IS NULL;

-- name: look_after_push
-- A push to a repository without a connection may bring a dbt project. Looks that somebody waits for are dated back, so they come first.
UPDATE repositories SET look_at = now() - interval '1 hour', look_attempts = 0 WHERE id = $1 AND removed_at IS NULL;

-- name: may_report_missing_project
-- Somebody chose this repository for the App, and no push was answered yet that it has no dbt project.
SELECT i.repository_selection = 'selected' AND r.missing_project_at IS NULL
FROM repositories r JOIN installations i ON i.id = r.installation_id WHERE r.id = $1;

-- name: record_missing_project
UPDATE repositories SET missing_project_at = coalesce(missing_project_at, now()) WHERE id = $1;

-- name: repository_by_name
-- A name may have passed to another repository without an event yet: the newer repository has it.
SELECT r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private
FROM repositories r JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
WHERE lower(r.full_name COLLATE "C") = lower($1 COLLATE "C") AND r.removed_at IS NULL
ORDER BY r.id DESC LIMIT 1;

-- name: mark_private
UPDATE repositories SET private = true WHERE id = $1;

-- name: claim_look
-- The next repository that is due for a look. An interrupted look is repeated after $1: until then, `look_at` identifies the claim. Without
-- the ETag of a head that failed because of Freshet, so that it is extracted again.
UPDATE repositories r SET look_at = now() + $1::interval, look_attempts = look_attempts + 1
FROM (
  SELECT r.id FROM repositories r JOIN installations i ON i.id = r.installation_id
  WHERE r.look_at <= now() AND r.removed_at IS NULL AND i.deleted_at IS NULL AND i.suspended_at IS NULL
  ORDER BY r.look_at LIMIT 1 FOR UPDATE OF r SKIP LOCKED
) due
WHERE r.id = due.id
RETURNING r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private, r.look_attempts,
          CASE WHEN NOT r.head_moved AND NOT EXISTS (
            SELECT FROM connections c JOIN extractions e ON e.connection_id = c.id AND e.sha = c.head_sha
            LEFT JOIN lineages l ON l.id = c.lineage_id
            WHERE c.repository_id = r.id AND e.status = 'failed' AND e.problem->>'conclusion' = 'neutral' AND l.sha IS DISTINCT FROM c.head_sha
          ) THEN r.head_etag END AS head_etag, r.listed_at IS NOT NULL AS listed, r.look_at;

-- name: postpone_look
-- A wait that GitHub asked for does not count as an attempt. No effect if another look became due since the claim ($4).
UPDATE repositories SET look_at = $2, look_attempts = look_attempts - CASE WHEN $3 THEN 1 ELSE 0 END WHERE id = $1 AND look_at = $4;

-- name: record_look
-- A look that became due since the claim ($6) stays due.
UPDATE repositories
SET full_name = $2, private = $3, default_branch = coalesce($4, default_branch), head_etag = $5, head_moved = false, looked_at = now(),
    listed_at = coalesce(listed_at, now()), look_at = nullif(look_at, $6), look_attempts = 0
WHERE id = $1;

-- name: record_unchanged
UPDATE repositories SET looked_at = now(), look_at = nullif(look_at, $2), look_attempts = 0 WHERE id = $1;

-- name: claim_chore
-- One of all processes claims a chore, under a lease of $3; it is then not due for a while.
UPDATE chores SET due_at = now() + $2::interval, lease_until = now() + $3::interval, claims = claims + 1
WHERE name = $1 AND due_at <= now() AND (lease_until IS NULL OR lease_until < now()) RETURNING claims;

-- name: renew_chore
UPDATE chores SET lease_until = now() + $3::interval WHERE name = $1 AND claims = $2;

-- name: finish_chore
UPDATE chores SET lease_until = NULL WHERE name = $1 AND claims = $2;

-- name: make_chores_due
UPDATE chores SET due_at = now() WHERE due_at > now();

-- name: retry_chore
UPDATE chores SET due_at = least(due_at, now() + $2::interval) WHERE name = $1;

-- name: purge_repositories
DELETE FROM repositories WHERE id IN (
  SELECT r.id FROM (
    SELECT id FROM repositories WHERE removed_at < now() - $1::interval
    UNION
    SELECT r.id FROM installations i JOIN repositories r ON r.installation_id = i.id WHERE i.deleted_at < now() - $1::interval
  ) r
  WHERE NOT EXISTS (SELECT FROM connections c WHERE c.repository_id = r.id) LIMIT $2
)
RETURNING id;

-- name: purge_installations
DELETE FROM installations i
WHERE i.deleted_at < now() - $1::interval AND NOT EXISTS (SELECT FROM repositories r WHERE r.installation_id = i.id)
RETURNING i.id;
