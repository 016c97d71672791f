select bike_models.kind
from {{ ref('bike_models') }} as bike_models
left join {{ ref('tariffs') }} as tariffs on tariffs.kind = bike_models.kind
where tariffs.kind is null
