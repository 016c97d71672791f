"""The classes of dbt's errors: how each is told by dbt's own wording, and a sentence on what to do.

The wordings are those of dbt 1.5 to 1.12 (`dbt/exceptions.py`, `dbt/parser/`, `dbt/config/` and Jinja's own); `docs/checks.md` lists the
classes for users.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    """One class of errors. `code` is stable, `title` plain text, `next_step` a sentence or two."""

    code: str
    pattern: re.Pattern[str]
    title: str
    next_step: str


def _class(code: str, pattern: str, title: str, next_step: str) -> Advice:
    return Advice(code, re.compile(pattern), title, next_step)


# In order: what is said exactly comes before what is said in general.
CLASSES = (
    # -- what is named and is not there
    _class(
        "disabled_ref",
        r"depends on an? \w+ named [^\n]* which is disabled",
        "A model that ref() names is disabled",
        "Enable it (`enabled: true`), or take the `ref` out: a disabled model is not part of the project.",
    ),
    _class(
        "missing_source",
        r"depends on a source named ",
        "A source that source() names is not defined",
        "Define the source and the table under `sources:` in a YAML file below the model paths, or mend the two names in `source()`.",
    ),
    _class(
        "missing_ref",
        r"depends on an? \w+ named [^\n]* which was not found|' which is not in the graph!",
        "A model that ref() names does not exist",
        "Mend the name in `ref()`, or add the model. If it belongs to a package, the package has to be in `packages.yml`.",
    ),
    _class(
        "ambiguous_ref",
        r"dbt found nodes in multiple packages",
        "A name in ref() stands for models of several packages",
        "Name the package first: `ref('package', 'model')`.",
    ),
    _class(
        "missing_doc",
        r"depends on doc '",
        "A docs block that doc() names does not exist",
        "Add a `{% docs NAME %}` block in a Markdown file below the model paths, or mend the name in `doc()`.",
    ),
    _class(
        "missing_patch_target",
        r"Did not find matching node for patch|could not find models for the following patches",
        "A YAML file describes a model that does not exist",
        "Mend the `name:` in the YAML file, or remove the entry.",
    ),
    # -- what is there twice
    _class(
        "duplicate_properties",
        r"dbt found two schema\.yml entries",
        "One resource is described twice in YAML",
        "Put the two entries together in one file and remove the other.",
    ),
    _class(
        "duplicate_macro",
        r"dbt found (?:two|multiple) macros|Found two materializations with the name",
        "Two macros have the same name",
        "Rename or remove one of them.",
    ),
    _class(
        "duplicate_relation",
        r"two resources with the database representation",
        "Two models have the same name in the database",
        "Give one of them another `alias` or `schema`. A `generate_schema_name` that leaves the model's own schema out may be the reason.",
    ),
    _class(
        "duplicate_package",
        r"more than one package with the name|Found duplicate project|dependency with the same name as the root project",
        "Two packages have the same name",
        "Rename the project in its `dbt_project.yml`, or remove one of the two from `packages.yml`.",
    ),
    _class(
        "duplicate_resource",
        r"dbt found two [\w ]+ with the name|versioned and unversioned models with the name",
        "Two resources have the same name",
        "Rename one of them, or remove the copy: dbt cannot tell which of the two `ref` or `source` means.",
    ),
    # -- packages, before macros: a macro that is missing with its package is the package's matter
    _class(
        "packages_file",
        r"packages\.yml file in this project is malformed|key cannot be specified in packages\.yml|both packages\.yml and ",
        "packages.yml cannot be used",
        "Mend the entry: each has `package` with `version`, `git` with `revision`, `local`, `tarball` or `private`.",
    ),
    _class(
        "package_lock",
        r"package-lock\.yml",
        "package-lock.yml does not fit packages.yml",
        "Run `dbt deps --upgrade` and commit the `package-lock.yml` that it writes.",
    ),
    _class(
        "package_unavailable",
        r"was not found in the package index|Could not find a matching compatible version|Version error for package"
        r"|Error checking out spec|went wrong while cloning|External connection exception",
        "A package cannot be had",
        "Check its name, its version and that it still exists; `.github/freshet.yml` can name another place for it under `packages:`.",
    ),
    _class(
        "missing_package",
        r"package\(s\) specified in|package\(s\) based on packages|The required package |Node package named"
        r"|dbt_project\.yml found at expected path|Could not find package '",
        "A package is not installed",
        "Add it to `packages.yml` (it is installed by itself then), or commit the whole of `dbt_packages/`.",
    ),
    # -- values from outside
    _class(
        "secret_env_var",
        r"Secret env vars are allowed only",
        "A secret environment variable is used outside of profiles.yml",
        "dbt takes names that begin with `DBT_ENV_SECRET_` in `profiles.yml` and `packages.yml` only: rename the variable.",
    ),
    _class(
        "missing_env_var",
        r"Env var required but not provided",
        "An environment variable has no value",
        "Give `env_var` a default as its second argument, or set the variable under `env:` in `.github/freshet.yml` (never to a secret).",
    ),
    _class(
        "missing_var",
        r"Required var '",
        "A variable has no value",
        "Give it a default in `var()` or under `vars:` in `dbt_project.yml`, or set it under `vars:` in `.github/freshet.yml`.",
    ),
    # -- versions, profiles, adapters
    _class(
        "dbt_version",
        r"version of dbt is not supported|version requirement can never be satisfied|not a valid semantic version",
        "The dbt version does not fit",
        "Mend `require-dbt-version`, update the package that asks for another dbt, or set `dbt_version` in `.github/freshet.yml`.",
    ),
    _class(
        "config_version",
        r"[Uu]nexpected project version|[Ii]nvalid config[- ]version|config-version",
        "The config-version is not supported",
        "Set `config-version: 2` in `dbt_project.yml`, or take the line out.",
    ),
    _class(
        "adapter",
        r"Could not find adapter type|No adapters available|Error importing adapter|No module named '?dbt\.adapters"
        r"|Unrecognized credentials type|Credentials in profile",
        "The adapter is not there",
        "Name the adapter under `adapter:` in `.github/freshet.yml`; the operator can build a runner image that holds it.",
    ),
    _class(
        "profile",
        r"Could not find profile named|does not have a target named|outputs not specified in profile|read your profiles\.yml"
        r"|required field \"type\" not found",
        "The profile or the target is not there",
        "Name the target under `target:` in `.github/freshet.yml`. The profile itself is made by Freshet: no credentials are needed.",
    ),
    # -- kinds of resources with words of their own
    _class(
        "python_model",
        r"python file|literal_eval|dbt python model|\.py, line \d",
        "A Python model cannot be read",
        "dbt wants one `def model(dbt, session):` per file, and literal texts in `dbt.ref()`, `dbt.source()` and `dbt.config()`.",
    ),
    _class(
        "unit_test",
        r"[Uu]nit test '|[Uu]nit test \w+ has|Unit test given|(?:for|in) unit tests?\b|unit_tests config",
        "A unit test cannot be read",
        "Mend its `model`, `given` and `expect` in the YAML file: each input is a `ref` or a `source` that the model itself uses.",
    ),
    _class(
        "semantic_layer",
        r"semantic layer|semantic[ _]model|time[ _]spine|[Mm]etric[Ff]low|Error in (?:metric|saved_query)\b|metric\(\) takes"
        r"|Invalid (?:metrics|saved_queries|exposures) config",
        "A metric, semantic model or exposure is wrong",
        "Compare the entry with dbt's reference for that resource: measures, time spines and types have to exist under the names given.",
    ),
    _class(
        "contract",
        r"Contract enforcement|enforced contract|Contracted models|[Bb]reaking [Cc]hange to [Cc]ontract"
        r"|[Cc]onstraint (?:type|error|'to')|ConstraintType|LevelConstraint",
        "A model's contract or constraint is wrong",
        "Name every column with its `data_type` in the model's YAML entry, or set `enforced: false`.",
    ),
    _class(
        "access",
        r"not allowed because the referenced node is|Invalid group '|for the access field",
        "A model refers to one that it may not use",
        "Put both into one `group`, or widen `access` of the model that is referred to.",
    ),
    _class(
        "snapshot",
        r"Snapshots? must (?:be configured|define)|snapshot must define",
        "A snapshot lacks a setting",
        "Set `unique_key`, `strategy` and what the strategy needs (`updated_at` or `check_cols`); before dbt 1.9 also `target_schema`.",
    ),
    _class(
        "selectors",
        r"(?:parse|read|render|parsing the) selector|\d\s*\| selectors:|multiple selectors|selectors\.yml",
        "selectors.yml cannot be used",
        "Mend the definition: it is a text, or a mapping with `method` and `value`, `union` or `intersection`.",
    ),
    # -- macros and Jinja
    _class(
        "missing_dispatch",
        r"In dispatch: No macro named|argument of adapter\.dispatch\(\)|parameter to adapter\.dispatch",
        "A macro has no implementation for this adapter",
        "Add `default__NAME`, or one for the adapter, and check the package's name in `adapter.dispatch`. "
        "If the adapter is not yours, name yours in `.github/freshet.yml`.",
    ),
    _class(
        "missing_materialization",
        r"No materialization '|Materialization '[^\n]{1,200}' is not available",
        "A materialization does not exist for this adapter",
        "Mend `materialized`, or add the package that has it. If the adapter is not yours, name yours in `.github/freshet.yml`.",
    ),
    _class(
        "macro_arguments",
        r"takes no keyword argument|takes not more than|takes (?:at most|exactly) (?:one|two|\w+) argument"
        r"|required positional argument|unexpected keyword argument|positional arguments? but",
        "A macro is called with the wrong arguments",
        "Compare the call with the macro's definition; after a package was updated, with its new one.",
    ),
    _class(
        "recursion",
        r"[Mm]aximum recursion depth",
        "A macro calls itself without end",
        "Look for a macro that calls itself, perhaps through another one or by overriding a macro that it calls.",
    ),
    _class(
        "cycle",
        r"Found a cycle|Cycle detected",
        "Models refer to each other in a circle",
        "Take one of the `ref` in the circle out; what both need goes into a model of its own.",
    ),
    _class(
        "undefined_macro",
        r"' is undefined|has no attribute '|references macro '|test references an undefined",
        "A macro or variable is not defined",
        "Mend the name, or add the macro or the package that has it (`packages.yml`).",
    ),
    _class(
        "unclosed_block",
        r"Reached EOF without finding a close tag|nexpected end of template|unexpected control flow end tag|Got nested tags"
        r"|block definition inside control flow",
        "A Jinja block is not closed",
        "Close it: every `{% if %}`, `{% for %}`, `{% macro %}` needs its `{% end… %}`, every `{{` its `}}`.",
    ),
    _class(
        "jinja_syntax",
        r"expected token|unexpected '|unexpected char|Encountered unknown tag|tag name expected|No (?:filter|test) named|unknown tag",
        "A Jinja expression cannot be read",
        "Look at the line for a bracket, quote or comma that is missing or too many.",
    ),
    # -- files
    _class(
        "encoding",
        r"codec can't decode|invalid start byte|invalid continuation byte",
        "A file is not UTF-8",
        "Save it as UTF-8 again.",
    ),
    _class(
        "yaml_syntax",
        r"Syntax error near line|Contents of file [^\n]* are not valid|while (?:scanning|parsing) (?:a|the) "
        r"|mapping values are not allowed",
        "A YAML file cannot be read",
        "Look at the line and the one above: indentation with spaces only, a space after `:`, quotes around texts with `{{`, `:` or `#`.",
    ),
    _class(
        "missing_name",
        r"Required \"name\" field not present|must have a name!",
        "dbt_project.yml has no name",
        "Add `name:` to `dbt_project.yml`.",
    ),
    _class(
        "seed",
        r"Error in seed\b|seed configuration value|load_agate_table",
        "A seed cannot be read",
        "Look at the CSV file's header: one name per column, none of them twice, as UTF-8.",
    ),
    _class(
        "test_definition",
        r"Invalid (?:data_)?tests? config|test definition dictionary|test must be|test arguments|test name must be|Test (?:cannot|name)",
        "A test in YAML is not written as dbt wants it",
        "A test is a name, or a mapping with one name whose arguments are indented below it.",
    ),
    _class(
        "properties",
        r"The schema file at|config given in|yml property file at|must be a list, got|Entry did not contain a name|Failed to render ",
        "A YAML file is not built as dbt wants it",
        "Each of `models:`, `sources:` and so on is a list, and each entry of it has a `name:`.",
    ),
    _class(
        "project_file",
        r"encountered in [^\n]*dbt_project\.yml|dbt_project\.yml|Variables cannot be defined in both",
        "dbt_project.yml cannot be used",
        "Mend the key that the message names.",
    ),
    _class(
        "invalid_config",
        r"at path \[|is not of type|has invalid value|Invalid (?:inline model )?config|Invalid value provided|for tags?, expected"
        r"|required config",
        "A config has a value that dbt does not take",
        "Compare the key that the message names with dbt's reference for that config.",
    ),
    _class(
        "warehouse",
        r"Database Error|[Cc]onnection refused|[Cc]ould not connect|name resolution|Failed to connect",
        "dbt wanted to ask the warehouse",
        "There is none while the lineage is read: put queries of macros behind `{% if execute %}`, and make them answer without a result.",
    ),
    _class(
        "value_type",
        r"unsupported operand type|not supported between|could not convert|invalid literal for|object is not|argument must be"
        r"|cannot be converted",
        "An expression has a value of the wrong type",
        "Look at where the value comes from; if it was invented by Freshet, set a real one in `.github/freshet.yml`.",
    ),
    _class(
        "container",
        r"dbt's container ended with exit status",
        "dbt died while it parsed the project",
        "Re-run it once; if it dies again, the end of its log below says at what.",
    ),
)
UNKNOWN = _class("dbt", r"", "dbt could not parse the project", "Mend it and push again: every push is extracted.")
