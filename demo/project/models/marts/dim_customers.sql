select
    customers.customer_id,
    customers.signed_up_at,
    customers.has_season_ticket,
    count(rentals.rental_id) as rental_count,
    min(rentals.started_at) as first_rented_at
from {{ ref('stg_customers') }} as customers
left join {{ ref('int_rentals_priced') }} as rentals on rentals.customer_id = customers.customer_id
group by 1, 2, 3
