select
    rental_id,
    sum(amount_eur) as paid_eur,
    min(paid_at) as first_paid_at
from {{ ref('stg_payments') }}
group by rental_id
