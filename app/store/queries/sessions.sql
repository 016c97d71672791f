-- name: create
INSERT INTO sessions (digest, user_id, login, tokens, tokens_expire_at, expires_at)
VALUES ($1, $2, $3, $4, $5, now() + $6::interval);

-- name: find
SELECT digest, user_id, login, tokens, version, tokens_expire_at, expires_at, used_at < now() - $3::interval AS is_old_use
FROM sessions
WHERE digest = $1 AND expires_at > now() AND used_at > now() - $2::interval;

-- name: note_use
-- Without waiting for a renewal: it lasts as long as GitHub's answer.
UPDATE sessions SET used_at = now() WHERE digest = (SELECT digest FROM sessions WHERE digest = $1 FOR UPDATE SKIP LOCKED);

-- name: lock
SELECT digest, user_id, login, tokens, version, tokens_expire_at, expires_at FROM sessions WHERE digest = $1 AND expires_at > now() FOR UPDATE;

-- name: renew
UPDATE sessions SET tokens = $2, tokens_expire_at = $3, version = version + 1 WHERE digest = $1
RETURNING digest, user_id, login, tokens, version, tokens_expire_at, expires_at;

-- name: end
DELETE FROM sessions WHERE digest = $1 AND ($2::integer IS NULL OR version = $2);

-- name: end_user
DELETE FROM sessions WHERE user_id = $1;

-- name: delete_ended
DELETE FROM sessions WHERE expires_at <= now() OR used_at <= now() - $1::interval;
