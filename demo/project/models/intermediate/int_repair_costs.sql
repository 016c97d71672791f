select
    bike_id,
    count(*) as repair_count,
    sum(cost_eur) as repair_cost_eur
from {{ ref('stg_repairs') }}
group by bike_id
