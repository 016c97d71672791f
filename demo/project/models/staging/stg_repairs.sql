select
    ledger_line as repair_id,
    bike_id,
    finished_on,
    {{ cents_to_euros('parts_cents + labour_cents') }} as cost_eur
from {{ source('workshop', 'repairs') }}
