-- Pull requests, as far as GitHub reports them: with the optional permission `pull_requests: read`.

CREATE TABLE pull_requests (
  repository_id bigint NOT NULL REFERENCES repositories ON DELETE CASCADE,
  number bigint NOT NULL,
  head_sha text NOT NULL,
  -- Of its head, as extractions name it: `owner:branch` if it is a fork's, which no branch of the repository can be called.
  branch text NOT NULL,
  base_branch text NOT NULL,
  draft boolean NOT NULL,
  open boolean NOT NULL,
  -- GitHub's: an event that arrives late changes nothing.
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (repository_id, number)
);
CREATE INDEX pull_requests_branch ON pull_requests (repository_id, branch);
CREATE INDEX pull_requests_closed ON pull_requests (updated_at) WHERE NOT open;
