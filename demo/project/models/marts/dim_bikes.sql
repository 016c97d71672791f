select
    bikes.bike_id,
    bikes.bike_model,
    bike_models.kind,
    bikes.bought_on,
    bikes.retired_on,
    {{ cents_to_euros('bike_models.purchase_price_cents') }} as purchase_price_eur
from {{ ref('stg_bikes') }} as bikes
left join {{ ref('bike_models') }} as bike_models on bike_models.bike_model = bikes.bike_model
