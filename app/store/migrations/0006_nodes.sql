-- What changed in a node is told by its parts. Rows from before have none: what can be told of them is what `content` holds.
ALTER TABLE nodes
  ADD COLUMN sql_hash bytea,
  ADD COLUMN config_hash bytea;
