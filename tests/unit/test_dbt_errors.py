from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.reports.dbt_error_catalogue import CLASSES, UNKNOWN
from app.reports.dbt_errors import MAX_ERRORS, classify, split_errors
from tests.unit.github_markdown import assert_dead

CHECKS = Path(__file__).parents[2] / "docs" / "checks.md"

MESSAGES = [
    ("missing_ref", "Compilation Error\n  Model 'model.shop.a' (models/a.sql) depends on a node named 'nope' which was not found"),
    ("missing_ref", "Model 'model.shop.b' (models/b.sql) depends on a node named 'a' with version '3' which was not found"),
    ("missing_ref", "Exposure 'exposure.shop.e' (models/s.yml) depends on a node named 'zz' which was not found"),
    ("disabled_ref", "Model 'model.shop.a' (models/a.sql) depends on a node named 'b' which is disabled"),
    ("missing_source", "Model 'model.shop.a' (models/a.sql) depends on a source named 'raw.t' which was not found"),
    ("ambiguous_ref", "When referencing 'a', dbt found nodes in multiple packages: 'model.x.a', 'model.y.a'"),
    ("missing_doc", "Documentation for 'model.shop.a' depends on doc 'x'  which was not found"),
    ("missing_patch_target", "Did not find matching node for patch with name 'zz' in the 'models' section of file 'models/s.yml'"),
    ("duplicate_resource", 'dbt found two models with the name "a".\n  \n  Since these resources have the same name'),
    ("duplicate_resource", 'dbt found two sources with the name "raw_t".'),
    ("duplicate_properties", "dbt found two schema.yml entries for the same resource named a. Resources and their columns"),
    ("duplicate_macro", 'dbt found multiple macros named "m" in the project "shop".'),
    ("duplicate_macro", 'dbt found two macros named "m" in the project "shop".'),
    ("duplicate_relation", 'dbt found two resources with the database representation ""memory"."main"."x"".'),
    ("duplicate_package", 'dbt found more than one package with the name "shop" included in this project.'),
    ("packages_file", "Runtime Error\n  The packages.yml file in this project is malformed. Please double check"),
    ("package_lock", "The package-lock.yml file in this project is malformed."),
    ("package_unavailable", "Package octo/gone was not found in the package index"),
    ("package_unavailable", "Could not find a matching compatible version for package octo/x\n  Requested range: >=9"),
    (
        "missing_package",
        'dbt found 1 package(s) specified in packages.yml, but only 0 package(s) installed in dbt_packages. Run "dbt deps"',
    ),
    ("missing_package", 'Error while parsing model a.\nThe required package "dbt_utils" was not found. Is the package installed?'),
    ("secret_env_var", "Secret env vars are allowed only in profiles.yml or packages.yml. Found 'DBT_ENV_SECRET_X' referenced elsewhere."),
    ("missing_env_var", "Parsing Error\n  Env var required but not provided: 'SHOP_SCHEMA'"),
    ("missing_var", "Compilation Error\n  Could not render {{ var('start') }}: Required var 'start' not found in config:\n  Vars supplied"),
    (
        "dbt_version",
        "Runtime Error\n  This version of dbt is not supported with the 'shop' package.\n    Installed version of dbt: =1.11.16",
    ),
    ("dbt_version", "The package version requirement can never be satisfied for the 'shop\n  package."),
    ("dbt_version", '"about 1" is not a valid semantic version.\n\nError encountered in dbt_project.yml'),
    ("config_version", "Internal Error\n  Got an unexpected project version=1, expected 2"),
    ("adapter", "Runtime Error\n  Could not find adapter type vertica!"),
    ("adapter", 'Credentials in profile "shop", target "dev" invalid: \'host\' is a required property'),
    ("profile", "Runtime Error\n  Could not find profile named 'shop'"),
    ("profile", "Runtime Error\n  The profile 'shop' does not have a target named 'prod'. The valid target names for this profile are:"),
    ("python_model", "Parsing Error in model a (models/a.py)\n  dbt allows exactly one model defined per python file, found 0"),
    ("python_model", "Parsing Error\n  expected ':' (a.py, line 1)\n  def model(dbt, session)"),
    ("unit_test", "Parsing Error\n  Unable to find model 'shop.zz' for unit test 't' in models/s.yml"),
    ("semantic_layer", "Parsing Error in metric m (models/s.yml)\n  A semantic model having a measure `zz` does not exist"),
    ("missing_time_spine", "The semantic layer requires a time spine model with granularity DAY or smaller in the project"),
    (
        "semantic_layer",
        "Invalid exposures config given in models/s.yml @ exposures: {'name': 'e'} - at path ['type']: 'dash' is not one of",
    ),
    ("contract", "Contract enforcement failed for: (models/a.sql)\n  Constraints must be defined in a `yml` schema configuration file"),
    ("contract", "InvalidFieldValue: Field \"type\" of type ConstraintType in ModelLevelConstraint has invalid value 'foo'"),
    ("access", "Node model.shop.b attempted to reference node model.shop.a, which is not allowed because the referenced node is private"),
    ("group", "Parsing Error in model a (models/a.sql)\n  Invalid group 'g', expected one of []"),
    ("access_value", "Parsing Error\n  Node model.shop.orders has an invalid value (secret) for the access field"),
    ("access_value", "InvalidFieldValue: Field \"access\" of type AccessType in ModelConfig has invalid value 'secret'"),
    ("on_schema_change", "Invalid value for on_schema_change: ignore. Models materialized as incremental with contracts enabled must set"),
    ("model_versions", "Parsing Error\n  latest_version: 2 is not one of model 'orders' versions: []"),
    ("model_versions", "Parsing Error\n  Found duplicate version: '1' in versions list of model 'orders'"),
    ("microbatch", "Parsing Error\n  Microbatch model 'orders' must provide a 'begin' (datetime) config that indicates the earliest"),
    (
        "microbatch",
        "Parsing Error\n  Microbatch model 'orders' must provide a 'batch_size' config that is one of ['hour', 'day', 'month', 'year']",
    ),
    ("time_spine", "Parsing Error\n  Time spine standard granularity column must be defined on the model. Got invalid column name 'nope'"),
    ("time_spine", "Expected to find time spine standard granularity column in model columns, but did not. "),
    ("semantic_layer", "Parsing Error\n  Semantic Manifest validation failed.\n\nInvalid name `n` - names may only contain lower case"),
    ("contract", "Parsing Error\n  Invalid constraint type on column id\n\nThis was in models/schema.yml"),
    ("snapshot", "Snapshots must be configured with a 'strategy' and 'unique_key'."),
    ("snapshot", "A snapshot configured with the timestamp strategy must specify an updated_at configuration."),
    ("semantic_layer", "ValueError: Invalid enum value: `countt` in enum AggregationType"),
    ("missing_function", "Model 'model.shop.a' (models/a.sql) depends on a function named 'nope' which was not found"),
    ("snapshot", "Parsing Error\n  at path []: Snapshots must be configured with a 'strategy', 'unique_key', and 'target_schema'."),
    ("selectors", "Runtime Error\n  Could not read selector file data: Runtime Error\n    Expected either 1 key"),
    ("selectors", "Runtime Error\n  Syntax error near line 4\n  ----\n  1  | selectors:\n  2  |   - name: x"),
    (
        "missing_dispatch",
        "In dispatch: No macro named 'mm' found within namespace: 'None'\n      Searched for: 'duckdb__mm', 'default__mm'",
    ),
    ("missing_materialization", "No materialization 'tabel' was found for adapter duckdb! (searched types 'default' and 'duckdb')"),
    ("macro_arguments", "Compilation Error in model a (models/a.sql)\n  macro 'dbt_macro__m' takes no keyword argument 'x'"),
    ("macro_arguments", "macro 'dbt_macro__m' takes not more than 1 argument(s)"),
    ("macro_arguments", "ref() takes at most two arguments (3 given)"),
    ("recursion", "Compilation Error in model a (models/a.sql)\n  maximum recursion depth exceeded"),
    ("cycle", "RuntimeError: Found a cycle: model.shop.a --> model.shop.b"),
    ("undefined_macro", "Compilation Error in model a (models/a.sql)\n  'foo' is undefined"),
    ("undefined_macro", "'dict object' has no attribute 'star'"),
    ("unclosed_block", "Reached EOF without finding a close tag for macro (searched from line 1)"),
    ("unclosed_block", "unexpected end of template, expected 'end of print statement'."),
    ("unclosed_block", "Got an unexpected control flow end tag, got endif but never saw a preceeding if (@ 1:0)"),
    ("jinja_syntax", "Compilation Error in model a (models/a.sql)\n  unexpected '}', expected ')'\n    line 2"),
    ("jinja_syntax", "expected token 'end of print statement', got 'y'"),
    ("jinja_syntax", "Encountered unknown tag 'foo'."),
    ("encoding", "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe9 in position 8: invalid continuation byte"),
    ("yaml_syntax", "Parsing Error\n  Error reading shop: s.yml - Runtime Error\n    Syntax error near line 4"),
    ("yaml_syntax", "Error reading shop: s.yml - Runtime Error\n    Contents of file 'models/s.yml' are not valid. Dictionary expected."),
    ("missing_name", 'Runtime Error\n  Required "name" field not present in project\n\nError encountered in dbt_project.yml'),
    ("seed", "Compilation Error in seed countries (seeds/countries.csv)\n  Row 3 has 4 values, but Table only has 3 columns."),
    ("test_definition", "Invalid test config given in models/s.yml:\n  \ttest definition dictionary must have exactly one key"),
    ("properties", "The schema file at models/s.yml is invalid because the value of 'models' is not a list"),
    (
        "properties",
        "Invalid models config given in models/s.yml @ models: {'name': 'a'} - at path ['columns']: 'id' is not of type 'array'",
    ),
    ("project_file", "Runtime Error\n  at path ['name']: 'my-shop' does not match\n\nError encountered in dbt_project.yml"),
    ("invalid_config", "Parsing Error\n  at path ['enabled']: 'maybe' is not of type 'boolean'"),
    ("invalid_config", 'InvalidFieldValue: Field "persist_docs" of type Dict[str, Any] in ModelConfig has invalid value True'),
    ("warehouse", "Database Error\n  connection to server failed"),
    ("value_type", "TypeError: unsupported operand type(s) for +: 'int' and 'str'"),
    ("container", "dbt's container ended with exit status 139 and without a result."),
    ("dbt", "Compilation Error in model a (models/a.sql)\n  Please set the thing"),
]


BY_ADVICE = {"other_project"}
"""Classes that dbt's wording alone does not tell from others: see `test_advice.py`."""


@pytest.mark.parametrize(("code", "message"), MESSAGES)
def test_dbts_messages_are_classified(code: str, message: str) -> None:
    assert classify(message).code == code


def test_every_class_has_a_message_and_a_title_of_its_own() -> None:
    classes = [*CLASSES, UNKNOWN]
    assert {code for code, _ in MESSAGES} | BY_ADVICE == {known.code for known in classes}
    assert len({known.code for known in classes}) == len({known.title for known in classes}) == len(classes)
    for known in classes:
        assert known.title.isprintable()
        assert len(known.title) < 80
        assert "`" not in known.title, "GitHub renders no Markdown in titles"
        assert_dead(known.next_step.replace("`", ""))


@pytest.mark.parametrize("name", ["selector", "contract", "unit test 'x'", "constraint type", "semantic model"])
def test_the_name_of_a_model_does_not_decide_its_class(name: str) -> None:
    message = f"Compilation Error in model {name} (models/{name}/{name}.sql)\n  'cents' is undefined"
    assert classify(message).code == "undefined_macro"


def test_an_output_is_split_into_errors() -> None:
    output = "Encountered an error:\nCompilation Error in model a (models/a.sql)\n  'x' is undefined\n\nParsing Error\n  at path ['a']: 1"
    assert [classify(error).code for error in split_errors(output)] == ["undefined_macro", "invalid_config"]
    assert split_errors("nothing of a kind ") == ["nothing of a kind"]
    assert len(split_errors("Parsing Error\n  x\n" * 1000)) == MAX_ERRORS


@pytest.mark.parametrize("piece", ["depends on a node named ", "(" + "/" * 299, "Materialization 'x", "unit test a ", "1 ", "'"])
def test_hostile_messages_are_classified_in_bounded_time(piece: str) -> None:
    assert classify(piece * (200_000 // len(piece)))


def test_the_classes_are_documented() -> None:
    documented = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", CHECKS.read_text(), re.MULTILINE))
    assert documented == {known.code: known.title for known in (*CLASSES, UNKNOWN)}
