-- Candidates for the spring sale: old, expensive in the workshop, rarely rented.
select
    profit.bike_id,
    profit.kind,
    profit.profit_eur
from {{ ref('bike_profitability') }} as profit
inner join {{ ref('dim_bikes') }} as bikes on bikes.bike_id = profit.bike_id
where bikes.retired_on is null
order by profit.profit_eur
limit 20
