"""Packages as people ask for them, decided from values alone: the way of `dbt deps`, without its network.

`ranges` (dbt's semantic versions), `expressions` (the little Jinja that is evaluated) and `lockfile` → `packages` (specs, rules, lock) →
`pins` (which version all askers agree on). `addresses` → `remotes`: where we go, and where never. `hub/` and `github/packages` do it.
"""
