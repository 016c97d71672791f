-- Which tables each connection's current lineage makes, and which node is which, by owner: what leads from one project to another is found
-- without reading lineages.

CREATE TABLE made_tables (
  connection_id uuid NOT NULL REFERENCES connections ON DELETE CASCADE,
  node_id bigint NOT NULL,
  -- Where the repository was when the row was written; statements compare with the repository.
  installation_id bigint NOT NULL,
  -- Of the node's unique_id: projects that have another one as a package have its nodes.
  node bytea NOT NULL,
  -- As in `source_relations`; NULL: the node makes no table, or its name is not known.
  relation bytea,
  PRIMARY KEY (connection_id, node_id)
);
CREATE INDEX made_tables_relation ON made_tables (relation, installation_id) WHERE relation IS NOT NULL;
CREATE INDEX made_tables_node ON made_tables (node, installation_id);

-- The nodes of a connection that can make a table, old versions too, among all others.
CREATE INDEX nodes_makers ON nodes (connection_id, id) WHERE resource_type IN ('model', 'seed', 'snapshot');

-- The same as `lineage.organisation.join_rules.node_key`.
CREATE FUNCTION node_key(unique_id text) RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT substr(sha256(convert_to(unique_id, 'UTF8')), 1, 16)
$$;

-- What is already there stays, and its content is not read: a push changes few nodes.
CREATE FUNCTION list_made_tables(connection uuid, lineage bigint) RETURNS void LANGUAGE sql AS $$
  WITH members AS MATERIALIZED (
    SELECT id FROM nodes WHERE connection_id = connection AND resource_type IN ('model', 'seed', 'snapshot')
    INTERSECT SELECT unnest(node_ids) FROM lineages WHERE id = lineage
  ), gone AS (
    DELETE FROM made_tables WHERE connection_id = connection AND node_id NOT IN (SELECT id FROM members)
  ), come AS MATERIALIZED (
    SELECT id FROM members WHERE id NOT IN (SELECT node_id FROM made_tables WHERE connection_id = connection)
  )
  INSERT INTO made_tables (connection_id, node_id, installation_id, node, relation)
  SELECT connection, n.id, r.installation_id, node_key(n.unique_id),
         CASE WHEN n.content ->> 'materialized' IS DISTINCT FROM 'ephemeral' THEN relation_key(n.content ->> 'relation_name') END
  FROM come JOIN nodes n USING (id) JOIN connections c ON c.id = n.connection_id JOIN repositories r ON r.id = c.repository_id
$$;

-- Of several connections of one project, the one that follows the repository's default branch counts, or else the oldest one.
CREATE FUNCTION stands_for_project(connection uuid, repository bigint, directory text, default_branch text) RETURNS boolean
LANGUAGE sql STABLE AS $$
  SELECT connection = (
    SELECT k.id FROM connections k
    WHERE k.repository_id = repository AND coalesce(k.project_dir, '') = coalesce(directory, '')
      AND k.hidden_at IS NULL AND k.lineage_id IS NOT NULL
    ORDER BY coalesce(k.branch, default_branch) IS DISTINCT FROM default_branch, k.created_at, k.id LIMIT 1)
$$;

CREATE OR REPLACE FUNCTION connection_has_lineage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM list_source_relations(NEW.id, NEW.lineage_id);
  PERFORM list_made_tables(NEW.id, NEW.lineage_id);
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION lineage_has_nodes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM list_source_relations(c.id, NEW.id), list_made_tables(c.id, NEW.id) FROM connections c WHERE c.lineage_id = NEW.id;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION sources_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE source_relations s SET installation_id = NEW.installation_id
  FROM connections c WHERE c.repository_id = NEW.id AND s.connection_id = c.id;
  UPDATE made_tables m SET installation_id = NEW.installation_id
  FROM connections c WHERE c.repository_id = NEW.id AND m.connection_id = c.id;
  RETURN NULL;
END $$;

SELECT list_made_tables(id, lineage_id) FROM connections WHERE lineage_id IS NOT NULL;
