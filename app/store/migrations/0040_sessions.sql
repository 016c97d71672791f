-- People who are signed in. `digest` is the SHA-256 of the cookie; `tokens` are encrypted with a key that the database does not have.
CREATE TABLE sessions (
  digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
  user_id bigint NOT NULL,
  login text NOT NULL,
  tokens bytea NOT NULL,
  version integer NOT NULL DEFAULT 1,
  tokens_expire_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  used_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_end ON sessions (expires_at);
