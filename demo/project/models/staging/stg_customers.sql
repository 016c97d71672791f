select
    id as customer_id,
    lower(email) as email,
    signed_up_at,
    plan = 'season' as has_season_ticket
from {{ source('booking', 'customers') }}
