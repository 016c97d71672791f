-- Which tables the sources of each connection's current lineage are, by owner: who reads a table is found without reading lineages.

CREATE TABLE source_relations (
  connection_id uuid NOT NULL REFERENCES connections ON DELETE CASCADE,
  node_id bigint NOT NULL,
  -- Where the repository was when the row was written; statements compare with the repository.
  installation_id bigint NOT NULL,
  -- A digest, because a stranger's name may be too long for an index.
  relation bytea NOT NULL,
  PRIMARY KEY (connection_id, node_id)
);
CREATE INDEX source_relations_read ON source_relations (relation, installation_id);

-- The sources of a connection, old versions too, among many more nodes.
CREATE INDEX nodes_sources ON nodes (connection_id) WHERE resource_type = 'source';

-- The same as `lineage.impact.tables.search_key`: without quotes, in lower case (of ASCII, whatever the database's locale). Different tables
-- can have the same key; whether names are those of one table is decided by who reads them.
CREATE FUNCTION relation_key(name text) RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT substr(sha256(convert_to(lower(translate(name, '"`[]', '') COLLATE "C"), 'UTF8')), 1, 16)
$$;

-- What is already there stays, and its content is not read: most commits change no source.
CREATE FUNCTION list_source_relations(connection uuid, lineage bigint) RETURNS void LANGUAGE sql AS $$
  WITH sources AS MATERIALIZED (
    SELECT id FROM nodes WHERE connection_id = connection AND resource_type = 'source'
  ), members AS MATERIALIZED (
    SELECT id FROM sources INTERSECT SELECT unnest(node_ids) FROM lineages WHERE id = lineage
  ), gone AS (
    DELETE FROM source_relations WHERE connection_id = connection AND node_id NOT IN (SELECT id FROM members)
  ), come AS MATERIALIZED (
    SELECT id FROM members WHERE id NOT IN (SELECT node_id FROM source_relations WHERE connection_id = connection)
  )
  INSERT INTO source_relations (connection_id, node_id, installation_id, relation)
  SELECT connection, n.id, r.installation_id, relation_key(n.content ->> 'relation_name')
  FROM come JOIN nodes n USING (id) JOIN connections c ON c.id = n.connection_id JOIN repositories r ON r.id = c.repository_id
  WHERE n.content ->> 'relation_name' IS NOT NULL
$$;

-- However a connection gets another lineage, or its lineage other nodes, the database itself keeps the list.
CREATE FUNCTION connection_has_lineage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM list_source_relations(NEW.id, NEW.lineage_id);
  RETURN NULL;
END $$;
CREATE TRIGGER connection_sources AFTER UPDATE OF lineage_id ON connections FOR EACH ROW EXECUTE FUNCTION connection_has_lineage();

CREATE FUNCTION lineage_has_nodes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM list_source_relations(c.id, NEW.id) FROM connections c WHERE c.lineage_id = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER lineage_sources AFTER UPDATE OF node_ids ON lineages
  FOR EACH ROW WHEN (OLD.node_ids IS DISTINCT FROM NEW.node_ids) EXECUTE FUNCTION lineage_has_nodes();

CREATE FUNCTION sources_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE source_relations s SET installation_id = NEW.installation_id
  FROM connections c WHERE c.repository_id = NEW.id AND s.connection_id = c.id;
  RETURN NULL;
END $$;
CREATE TRIGGER repository_sources AFTER UPDATE OF installation_id ON repositories
  FOR EACH ROW WHEN (OLD.installation_id <> NEW.installation_id) EXECUTE FUNCTION sources_moved();

SELECT list_source_relations(id, lineage_id) FROM connections WHERE lineage_id IS NOT NULL;
