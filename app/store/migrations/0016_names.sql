-- Names of tables that were made of constants, because the database and the schema of the target were not read: they become unknown.
UPDATE nodes SET content = (content::jsonb || '{"relation_name": null, "relation_name_source": "placeholder"}')::json
WHERE content ->> 'relation_name' ~* '(^|[^[:alnum:]_])freshet([^[:alnum:]]|$)|^"memory"[.]' AND content -> 'relation_name_source' IS NULL;
