select cast(day as date) as day
from generate_series(date '{{ var("first_season") }}', date '2030-12-31', interval 1 day) as series (day)
