{% macro started_minutes(started_at, ended_at) -%}
    cast(ceil(date_diff('second', {{ started_at }}, coalesce({{ ended_at }}, current_timestamp)) / 60.0) as integer)
{%- endmacro %}
