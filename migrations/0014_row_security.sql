-- A tenant's request sees that tenant's rows: whoever forgets a condition gets none too many.
--
-- The engine's API becomes `ficus_sender` for the transaction of a request (`set local role`), and says for whom (`ficus.tenant`): both end
-- with the transaction, so that a pooled connection carries nothing over. Everything else goes by the roles that it had.

do $$
declare
    thing text;
begin
    foreach thing in array array['message', 'attempt', 'attempt_end', 'content', 'campaign_run', 'later', 'suppression'] loop
        execute format('alter table ficus.%I enable row level security', thing);
        -- Also for the owner, as whom the functions run: what it may is said below, and nothing is left to who owns a table.
        execute format('alter table ficus.%I force row level security', thing);
        execute format('create policy %I on ficus.%I to ficus_owner, ficus_app, ficus_read using (true) with check (true)', thing || '_engine', thing);
        execute format(
            'create policy %I on ficus.%I for select to ficus_sender using (tenant_id = nullif(current_setting(''ficus.tenant'', true), '''')::bigint)',
            thing || '_tenant', thing);
    end loop;
end
$$;
grant usage on schema ficus to ficus_sender;
grant select on ficus.message, ficus.attempt, ficus.attempt_end, ficus.later, ficus.campaign_run to ficus_sender;
grant ficus_sender to ficus_app, ficus_owner;
