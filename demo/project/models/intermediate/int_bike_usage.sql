select
    bike_id,
    count(*) as rental_count,
    sum(minutes) as rented_minutes,
    sum(price_eur) as earned_eur,
    max(started_at) as last_rented_at
from {{ ref('int_rentals_priced') }}
group by bike_id
