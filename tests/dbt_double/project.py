"""The files of a dbt project as resources with their SQL rendered: by Jinja and the project's own macros, as dbt does."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import jinja2
import yaml

DATABASE = "warehouse"
DOCS = re.compile(r"\{% docs (\w+) %\}(.*?)\{% enddocs %\}", re.DOTALL)
REF, SOURCE = re.compile(r"ref\('(\w+)'\)"), re.compile(r"source\('(\w+)', *'(\w+)'\)")
FOLDERS = {"models": "model", "analyses": "analysis", "tests": "test"}


class MissingNodeError(Exception):
    """A `ref` or `source` leads nowhere; the text is dbt's."""


@dataclass
class Resource:
    """A resource of a manifest; `upstream` are unique_ids."""

    unique_id: str
    path: str
    fields: dict[str, Any] = field(default_factory=dict)
    upstream: list[str] = field(default_factory=list)
    code: str | None = None
    compiled: str | None = None

    @property
    def kind(self) -> str:
        return self.unique_id.partition(".")[0]

    @property
    def name(self) -> str:
        return str(self.fields.get("name") or self.unique_id.split(".")[2])

    @property
    def relation_name(self) -> str:
        return f'"{DATABASE}"."{self.fields.get("schema", "analytics")}"."{self.name}"'


class Project:
    """Reads a project; paths are relative to its root. Raises MissingNodeError."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files
        self.settings = yaml.safe_load(files["dbt_project.yml"])
        self.name: str = self.settings["name"]
        self.resources: dict[str, Resource] = {}
        self.groups: list[dict[str, Any]] = []
        self._macros = "".join(text for path, text in sorted(files.items()) if path.startswith("macros/") and path.endswith(".sql"))
        self._docs = {name: text.strip() for path, text in files.items() if path.endswith(".md") for name, text in DOCS.findall(text)}
        self._environment = jinja2.Environment(autoescape=False)  # noqa: S701 - SQL
        yamls = [(path, yaml.safe_load(text) or {}) for path, text in sorted(files.items()) if path.endswith(".yml") and "/" in path]
        self._declare_files()
        for path, content in yamls:
            self._declare(path, content)
        for path, content in yamls:
            self._describe(path, content)
        for resource in list(self.resources.values()):
            if resource.code is not None and resource.compiled is None:
                resource.compiled = self._render(resource)

    def _declare(self, path: str, content: Mapping[str, Any]) -> None:
        for source in content.get("sources", ()):
            for table in source["tables"]:
                fields = {"name": table["name"], "source_name": source["name"], "schema": source["schema"]}
                about = {"loader": source.get("loader", ""), "source_description": source.get("description", "")}
                self._add(f"source.{self.name}.{source['name']}.{table['name']}", path, {**fields, **about, "identifier": table["name"]})
        for snapshot in content.get("snapshots", ()):
            found = self._add(
                f"snapshot.{self.name}.{snapshot['name']}", path, {"config": {"materialized": "snapshot"}, "schema": "history"}
            )
            found.code = "select * from {{ " + snapshot["relation"] + " }}"  # noqa: S608 - nobody runs it
        self.groups += [{"package_name": self.name, **group} for group in content.get("groups", ())]

    def _declare_files(self) -> None:
        for path, text in sorted(self.files.items()):
            folder, name = path.partition("/")[0], PurePosixPath(path).stem
            if path.endswith(".csv") and folder == "seeds":
                header = text.partition("\n")[0].strip().split(",")
                self._add(f"seed.{self.name}.{name}", path, {"schema": "reference", "header": header, "config": {"materialized": "seed"}})
            elif path.endswith(".sql") and folder in FOLDERS and not path.startswith("tests/generic/"):
                self._add(f"{FOLDERS[folder]}.{self.name}.{name}", path, {"config": self._config_of(path)}).code = text

    def _config_of(self, path: str) -> dict[str, Any]:
        """What `dbt_project.yml` says of a file's folder."""
        level = self.settings.get(PurePosixPath(path).parts[0], {}).get(self.name, {})
        found: dict[str, Any] = {"materialized": "view", "tags": []}
        for part in PurePosixPath(path).parts[1:-1]:
            level = level.get(part, {})
            found |= {key[1:]: value for key, value in level.items() if key.startswith("+")}
        return found

    def _describe(self, path: str, content: Mapping[str, Any]) -> None:
        for kind, section in (("model", "models"), ("seed", "seeds"), ("snapshot", "snapshots"), ("analysis", "analyses")):
            for one in content.get(section, ()):
                self._properties(self.resources[f"{kind}.{self.name}.{one['name']}"], path, one)
        for source in content.get("sources", ()):
            for table in source["tables"]:
                self._properties(self.resources[f"source.{self.name}.{source['name']}.{table['name']}"], path, table)
        for kind, section in (("exposure", "exposures"), ("semantic_model", "semantic_models"), ("metric", "metrics")):
            for one in content.get(section, ()):
                self._add(f"{kind}.{self.name}.{one['name']}", path, one).upstream = [*self._above(kind, one)]
        for one in content.get("saved_queries", ()):
            upstream = [f"metric.{self.name}.{name}" for name in one["query_params"]["metrics"]]
            self._add(f"saved_query.{self.name}.{one['name']}", path, one).upstream = upstream

    def _above(self, kind: str, one: Mapping[str, Any]) -> Iterator[str]:
        texts = [one["model"]] if kind == "semantic_model" else one.get("depends_on", ())
        for text in texts:
            yield from (self.reference(f"{kind}.{self.name}.{one['name']}", name).unique_id for name in REF.findall(text))
        measures = one.get("type_params", {})
        if measure := measures.get("measure"):
            models = [found for found in self.resources.values() if found.kind == "semantic_model"]
            yield from (found.unique_id for found in models if any(each["name"] == measure for each in found.fields["measures"]))
        yield from (f"metric.{self.name}.{measures[role]}" for role in ("numerator", "denominator") if role in measures)

    def _properties(self, resource: Resource, path: str, one: Mapping[str, Any]) -> None:
        config = {**resource.fields.get("config", {}), **one.get("config", {})}
        resource.fields |= {"description": self._text(one.get("description", "")), "config": config, "patch_path": f"{self.name}://{path}"}
        resource.fields |= {key: one[key] for key in ("meta", "access", "freshness", "loaded_at_field", "latest_version") if key in one}
        resource.fields |= {key: config[key] for key in ("group", "schema") if key in config}
        columns = {}
        for column in one.get("columns", ()):
            columns[column["name"]] = {"name": column["name"], "description": self._text(column.get("description", ""))}
            columns[column["name"]] |= {key: column[key] for key in ("data_type", "meta", "tags") if key in column}
            for test in column.get("data_tests", ()):
                self._test(resource, path, column["name"], test)
        resource.fields["columns"] = columns

    def _test(self, tested: Resource, path: str, column: str, test: str | Mapping[str, Any]) -> None:
        kind, options = (test, {}) if isinstance(test, str) else next(iter(test.items()))
        arguments = options.get("arguments", options)
        name = f"{kind}_{tested.name}_{column}"
        metadata = {"name": kind, "namespace": None, "kwargs": {**arguments, "column_name": column, "model": "{{ get_where_subquery(…) }}"}}
        config = {"severity": "ERROR", **options.get("config", {})}
        fields = {"name": name, "column_name": column, "attached_node": tested.unique_id, "test_metadata": metadata, "config": config}
        more = [self.reference(name, other).unique_id for other in REF.findall(str(arguments.get("to", "")))]
        digest = hashlib.sha256(name.encode()).hexdigest()[:10]
        self._add(f"test.{self.name}.{name}.{digest}", path, fields).upstream = [tested.unique_id, *more]

    def _add(self, unique_id: str, path: str, fields: dict[str, Any]) -> Resource:
        self.resources[unique_id] = resource = Resource(unique_id, path, {**fields})
        if "description" in fields:
            resource.fields["description"] = self._text(fields["description"])
        return resource

    def _text(self, text: str) -> str:
        """A description with its doc blocks."""
        return self._environment.from_string(text).render(doc=lambda *names: self._docs[names[-1]]) if "{{" in text else text

    def reference(self, reader: str, *names: str) -> Resource:
        """What `ref` or `source` leads to. Raises MissingNodeError."""
        wanted = (
            [f"source.{self.name}.{'.'.join(names)}"]
            if names[1:]
            else [f"{kind}.{self.name}.{names[0]}" for kind in ("model", "seed", "snapshot")]
        )
        found = next((self.resources[one] for one in wanted if one in self.resources), None)
        if found is None:
            place = self.resources[reader].path if reader in self.resources else reader
            what = f"a source named '{'.'.join(names)}'" if names[1:] else f"a node named '{names[0]}'"
            raise MissingNodeError(
                f"Compilation Error\n  {reader.partition('.')[0].capitalize()} '{reader}' ({place}) depends on {what} which was not found"
            )
        return found

    def _render(self, resource: Resource) -> str:
        def refer(*names: str) -> str:
            found = self.reference(resource.unique_id, *names)
            resource.upstream.append(found.unique_id)
            return found.relation_name

        def config(**options: Any) -> str:
            resource.fields["config"] = {**resource.fields.get("config", {}), **options}
            return ""

        variables = self.settings.get("vars", {})
        known = {"ref": refer, "source": refer, "config": config, "var": lambda name, default=None: variables.get(name, default)}
        template = self._environment.from_string(self._macros + (resource.code or ""))
        return template.render(**known, env_var=lambda *names: names[-1], is_incremental=lambda: False, this=resource.relation_name).strip()
