"""What people read, from values alone: see `docs/checks.md`.

`markdown` (nothing of a stranger's becomes live), `advice` (classes of dbt's messages) → `place` (message → file and line) → `summary` →
`report` (check runs, problems, results).
"""
