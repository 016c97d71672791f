-- Check runs that were given up because their repository or installation was gone are sent once it is back: otherwise they would stay open.
CREATE FUNCTION resume_check_runs(of_repository bigint) RETURNS void LANGUAGE sql AS $$
  UPDATE check_runs SET abandoned = NULL, attempts = 0, due_at = now(),
    installation_id = (SELECT r.installation_id FROM repositories r WHERE r.id = of_repository)
  WHERE repository_id = of_repository AND sent < revision AND abandoned NOT LIKE 'not sent: %'
$$;

CREATE FUNCTION repository_returned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM resume_check_runs(NEW.id);
  PERFORM pg_notify('freshet_checks', '');
  RETURN NULL;
END $$;
CREATE TRIGGER repository_returned AFTER UPDATE OF removed_at, installation_id ON repositories FOR EACH ROW
  WHEN (NEW.removed_at IS NULL AND (OLD.removed_at IS NOT NULL OR OLD.installation_id <> NEW.installation_id))
  EXECUTE FUNCTION repository_returned();

CREATE FUNCTION installation_returned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM resume_check_runs(id) FROM repositories WHERE installation_id = NEW.id AND removed_at IS NULL;
  PERFORM pg_notify('freshet_checks', '');
  RETURN NULL;
END $$;
CREATE TRIGGER installation_returned AFTER UPDATE OF deleted_at ON installations FOR EACH ROW
  WHEN (NEW.deleted_at IS NULL AND OLD.deleted_at IS NOT NULL) EXECUTE FUNCTION installation_returned();

CREATE INDEX check_runs_abandoned ON check_runs (repository_id) WHERE sent < revision AND abandoned IS NOT NULL;
