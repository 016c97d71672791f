"""Classes of errors about names that do not exist, or exist twice."""

from __future__ import annotations

from app.reports.error_class import ErrorClass, row

NAMES: tuple[ErrorClass, ...] = (
    # -- names that do not exist
    row(
        "disabled_ref",
        r"depends on an? \w+ named [^\n]{1,400} which is disabled",
        "ref() points to a disabled model",
        "Enable the model (`enabled: true`), or remove the `ref()`: a disabled model is not part of the project.",
    ),
    row(
        "missing_source",
        r"depends on a source named ",
        "source() points to a source that is not defined",
        "Define the source and its table under `sources:` in a YAML file in the model paths, or correct the names in `source()`.",
    ),
    row(
        "other_project",
        r"(?!)",  # the same wording as the next one: `advice` decides
        "ref() points to another dbt project",
        "Install the GitHub App on the repository of that project, and make the model public there. Or list the project in `packages.yml`.",
    ),
    row(
        "missing_function",
        r"depends on a function named [^\n]{1,400} which was not found",
        "function() points to a function that does not exist",
        "Correct the name in `function()`, or add the function in the function paths. If it belongs to a package, list the package in "
        "`packages.yml`.",
    ),
    row(
        "missing_ref",
        r"depends on an? \w+ named [^\n]{1,400} which was not found|' which is not in the graph!",
        "ref() points to a model that does not exist",
        "Correct the name in `ref()`, or add the model. If it belongs to a package, list the package in `packages.yml`.",
    ),
    row(
        "ambiguous_ref",
        r"dbt found nodes in multiple packages",
        "ref() matches models in several packages",
        "Put the package name first: `ref('package', 'model')`.",
    ),
    row(
        "missing_doc",
        r"depends on doc '",
        "doc() points to a docs block that does not exist",
        "Add a `{% docs NAME %}` block to a Markdown file in the model paths, or correct the name in `doc()`.",
    ),
    row(
        "missing_patch_target",
        r"Did not find matching node for patch|could not find models for the following patches",
        "A YAML file describes a model that does not exist",
        "Correct the `name:` in the YAML file, or remove the entry.",
    ),
    # -- duplicates
    row(
        "duplicate_properties",
        r"dbt found two schema\.yml entries",
        "A resource is described twice in YAML",
        "Merge the two entries into one.",
    ),
    row(
        "duplicate_macro",
        r"dbt found (?:two|multiple) macros|Found two materializations with the name",
        "Two macros have the same name",
        "Rename or remove one of them.",
    ),
    row(
        "duplicate_relation",
        r"two resources with the database representation",
        "Two models have the same name in the database",
        "Give one of them a different `alias` or `schema`. If they already differ, "
        "check whether `generate_schema_name` ignores the custom schema.",
    ),
    row(
        "duplicate_package",
        r"more than one package with the name|Found duplicate project|dependency with the same name as the root project",
        "Two packages have the same name",
        "Rename the project in its `dbt_project.yml`, or remove one of the two from `packages.yml`.",
    ),
    row(
        "duplicate_resource",
        r"dbt found two [\w ]{1,60} with the name|versioned and unversioned models with the name",
        "Two resources have the same name",
        "Rename or remove one of them: dbt cannot tell which one `ref()` or `source()` means.",
    ),
)
