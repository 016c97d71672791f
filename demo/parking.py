"""The second repository of `make demo-serve`: a small project, not built as it should be, whose newest commit dbt cannot parse."""

from __future__ import annotations

REPOSITORY = "acme/parking"
README = "Where the bicycles stand.\n"
MESSAGE = "Count free spaces"
FILES = {
    "dbt_project.yml": "name: parking\nversion: '1.0'\nprofile: parking\n",
    "models/staging/spaces.sql": "select 1 as space_id, 'A' as deck",
    "models/staging/int_decks.sql": "select distinct deck from {{ ref('spaces') }}",
    "models/marts/free_spaces.sql": "select space_id from {{ ref('spaces') }} where deck = 'A'",
}
NAMES_MESSAGE = "Say where tables are"
NAMES = {".github/freshet.yml": "database: rental\nschema: prod\n"}
"""Settings of the first repository: the names of its tables are known then."""
STATIONS_MESSAGE = "Read the stations of the first repository"
STATIONS = {
    "models/sources.yml": """
version: 2
sources:
  - name: kingfisher
    database: rental
    schema: prod
    tables:
      - name: dim_stations
""",
    "models/decks.sql": "select * from {{ source('kingfisher', 'dim_stations') }}",
}
BROKEN_MESSAGE = "Call them places"
BROKEN = {"models/marts/free_spaces.sql": "select space_id from {{ ref('places') }} where deck = 'A'"}
