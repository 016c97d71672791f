-- When a second request to create the check run was sent, because the first one had no answer: it may arrive later still.
ALTER TABLE check_runs ADD COLUMN doubled_at timestamptz;
