-- Check runs that GitHub lacks although their repositories are there.
CREATE INDEX check_runs_unsent ON check_runs (id) WHERE abandoned LIKE 'not sent: %' AND sent < revision;
