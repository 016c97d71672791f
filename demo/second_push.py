"""The sample project's second commit, which replaces one model by another, so that the lineage visibly changes.

`station_daily` counts departures only; `station_balance` also counts where bicycles are returned. The model's YAML and the exposure that
uses it change too. Paths are relative to the project; `None` deletes a file.
"""

from __future__ import annotations

MESSAGE = "Replace station_daily with station_balance"

_STATION_BALANCE_SQL = """\
with moves as (
    select from_station_id as station_id, cast(started_at as date) as moved_on, -1 as bikes
    from {{ ref('fct_rentals') }}
    union all
    select to_station_id, cast(ended_at as date), 1
    from {{ ref('int_rentals_priced') }}
    where to_station_id is not null
)

select
    stations.station_id,
    stations.district,
    moves.moved_on,
    sum(moves.bikes) as gained_bikes,
    sum(moves.bikes) < -0.5 * stations.dock_count as ran_empty
from moves
inner join {{ ref('dim_stations') }} as stations on stations.station_id = moves.station_id
group by stations.station_id, stations.district, stations.dock_count, moves.moved_on
"""

_STATIONS_YML = """\
version: 2

models:
  - name: dim_stations
    description: One row per station.
    columns:
      - name: station_id
        description: Key of the station.
        data_tests: [unique, not_null]
      - name: district
        description: Part of the city.
      - name: dock_count
        description: How many bicycles fit.
  - name: station_balance
    description: How many bicycles each station gained or lost on each day.
    config:
      group: operations
    columns:
      - name: station_id
        description: The station.
        data_tests: [not_null]
      - name: moved_on
        description: The day.
        data_tests: [not_null]
      - name: gained_bikes
        description: Returns minus departures.
      - name: ran_empty
        description: Whether it lost more bicycles than half of its docks.
"""

_EXPOSURES_YML = """\
version: 2

exposures:
  - name: morning_round
    label: The van's morning round
    type: dashboard
    maturity: high
    url: https://dashboards.kingfisher.example/morning-round
    description: Tells the driver which stations ran empty yesterday.
    owner:
      name: Operations
      email: operations@kingfisher.example
    depends_on:
      - ref('station_balance')
      - ref('dim_stations')
  - name: fleet_budget
    label: Fleet budget
    type: analysis
    maturity: medium
    description: The yearly decision on which bicycles to buy again.
    owner:
      name: Office
      email: office@kingfisher.example
    depends_on:
      - ref('bike_profitability')
"""

FILES: dict[str, str | None] = {
    "models/marts/station_balance.sql": _STATION_BALANCE_SQL,
    "models/marts/station_daily.sql": None,
    "models/marts/_stations.yml": _STATIONS_YML,
    "models/marts/_exposures.yml": _EXPOSURES_YML,
}
