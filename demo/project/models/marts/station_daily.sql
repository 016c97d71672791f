select
    stations.station_id,
    stations.district,
    cast(rentals.started_at as date) as rented_on,
    count(*) as departures,
    sum(rentals.price_eur) as price_eur
from {{ ref('fct_rentals') }} as rentals
inner join {{ ref('dim_stations') }} as stations on stations.station_id = rentals.from_station_id
group by 1, 2, 3
