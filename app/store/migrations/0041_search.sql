-- What nodes are found by: an index of words for each connection, so that nobody's search reads what others have. It follows the current
-- lineages of connections a moment later: `search_updates` says of which.

-- A node of a connection's lineage with its words (`lineage.search.entries`), from which the words that are gone are known later.
CREATE TABLE search_nodes (
  connection_id uuid NOT NULL REFERENCES connections ON DELETE CASCADE,
  node_id bigint NOT NULL,
  -- The row of `node_columns` whose columns are among the words.
  columns_id bigint,
  hit bigint NOT NULL,
  words tsvector NOT NULL,
  PRIMARY KEY (connection_id, node_id)
);

-- For several words of which each is common.
CREATE INDEX search_nodes_words ON search_nodes USING gin (words) WITH (fastupdate = off);

-- The nodes of a connection that have a word: their hits (rank and id in one number), the best first.
CREATE TABLE search_words (
  connection_id uuid NOT NULL REFERENCES connections ON DELETE CASCADE,
  word text COLLATE "C" NOT NULL,
  hits bigint[] NOT NULL,
  best bigint GENERATED ALWAYS AS (hits[1]) STORED,
  size integer GENERATED ALWAYS AS (cardinality(hits)) STORED,
  PRIMARY KEY (connection_id, word)
);
-- For those who may see many connections.
CREATE INDEX search_words_all ON search_words (word, connection_id) INCLUDE (best, size);

-- Everybody may see these.
CREATE INDEX repositories_public ON repositories (id) WHERE NOT private;

-- Connections whose words are behind their lineage. No foreign key: its check would lock a connection that is being stored.
CREATE TABLE search_updates (
  connection_id uuid PRIMARY KEY,
  due_at timestamptz NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  lease_until timestamptz
);
CREATE INDEX search_updates_due ON search_updates (due_at);

CREATE FUNCTION search_update_due(connection uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO search_updates AS u (connection_id, due_at) VALUES (connection, clock_timestamp())
  ON CONFLICT (connection_id) DO UPDATE SET due_at = clock_timestamp(), attempts = 0;
  PERFORM pg_notify('freshet_search', '');
END $$;

-- However a connection gets another lineage, or its lineage other nodes or columns.
CREATE FUNCTION search_connection_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM search_update_due(NEW.id);
  RETURN NULL;
END $$;
CREATE TRIGGER connection_search AFTER UPDATE OF lineage_id ON connections
  FOR EACH ROW WHEN (OLD.lineage_id IS DISTINCT FROM NEW.lineage_id) EXECUTE FUNCTION search_connection_changed();

CREATE FUNCTION search_lineage_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM search_update_due(c.id) FROM connections c WHERE c.id = NEW.connection_id AND c.lineage_id = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER lineage_search AFTER UPDATE OF node_ids, column_ids, columns_state ON lineages
  FOR EACH ROW WHEN (OLD.node_ids IS DISTINCT FROM NEW.node_ids OR OLD.column_ids IS DISTINCT FROM NEW.column_ids
                     OR OLD.columns_state IS DISTINCT FROM NEW.columns_state)
  EXECUTE FUNCTION search_lineage_changed();

-- Lineages from before, one after the other once the service runs. The newest update is done first, so pushes do not wait for these.
INSERT INTO search_updates (connection_id, due_at) SELECT id, '2000-01-01' FROM connections WHERE lineage_id IS NOT NULL;
