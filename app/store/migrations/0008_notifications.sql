-- Who is told when the lineage of a connection breaks, falls behind, or is well again.
CREATE TABLE subscriptions (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  connection_id uuid REFERENCES connections ON DELETE CASCADE,
  -- Of all its connections.
  installation_id bigint REFERENCES installations ON DELETE CASCADE,
  kind text NOT NULL CHECK (kind IN ('email', 'webhook')),
  address text NOT NULL,
  events text[] NOT NULL,
  -- What webhooks are signed with.
  secret text,
  paused boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  -- What began before is no news to it.
  since timestamptz NOT NULL DEFAULT now(),
  tested_at timestamptz,
  last_event text,
  last_outcome text,
  last_detail text,
  last_at timestamptz,
  CHECK (num_nonnulls(connection_id, installation_id) = 1)
);
CREATE UNIQUE INDEX subscriptions_connection ON subscriptions (connection_id, kind, address) WHERE connection_id IS NOT NULL;
CREATE UNIQUE INDEX subscriptions_installation ON subscriptions (installation_id, kind, address) WHERE installation_id IS NOT NULL;

-- The trouble that a subscription knows of; no row where all is well.
CREATE TABLE told (
  subscription_id uuid NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
  connection_id uuid NOT NULL REFERENCES connections ON DELETE CASCADE,
  event text NOT NULL CHECK (event IN ('failure', 'stale')),
  reason text NOT NULL,
  since timestamptz NOT NULL,
  PRIMARY KEY (subscription_id, connection_id)
);
CREATE INDEX told_connection ON told (connection_id);

-- Connections that are to be judged, and when: something happened, or nothing did for a while. No foreign key: its check would lock the
-- connection, which whoever stores a lineage has locked before he comes here.
CREATE TABLE watches (
  connection_id uuid PRIMARY KEY,
  due_at timestamptz NOT NULL DEFAULT now(),
  since timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX watches_due ON watches (due_at);

-- Messages that are to be sent; what was sent, or never will be, is deleted.
CREATE TABLE notices (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  subscription_id uuid NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
  connection_id uuid REFERENCES connections ON DELETE CASCADE,
  event text NOT NULL,
  extraction_id uuid,
  since timestamptz,
  before text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  attempts integer NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT now(),
  lease_until timestamptz
);
CREATE INDEX notices_due ON notices (due_at);
CREATE INDEX notices_subscription ON notices (subscription_id, connection_id);
CREATE INDEX notices_connection ON notices (connection_id);

-- The one way onto the list: a row that is there is locked, so that whoever judges just now cannot have looked too early.
CREATE FUNCTION watch_connection(watched uuid, of_installation bigint, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM subscriptions WHERE connection_id = watched)
     OR EXISTS (SELECT FROM subscriptions WHERE installation_id = of_installation) THEN
    INSERT INTO watches (connection_id, due_at) VALUES (watched, at)
    ON CONFLICT (connection_id) DO UPDATE SET due_at = least(watches.due_at, excluded.due_at);
  END IF;
END $$;

CREATE FUNCTION extraction_to_judge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM watch_connection(NEW.connection_id, (
    SELECT r.installation_id FROM connections c JOIN repositories r ON r.id = c.repository_id WHERE c.id = NEW.connection_id
  ), now());
  RETURN NULL;
END $$;
CREATE TRIGGER extraction_judged AFTER UPDATE OF status ON extractions FOR EACH ROW
  WHEN (NEW.status IN ('succeeded', 'failed') AND OLD.status <> NEW.status) EXECUTE FUNCTION extraction_to_judge();

-- Most commits are extracted within a minute of their coming; only of the others there may be something to tell.
CREATE FUNCTION head_to_judge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM watch_connection(NEW.id, (SELECT installation_id FROM repositories WHERE id = NEW.repository_id), now() + interval '1 minute');
  RETURN NULL;
END $$;
CREATE TRIGGER connection_judged AFTER UPDATE OF head_sha ON connections FOR EACH ROW
  WHEN (NEW.head_sha IS DISTINCT FROM OLD.head_sha) EXECUTE FUNCTION head_to_judge();

CREATE FUNCTION connection_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM watches WHERE connection_id = OLD.id;
  RETURN OLD;
END $$;
CREATE TRIGGER connection_unwatched BEFORE DELETE ON connections FOR EACH ROW EXECUTE FUNCTION connection_gone();

CREATE FUNCTION notices_to_send() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('freshet_notices', '');
  RETURN NULL;
END $$;
CREATE TRIGGER watch_due AFTER INSERT OR UPDATE OF due_at ON watches
  FOR EACH ROW WHEN (NEW.due_at <= now()) EXECUTE FUNCTION notices_to_send();
CREATE TRIGGER notice_due AFTER INSERT ON notices FOR EACH ROW EXECUTE FUNCTION notices_to_send();
