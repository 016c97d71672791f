select
    id as bike_id,
    model as bike_model,
    home_station_id,
    bought_on,
    retired_on
from {{ source('booking', 'bikes') }}
