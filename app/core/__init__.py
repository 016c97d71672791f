"""What every room may import. It imports no other room.

errors          the one tree of errors: what was being done, why it stopped, what to do next
log, metrics    structured logs and Prometheus metrics
traces          spans by OpenTelemetry, if there is a collector
spool           large bytes between two steps, on disk
eviction        what to delete from a cache that is full, fairly between tenants
retry           how long to wait before trying again
interruption    ends a command cleanly at a signal
wakeup          waking a task that waits for work
plurals         numbers with nouns: "2 analyses", "1 edge"
ages            how long ago something was, and how long it lasted
token_digest    digests, which are stored and logged instead of tokens
pieces          long texts in pieces: a search holds the interpreter
yaml_text       YAML that people, or attackers, wrote
yaml_schema     validates YAML with a JSON Schema
app_manifest    the GitHub App: its permissions, its events, its registration form
app_health      checks of the App against GitHub's answers
models/         records that the rooms pass to each other
egress/         HTTP to untrusted addresses
"""
