-- Made for 10,000 connections and a million extractions: what is asked often reads a bounded number of rows, and history ends.

-- Whose turn it is counts by installation. Of what has ended, it says where the repository was then.
ALTER TABLE extractions ADD COLUMN installation_id bigint;
UPDATE extractions e SET installation_id = r.installation_id
FROM connections c JOIN repositories r ON r.id = c.repository_id
WHERE c.id = e.connection_id AND e.status IN ('queued', 'running');

CREATE FUNCTION extraction_of_installation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.installation_id := (SELECT r.installation_id FROM connections c JOIN repositories r ON r.id = c.repository_id WHERE c.id = NEW.connection_id);
  RETURN NEW;
END $$;
CREATE TRIGGER extraction_installation BEFORE INSERT ON extractions FOR EACH ROW EXECUTE FUNCTION extraction_of_installation();

-- What waits or runs moves with its repository to another installation.
CREATE FUNCTION repository_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE extractions e SET installation_id = NEW.installation_id
  FROM connections c WHERE c.repository_id = NEW.id AND e.connection_id = c.id AND e.status IN ('queued', 'running');
  RETURN NULL;
END $$;
CREATE TRIGGER repository_installation AFTER UPDATE OF installation_id ON repositories
  FOR EACH ROW WHEN (OLD.installation_id <> NEW.installation_id) EXECUTE FUNCTION repository_moved();

-- The queue in its order, and by installation. No index of what runs holds what a heartbeat writes.
DROP INDEX extractions_queued;
DROP INDEX extractions_running;
CREATE INDEX extractions_waiting ON extractions (number) WHERE status IN ('queued', 'running');
CREATE INDEX extractions_queued ON extractions (installation_id, number) WHERE status = 'queued';
CREATE INDEX extractions_running ON extractions (connection_id) WHERE status = 'running';
CREATE INDEX extractions_of_branch ON extractions (connection_id, branch, number DESC);

-- The newest lineage of an input, however many commits had it.
DROP INDEX lineages_input;
CREATE INDEX lineages_input ON lineages (connection_id, input, id);

-- Deleting asks who refers to it.
CREATE INDEX lineages_extraction ON lineages (extraction_id);
CREATE INDEX connections_lineage ON connections (lineage_id);

-- Connections are listed by the names of their repositories: one index gives the order, and where a page or an owner begins and ends.
-- GitHub's names are ASCII, so their order is the same in every database.
ALTER TABLE connections ADD COLUMN listed_as text COLLATE "C" NOT NULL DEFAULT '';
UPDATE connections c SET listed_as = lower(r.full_name COLLATE "C") FROM repositories r WHERE r.id = c.repository_id;
CREATE INDEX connections_listed ON connections (listed_as, id) WHERE hidden_at IS NULL;

CREATE FUNCTION connection_of_repository() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.listed_as := (SELECT lower(full_name COLLATE "C") FROM repositories WHERE id = NEW.repository_id);
  RETURN NEW;
END $$;
CREATE TRIGGER connection_listed BEFORE INSERT ON connections FOR EACH ROW EXECUTE FUNCTION connection_of_repository();

CREATE FUNCTION repository_renamed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE connections SET listed_as = lower(NEW.full_name COLLATE "C") WHERE repository_id = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER repository_name AFTER UPDATE OF full_name ON repositories
  FOR EACH ROW WHEN (OLD.full_name <> NEW.full_name) EXECUTE FUNCTION repository_renamed();

-- Few rows of many, looked for often.
CREATE INDEX repositories_removed ON repositories (removed_at) WHERE removed_at IS NOT NULL;
CREATE INDEX connections_hidden ON connections (hidden_at) WHERE hidden_at IS NOT NULL;
CREATE INDEX check_runs_suspended ON check_runs (extraction_id) WHERE abandoned = 'suspended';
CREATE INDEX deliveries_received ON deliveries (received_at);

-- Lineages that were removed since the connection's nodes were last gone through.
ALTER TABLE connections ADD COLUMN lineages_removed integer NOT NULL DEFAULT 0;
INSERT INTO chores (name) VALUES ('history');

-- Rows that are written at every stage find room beside themselves, so that no index is touched (HOT); what a million rows would
-- gather until the usual fifth of them is dead would lie in the way of the queue.
ALTER TABLE extractions SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE check_runs SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE connections SET (fillfactor = 80);
