-- Whether GitHub said, at that time, that the person is in a team of operators. NULL: it was not asked.
ALTER TABLE sessions ADD COLUMN is_operator boolean, ADD COLUMN operator_asked_at timestamptz;
