"""What a commit contains, and how dbt has to read it. Pure.

discovery               the dbt projects of a commit, and why directories are left out
copies                  which projects are copies of others
directories             many directories at once, found by bisection
directory_names         what the names of directories suggest
macro_packages          which projects are packages of macros
checkout                a commit as a checkout shows it: links, names, submodules
layout                  what running dbt on a project needs
read_files              which files dbt reads
committed_packages      which packages are in the repository already
expressions             the few Jinja expressions that are evaluated
repository_settings     `.github/freshet.yml`
settings_schema         … its JSON Schema
impact_policy           … what it says about changes that break something
quality_settings        … what it says about quality
adapters                every adapter that Freshet knows by name, one row each
adapter_choice          which adapter to parse for
adapter_evidence        signs of an adapter in a project's files
warehouse_names         the database and the schema in a profile
dbt_version             which dbt version a project asks for
package_files           which packages a project asks for
other_projects          which other projects it names, to refer to their models
runner_images           which runner image fits
"""
