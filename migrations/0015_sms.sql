-- Text messages: campaigns by text, and what their gateways report.
--
-- How a report becomes a truth is in docs/ENGINE.md, "Texts". Tables by a message's id are partitioned by the day of it, as in 0008.

alter table ficus.campaign_run add column channel text not null default 'email';
-- Of a campaign by text.
alter table ficus.campaign_run add column gateway text;
alter table ficus.campaign_run add constraint campaign_run_channel_known check (channel in ('email', 'sms') and (channel = 'sms') = (gateway is not null));

create function ficus.begin_sms_run(
    run uuid, tenant bigint, campaign bigint, template bigint, gateway text, content uuid, digest bytea, body text
) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select ficus.begin_run(run, tenant, campaign, template, content, digest, body);
    update ficus.campaign_run as r set channel = 'sms', gateway = begin_sms_run.gateway where r.id = run;
$$;
comment on function ficus.begin_sms_run is 'A campaign is to be sent by text.';

-- A schedule of a campaign by text goes through a gateway; of one by e-mail it has none.
alter table ficus.schedule add column gateway text;

create function ficus.store_sms_schedule(
    schedule uuid, tenant bigint, campaign bigint, template bigint, gateway text, legacy bigint, next_at timestamptz, cron text, zone text, skip_after interval
) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select ficus.store_schedule(schedule, tenant, campaign, template, legacy, next_at, cron, zone, skip_after);
    update ficus.schedule as s set gateway = store_sms_schedule.gateway where s.id = schedule;
$$;
comment on function ficus.store_sms_schedule is 'A campaign is to be sent by text at a time.';

-- As fire_schedule, of a schedule that has a gateway.
create function ficus.fire_sms_schedule(
    schedule uuid, stood timestamptz, next timestamptz, run uuid, content uuid, digest bytea, body text, occurrence text
) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if not ficus.fire_schedule(schedule, stood, next, run, content, digest, body, occurrence) then
        return false;
    end if;
    update ficus.campaign_run as r set channel = 'sms', gateway = s.gateway from ficus.schedule as s where r.id = run and s.id = schedule;
    return true;
end
$$;
comment on function ficus.fire_sms_schedule is 'A scheduled campaign''s send by text begins.';

-- What a gateway says of a message that it has taken is a transition too, and of no attempt: its number is 0.
alter table ficus.event drop constraint event_state_known;
alter table ficus.event add constraint event_state_known check (
    state in ('queued', 'accepted', 'failed', 'dead', 'unknown', 'cancelled', 'deferred', 'uncertain', 'retried', 'delivered', 'undelivered', 'read'));

-- By what a gateway calls it, where a report comes to an address that names no message. Mails have no such name.
create index attempt_end_reference_idx on ficus.attempt_end (reference) where reference is not null;

-- Each report once: what was signed is not believed a second time, for as long as its message is known.
create table ficus.callback (
    id uuid not null,
    -- SHA-256 of what makes it this report: its nonce, where the gateway signs one, else all of it.
    digest bytea not null,
    tenant_id bigint not null,
    gateway text not null,
    -- The gateway's name for the part of the message that it is about; empty: for all of it.
    part text not null,
    -- The gateway's own word.
    said text not null,
    -- engine::callbacks::rank: what is known by more of it is known better.
    rank smallint not null,
    code text not null,
    at timestamptz not null default clock_timestamp(),
    constraint callback_pkey primary key (id, digest),
    constraint callback_digest_whole check (octet_length(digest) = 32)
) partition by range (id);
comment on table ficus.callback is 'What gateways reported of texts.';

-- What is true of a message by all its reports, in whatever order they came.
create table ficus.delivery (
    id uuid not null,
    tenant_id bigint not null,
    -- 0: nothing is.
    rank smallint not null default 0,
    code text not null default '',
    at timestamptz not null default clock_timestamp(),
    constraint delivery_pkey primary key (id)
) partition by range (id);
comment on table ficus.delivery is 'What became of texts that gateways had taken.';

create table ficus.callback_other partition of ficus.callback default;
create table ficus.delivery_other partition of ficus.delivery default;

-- Writes a report down and what follows from it: the part is what its best report says, and the message what its worst part is. `why` is not
-- null where the recipient wants no more. Answers recorded, or replayed, and then nothing has changed.
create function ficus.record_callback(
    message uuid, tenant bigint, by_gateway text, digest bytea, part text, said text, rank smallint, code text, why text
) returns text
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
    was record;
    found_now record;
    becomes text;
begin
    -- One at a time a message.
    insert into ficus.delivery (id, tenant_id) values (message, tenant) on conflict on constraint delivery_pkey do nothing;
    select d.rank, d.code into was from ficus.delivery as d where d.id = message for update;
    insert into ficus.callback (id, digest, tenant_id, gateway, part, said, rank, code)
    values (message, record_callback.digest, tenant, by_gateway, record_callback.part, record_callback.said, record_callback.rank, record_callback.code)
    on conflict on constraint callback_pkey do nothing;
    if not found then
        return 'replayed';
    end if;
    perform ficus.settle_reported(array[message]);
    select p.rank, p.code into found_now from (
        -- Of two reports of one rank the first.
        select distinct on (c.part) c.part, c.rank, c.code from ficus.callback as c where c.id = message order by c.part, c.rank desc, c.at
    ) as p order by p.rank, p.part limit 1;
    if found_now.rank is distinct from was.rank then
        update ficus.delivery as d set rank = found_now.rank, code = found_now.code, at = clock_timestamp() where d.id = message;
        becomes := case when found_now.rank >= 70 then 'read' when found_now.rank >= 60 then 'delivered' when found_now.rank >= 50 then 'undelivered' end;
        if becomes is not null then
            perform ficus.tell(becomes, found_now.code, array[message], array[0::smallint]);
        end if;
    end if;
    if why is not null then
        perform ficus.suppress(message, tenant, why, '');
    end if;
    return 'recorded';
end
$$;
comment on function ficus.record_callback is 'Writes down what a gateway reported of a message.';

-- A gateway that reports on a message has taken it: of these, attempts of which that was uncertain are settled.
create function ficus.settle_reported(messages uuid[]) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
declare
    open record;
begin
    for open in
        select e.id, e.tenant_id from unnest(messages) as g (id)
        cross join lateral (select * from ficus.attempt_end as e where e.id = g.id and e.state = 'uncertain' offset 0) as e
        order by e.id
    loop
        -- Waits for a report that is being written.
        insert into ficus.delivery (id, tenant_id) values (open.id, open.tenant_id) on conflict on constraint delivery_pkey do nothing;
        if exists (select from ficus.callback as c where c.id = open.id) then
            perform ficus.settle_message(open.id, 'sent', 'engine', 'callback', 'its gateway reported on it');
        end if;
    end loop;
end
$$;
comment on function ficus.settle_reported is 'Settles uncertain attempts of which a gateway has reported.';

do $$
declare
    thing text;
begin
    foreach thing in array array['callback', 'callback_other', 'delivery', 'delivery_other'] loop
        execute format('alter table ficus.%I owner to ficus_owner', thing);
        execute format('grant select on ficus.%I to ficus_app', thing);
    end loop;
    -- As in 0014.
    foreach thing in array array['callback', 'delivery'] loop
        execute format('alter table ficus.%I enable row level security', thing);
        execute format('alter table ficus.%I force row level security', thing);
        execute format('create policy %I on ficus.%I to ficus_owner, ficus_app, ficus_read using (true) with check (true)', thing || '_engine', thing);
        execute format(
            'create policy %I on ficus.%I for select to ficus_sender using (tenant_id = nullif(current_setting(''ficus.tenant'', true), '''')::bigint)',
            thing || '_tenant', thing);
    end loop;
    for thing in
        select p.oid::regprocedure::text from pg_proc as p where p.pronamespace = 'ficus'::regnamespace and p.proname in (
            'begin_sms_run', 'store_sms_schedule', 'fire_sms_schedule', 'record_callback', 'settle_reported')
    loop
        execute format('alter function %s owner to ficus_owner', thing);
        execute format('revoke execute on function %s from public', thing);
        execute format('grant execute on function %s to ficus_app', thing);
    end loop;
end
$$;
grant select on ficus.callback, ficus.delivery to ficus_read;
grant select on ficus.delivery to ficus_sender;
-- The days ahead; what is old goes when an engine says for how long it keeps.
select ficus.keep_days(7, 36500);
