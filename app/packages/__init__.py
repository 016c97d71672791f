"""What `dbt deps` would do, without running any code of a package. Pure, except for `fetch/`.

specs           one request for a package, and where it stands
package_lists   reads the requests of `packages.yml`, `dependencies.yml` and a lock file
lockfile        `package-lock.yml`
versions        dbt's semantic versions and ranges
pins            the version that meets all requirements
private         which private repositories may be used as packages
git_urls        git addresses as people write them, and which of them Freshet may connect to
fetch/          resolves, fetches and caches packages
"""
