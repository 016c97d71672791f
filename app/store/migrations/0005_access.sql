-- GitHub told of something that changes who may see or do what: every process forgets what it knew of that.
CREATE FUNCTION access_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('freshet_access', '');
  RETURN NULL;
END $$;

CREATE TRIGGER delivery_changes_access AFTER INSERT ON deliveries
  FOR EACH ROW WHEN (NEW.event IN ('installation', 'installation_repositories', 'repository')) EXECUTE FUNCTION access_changed();
