select
    bikes.bike_id,
    bikes.kind,
    coalesce(usage.earned_eur, 0) as earned_eur,
    coalesce(repairs.repair_cost_eur, 0) as repair_cost_eur,
    coalesce(usage.earned_eur, 0) - coalesce(repairs.repair_cost_eur, 0) - bikes.purchase_price_eur as profit_eur
from {{ ref('dim_bikes') }} as bikes
left join {{ ref('int_bike_usage') }} as usage on usage.bike_id = bikes.bike_id
left join {{ ref('int_repair_costs') }} as repairs on repairs.bike_id = bikes.bike_id
