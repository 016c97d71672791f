select
    id as payment_id,
    rental_id,
    method as payment_method,
    {{ cents_to_euros('amount_cents') }} as amount_eur,
    paid_at
from {{ source('booking', 'payments') }}
