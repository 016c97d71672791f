select
    station_id,
    station_name,
    district,
    dock_count,
    opened_on
from {{ ref('stg_stations') }}
