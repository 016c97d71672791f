-- name: make
INSERT INTO keys (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING;

-- name: of
SELECT value FROM keys WHERE name = $1;
