select
    id as rental_id,
    bike_id,
    customer_id,
    from_station_id,
    to_station_id,
    started_at,
    ended_at,
    status as rental_status
from {{ source('booking', 'rentals') }}
where started_at >= cast('{{ var("first_season") }}' as date)
