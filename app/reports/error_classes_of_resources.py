"""Classes of errors of one resource type."""

from __future__ import annotations

from app.reports.error_class import ErrorClass, row

RESOURCES: tuple[ErrorClass, ...] = (
    # -- errors of one resource type
    row(
        "python_model",
        r"python file|literal_eval|dbt python model|\.py, line \d",
        "A Python model cannot be parsed",
        "dbt expects one `def model(dbt, session):` per file, and string literals in `dbt.ref()`, `dbt.source()` and `dbt.config()`.",
    ),
    row(
        "unit_test",
        r"[Uu]nit test '|[Uu]nit test \w+ has|Unit test given|(?:for|in) unit tests?\b|unit_tests config",
        "A unit test is not valid",
        "Correct its `model`, `given` and `expect` in the YAML file. Each input must be a `ref()` or `source()` that the model uses.",
    ),
    row(
        "model_versions",
        r"latest_version: |Found duplicate version|versioned model|[Uu]nversioned|in versions list|defined_in",
        "The versions of a model are not valid",
        "Compare `versions:` with the model's files: every version has a number of its own and a file (`NAME_v1.sql`, or the one in "
        "`defined_in`), and `latest_version` is one of them.",
    ),
    row(
        "microbatch",
        r"Microbatch model '",
        "A microbatch model lacks a setting",
        "Set `event_time` (a column), `begin` (a date) and `batch_size` (`hour`, `day`, `month` or `year`) in the model's config.",
    ),
    row(
        "missing_time_spine",
        r"requires a time spine",
        "The project has no time spine",
        "Metrics and semantic models need one model with a row per day (or per smaller unit) and a `time_spine:` in its YAML entry.",
    ),
    row(
        "time_spine",
        r"Time spine |time spine (?:standard|custom) granularity",
        "A time spine is not valid",
        "Name a column of that model in `standard_granularity_column`, and give the column a `granularity` under `columns:`.",
    ),
    row(
        "semantic_layer",
        r"Semantic Manifest validation"
        r"|semantic layer|semantic[ _]model|time[ _]spine|[Mm]etric[Ff]low|Error in (?:metric|saved_query)\b|metric\(\) takes"
        r"|Invalid (?:metrics|saved_queries|exposures) config|Invalid enum value: [^\n]{1,400} in enum \w",
        "A metric, semantic model or exposure is not valid",
        "Compare the entry with dbt's reference. The measures, time spines and types that it names must exist.",
    ),
    row(
        "on_schema_change",
        r"Invalid value for on_schema_change",
        "on_schema_change does not fit the model's contract",
        "Set it to `append_new_columns` or `fail`. Other values are allowed for models without an enforced contract.",
    ),
    row(
        "contract",
        r"Invalid constraint|Contract enforcement|enforced contract|Contracted models|[Bb]reaking [Cc]hange to [Cc]ontract"
        r"|[Cc]onstraint (?:type|error|'to')|ConstraintType|LevelConstraint",
        "A model contract or constraint is not valid",
        "List every column with its `data_type` in the model's YAML entry, or set `enforced: false`.",
    ),
    row(
        "access_value",
        r"for the access field|AccessType",
        "access has a value that dbt does not accept",
        "Set `access` to `private`, `protected` or `public`. An ephemeral model cannot be `public`.",
    ),
    row(
        "group",
        r"Invalid group '",
        "A group does not exist",
        "Correct the name in `group`, or define the group under `groups:` in a YAML file in the model paths.",
    ),
    row(
        "access",
        r"not allowed because the referenced node is",
        "A model refers to a model that it may not access",
        "Put both models in one `group`, or widen `access` of the model that is referred to.",
    ),
    row(
        "snapshot",
        r"Snapshots? must (?:be configured|define)|snapshot must define|A snapshot configured with",
        "A snapshot setting is missing",
        "Set `unique_key`, `strategy` and what the strategy needs (`updated_at` or `check_cols`). Before dbt 1.9, "
        "also set `target_schema`.",
    ),
    row(
        "selectors",
        r"(?:parse|read|render|parsing the) selector|\d\s*\| selectors:|multiple selectors|selectors\.yml",
        "selectors.yml is not valid",
        "Correct the definition: a string, or a mapping with `method` and `value`, `union` or `intersection`.",
    ),
)
