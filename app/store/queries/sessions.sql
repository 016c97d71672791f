-- name: create
INSERT INTO sessions (digest, user_id, login, tokens, tokens_expire_at, expires_at)
VALUES ($1, $2, $3, $4, $5, now() + $6::interval);

-- name: find
-- $4: how long it counts what GitHub said about operators.
SELECT digest, user_id, login, tokens, version, tokens_expire_at, expires_at, used_at < now() - $3::interval AS is_old_use,
       CASE WHEN operator_asked_at > now() - $4::interval THEN is_operator END AS is_operator
FROM sessions
WHERE digest = $1 AND expires_at > now() AND used_at > now() - $2::interval;

-- name: note_use
-- Without waiting for a renewal: it lasts as long as GitHub's answer.
UPDATE sessions SET used_at = now() WHERE digest = (SELECT digest FROM sessions WHERE digest = $1 FOR UPDATE SKIP LOCKED);

-- name: note_operator
-- Without waiting, as above.
UPDATE sessions SET is_operator = $2, operator_asked_at = now()
WHERE digest = (SELECT digest FROM sessions WHERE digest = $1 FOR UPDATE SKIP LOCKED);

-- name: lock
SELECT digest, user_id, login, tokens, version, tokens_expire_at, expires_at, NULL::boolean AS is_operator FROM sessions WHERE digest = $1 AND expires_at > now() FOR UPDATE;

-- name: renew
UPDATE sessions SET tokens = $2, tokens_expire_at = $3, version = version + 1 WHERE digest = $1
RETURNING digest, user_id, login, tokens, version, tokens_expire_at, expires_at, NULL::boolean AS is_operator;

-- name: end
DELETE FROM sessions WHERE digest = $1 AND ($2::integer IS NULL OR version = $2);

-- name: end_user
DELETE FROM sessions WHERE user_id = $1;

-- name: take_user
-- The same, and the newest $2 of them that have not reached their end.
WITH ended AS (
  DELETE FROM sessions WHERE user_id = $1
  RETURNING digest, user_id, login, tokens, version, tokens_expire_at, expires_at, NULL::boolean AS is_operator, created_at
)
SELECT * FROM ended WHERE expires_at > now() ORDER BY created_at DESC, digest LIMIT $2;

-- name: delete_ended
DELETE FROM sessions WHERE expires_at <= now() OR used_at <= now() - $1::interval;
