select
    id as station_id,
    name as station_name,
    district,
    docks as dock_count,
    opened_on
from {{ source('booking', 'stations') }}
