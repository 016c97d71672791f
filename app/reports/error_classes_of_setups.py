"""Classes of errors about what a project runs with: packages, variables, versions, profiles, adapters."""

from __future__ import annotations

from app.reports.error_class import ErrorClass, row

SETUPS: tuple[ErrorClass, ...] = (
    # -- packages; before macros, because a missing package also causes missing macros
    row(
        "packages_file",
        r"packages\.yml file in this project is malformed|key cannot be specified in packages\.yml|both packages\.yml and ",
        "packages.yml is not valid",
        "Correct the entry. Each needs `package` with `version`, `git` with `revision`, `local`, `tarball` or `private`.",
    ),
    row(
        "package_lock",
        r"package-lock\.yml",
        "package-lock.yml does not match packages.yml",
        "Run `dbt deps --upgrade` and commit the updated `package-lock.yml`.",
    ),
    row(
        "package_unavailable",
        r"was not found in the package index|Could not find a matching compatible version|Version error for package"
        r"|Error checking out spec|went wrong while cloning|External connection exception",
        "A package was not found",
        "Check its name and version, and that it still exists. `packages:` in `.github/freshet.yml` can set another address for it.",
    ),
    row(
        "missing_package",
        r"package\(s\) specified in|package\(s\) based on packages|The required package |Node package named"
        r"|dbt_project\.yml found at expected path|Could not find package '",
        "A package is not installed",
        "Add it to `packages.yml`, and Freshet installs it automatically. Or commit the complete `dbt_packages/` directory.",
    ),
    # -- environment variables and vars
    row(
        "secret_env_var",
        r"Secret env vars are allowed only",
        "A secret environment variable is used outside profiles.yml",
        "dbt allows names that start with `DBT_ENV_SECRET_` only in `profiles.yml` and `packages.yml`. Rename the variable.",
    ),
    row(
        "missing_env_var",
        r"Env var required but not provided",
        "An environment variable has no value",
        "Give `env_var()` a default as its second argument, or set the variable under `env:` in `.github/freshet.yml` (never to a secret).",
    ),
    row(
        "missing_var",
        r"Required var '",
        "A variable has no value",
        "Give it a default in `var()` or under `vars:` in `dbt_project.yml`, or set it under `vars:` in `.github/freshet.yml`.",
    ),
    # -- versions, profiles, adapters
    row(
        "dbt_version",
        r"version of dbt is not supported|version requirement can never be satisfied|not a valid semantic version",
        "The dbt version does not match",
        "Correct `require-dbt-version`, update the package that requires another dbt version, "
        "or set `dbt_version` in `.github/freshet.yml`.",
    ),
    row(
        "config_version",
        r"[Uu]nexpected project version|[Ii]nvalid config[- ]version|config-version",
        "The config-version is not supported",
        "Set `config-version: 2` in `dbt_project.yml`, or remove the line.",
    ),
    row(
        "adapter",
        r"Could not find adapter type|No adapters available|Error importing adapter|No module named '?dbt\.adapters"
        r"|Unrecognized credentials type|Credentials in profile",
        "The adapter is not available",
        "Set the adapter under `adapter:` in `.github/freshet.yml`, or ask the operator to build a runner image that contains it.",
    ),
    row(
        "profile",
        r"Could not find profile named|does not have a target named|outputs not specified in profile|read your profiles\.yml"
        r"|required field \"type\" not found",
        "The profile or target was not found",
        "Set the target under `target:` in `.github/freshet.yml`. Freshet creates the profile itself and needs no credentials.",
    ),
)
