with rentals as (
    select * from {{ ref('stg_rentals') }}
    where rental_status <> 'cancelled'
),

timed as (
    select
        rentals.*,
        {{ started_minutes('started_at', 'ended_at') }} as minutes
    from rentals
)

select
    timed.rental_id,
    timed.bike_id,
    timed.customer_id,
    timed.from_station_id,
    timed.to_station_id,
    timed.started_at,
    timed.ended_at,
    timed.minutes,
    bike_models.kind,
    {{ cents_to_euros('tariffs.unlock_cents + timed.minutes * tariffs.per_minute_cents') }} as price_eur
from timed
inner join {{ ref('stg_bikes') }} as bikes on bikes.bike_id = timed.bike_id
inner join {{ ref('bike_models') }} as bike_models on bike_models.bike_model = bikes.bike_model
inner join {{ ref('tariffs') }} as tariffs on tariffs.kind = bike_models.kind
