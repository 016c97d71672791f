{{ config(materialized='incremental', unique_key='rental_id') }}

select
    rentals.rental_id,
    rentals.bike_id,
    rentals.customer_id,
    rentals.from_station_id,
    rentals.to_station_id,
    rentals.started_at,
    rentals.minutes,
    rentals.price_eur,
    coalesce(payments.paid_eur, 0) as paid_eur,
    holidays.holiday_date is not null as on_public_holiday
from {{ ref('int_rentals_priced') }} as rentals
left join {{ ref('int_rental_payments') }} as payments on payments.rental_id = rentals.rental_id
left join {{ ref('public_holidays') }} as holidays on holidays.holiday_date = cast(rentals.started_at as date)
{% if is_incremental() %}
where rentals.started_at >= (select max(started_at) - interval 3 day from {{ this }})
{% endif %}
