-- Two rentals of one bicycle must not overlap.
select
    earlier.rental_id,
    later.rental_id as overlapping_rental_id
from {{ ref('int_rentals_priced') }} as earlier
inner join {{ ref('int_rentals_priced') }} as later
    on later.bike_id = earlier.bike_id
    and later.started_at > earlier.started_at
    and later.started_at < earlier.ended_at
