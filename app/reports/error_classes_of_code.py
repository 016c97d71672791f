"""Classes of errors in macros, Jinja and files."""

from __future__ import annotations

from app.reports.error_class import ErrorClass, row

CODE: tuple[ErrorClass, ...] = (
    # -- macros and Jinja
    row(
        "missing_dispatch",
        r"In dispatch: No macro named|argument of adapter\.dispatch\(\)|parameter to adapter\.dispatch",
        "A macro has no implementation for this adapter",
        "Add `default__NAME` or an implementation for the adapter, and check the package name in `adapter.dispatch()`. "
        "If Freshet chose the wrong adapter, set `adapter:` in `.github/freshet.yml`.",
    ),
    row(
        "missing_materialization",
        r"No materialization '|Materialization '[^\n]{1,200}' is not available",
        "A materialization does not exist for this adapter",
        "Correct `materialized`, or add the package that provides it. If Freshet chose the wrong adapter, "
        "set `adapter:` in `.github/freshet.yml`.",
    ),
    row(
        "macro_arguments",
        r"takes no keyword argument|takes not more than|takes (?:at most|exactly) (?:one|two|\w+) argument"
        r"|required positional argument|unexpected keyword argument|positional arguments? but",
        "A macro is called with the wrong arguments",
        "Compare the call with the macro's definition. It may have changed with a package update.",
    ),
    row(
        "recursion",
        r"[Mm]aximum recursion depth",
        "A macro calls itself endlessly",
        "Look for a macro that calls itself, directly, through another macro, or by overriding a macro that it calls.",
    ),
    row(
        "cycle",
        r"Found a cycle|Cycle detected",
        "Models refer to each other in a cycle",
        "Remove one `ref()` from the cycle, or move what both models need to a model of its own.",
    ),
    row(
        "undefined_macro",
        r"' is undefined|has no attribute '|references macro '|test references an undefined",
        "A macro or variable is not defined",
        "Correct the name, or add the macro or the package that provides it (`packages.yml`).",
    ),
    row(
        "unclosed_block",
        r"Reached EOF without finding a close tag|nexpected end of template|unexpected control flow end tag|Got nested tags"
        r"|block definition inside control flow",
        "A Jinja block is not closed",
        "Close it: every `{% if %}`, `{% for %}` and `{% macro %}` needs its `{% end… %}`, and every `{{` its `}}`.",
    ),
    row(
        "jinja_syntax",
        r"expected token|unexpected '|unexpected char|Encountered unknown tag|tag name expected|No (?:filter|test) named|unknown tag",
        "Jinja syntax error",
        "Look at the line for a missing or extra bracket, quote or comma.",
    ),
    # -- files
    row(
        "encoding",
        r"codec can't decode|invalid start byte|invalid continuation byte",
        "A file is not UTF-8",
        "Save the file as UTF-8.",
    ),
    row(
        "yaml_syntax",
        r"Syntax error near line|Contents of file [^\n]{1,400} are not valid|while (?:scanning|parsing) (?:a|the) "
        r"|mapping values are not allowed",
        "YAML syntax error",
        "Look at this line and the one above. Indent with spaces only, put a space after `:`, "
        "and quote strings that contain `{{`, `:` or `#`.",
    ),
    row(
        "missing_name",
        r"Required \"name\" field not present|must have a name!",
        "dbt_project.yml has no name",
        "Add `name:` to `dbt_project.yml`.",
    ),
    row(
        "seed",
        r"Error in seed\b|seed configuration value|load_agate_table",
        "A seed cannot be read",
        "Check the header of the CSV file: one name per column, no duplicates, encoded as UTF-8.",
    ),
    row(
        "test_definition",
        r"Invalid (?:data_)?tests? config|test definition dictionary|test must be|test arguments|test name must be|Test (?:cannot|name)",
        "A test definition is not valid",
        "A test is a name, or a mapping with a single name and its arguments indented below it.",
    ),
    row(
        "properties",
        r"The schema file at|config given in|yml property file at|must be a list, got|Entry did not contain a name|Failed to render ",
        "A YAML file does not have the structure that dbt expects",
        "`models:`, `sources:` and so on are lists, and every entry needs a `name:`.",
    ),
    row(
        "project_file",
        r"dbt_project\.yml|Variables cannot be defined in both",
        "dbt_project.yml is not valid",
        "Correct the key that the message names.",
    ),
    row(
        "invalid_config",
        r"at path \[|is not of type|has invalid value|Invalid (?:inline model )?config|Invalid value provided|for tags?, expected"
        r"|required config",
        "A config has a value that dbt does not accept",
        "Compare the key that the message names with dbt's reference for that config.",
    ),
    row(
        "warehouse",
        r"Database Error|[Cc]onnection refused|[Cc]ould not connect|name resolution|Failed to connect",
        "dbt tried to query the warehouse",
        "No warehouse is available while Freshet parses. Wrap queries in macros in `{% if execute %}`, and handle an empty result.",
    ),
    row(
        "value_type",
        r"unsupported operand type|not supported between|could not convert|invalid literal for|object is not|argument must be"
        r"|cannot be converted",
        "A value has the wrong type",
        "Check where the value comes from. If it is a placeholder, set a real value in `.github/freshet.yml`.",
    ),
    row(
        "container",
        r"dbt's container ended with exit status",
        "dbt crashed while parsing the project",
        "Re-run the check. If dbt crashes again, the end of its log shows where.",
    ),
)
