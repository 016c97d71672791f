"""How right impact is: edits of real projects that say nothing, and generated projects whose two sides are run in DuckDB.

Edits: `dbt_text` takes a dbt file apart, `sql_edits` and `yaml_edits` change it and its meaning not, `editing` does so all over a project,
`macro_edits` makes macros say something else; `public` extracts public projects before and after, by the program `extracted`.
Generated: `small_projects` makes a model and, with `readers`, what reads it; `changes`, `expression_changes` and `quiet_changes` change it;
`running` runs both sides in DuckDB, `reading` reads them as a container does; `judging` compares, `generated` measures. `sides` computes
the impact, `report` says what came out.
"""
