-- Campaigns that are to be sent at a time, once or again and again; docs/ENGINE.md, "Schedules".

create table ficus.schedule (
    id uuid not null,
    tenant_id bigint not null,
    campaign_id bigint not null,
    template_id bigint not null,
    -- Of the row in legacy's table that shows it.
    legacy_id bigint not null,
    next_at timestamptz not null,
    -- Both null: once.
    cron text,
    zone text,
    -- How late it may be sent. Null: however late.
    skip_after interval,
    -- waiting: for next_at; sending: its run is on its way; the others are ends. A repeated one waits until it fails.
    state text not null default 'waiting',
    -- Why it failed.
    reason text,
    -- The last send.
    run_id uuid,
    -- Whether legacy's row says what this one says.
    is_told boolean not null default true,
    stored_at timestamptz not null default clock_timestamp(),
    constraint schedule_pkey primary key (id),
    constraint schedule_tenant_positive check (tenant_id > 0),
    constraint schedule_state_known check (state in ('waiting', 'sending', 'sent', 'skipped', 'failed')),
    constraint schedule_cron_in_zone check ((cron is null) = (zone is null)),
    constraint schedule_skip_positive check (skip_after > interval '0'),
    constraint schedule_sending_run check (state <> 'sending' or run_id is not null)
);
create index schedule_waiting_idx on ficus.schedule (next_at) where state = 'waiting';
create index schedule_sending_idx on ficus.schedule (run_id) where state = 'sending';
create index schedule_untold_idx on ficus.schedule (id) where not is_told;
comment on table ficus.schedule is 'Campaigns that are to be sent at a time.';

-- A repeated schedule's sends are not each other's duplicates: it is a part of their messages' keys.
alter table ficus.campaign_run add column occurrence text;

create function ficus.store_schedule(
    schedule uuid, tenant bigint, campaign bigint, template bigint, legacy bigint, next_at timestamptz, cron text, zone text, skip_after interval
) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    insert into ficus.schedule (id, tenant_id, campaign_id, template_id, legacy_id, next_at, cron, zone, skip_after)
    values (schedule, tenant, campaign, template, legacy, store_schedule.next_at, store_schedule.cron, store_schedule.zone, store_schedule.skip_after)
$$;
comment on function ficus.store_schedule is 'A campaign is to be sent at a time.';

-- Takes a schedule that is due and begins its send, in one transaction. False: somebody else does, or has. `next` of null: it was the last time.
create function ficus.fire_schedule(
    schedule uuid, stood timestamptz, next timestamptz, run uuid, content uuid, digest bytea, body text, occurrence text
) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    found_schedule record;
begin
    select * into found_schedule from ficus.schedule as s
    where s.id = schedule and s.next_at = stood and s.state = 'waiting' for update skip locked;
    if not found then
        return false;
    end if;
    perform ficus.begin_run(run, found_schedule.tenant_id, found_schedule.campaign_id, found_schedule.template_id, content, digest, body);
    update ficus.campaign_run as r set occurrence = fire_schedule.occurrence where r.id = run;
    update ficus.schedule as s set
        run_id = run, state = case when next is null then 'sending' else 'waiting' end,
        next_at = coalesce(next, s.next_at), is_told = s.is_told and next is null
    where s.id = schedule;
    return true;
end
$$;
comment on function ficus.fire_schedule is 'A scheduled campaign''s send begins.';

-- It is not sent this time: too late, and then it waits for `next` if that is not null; or not at all any more.
create function ficus.pass_schedule(schedule uuid, stood timestamptz, next timestamptz, became text, reason text) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update ficus.schedule as s set
        state = case when next is null then became else 'waiting' end, reason = pass_schedule.reason,
        next_at = coalesce(next, s.next_at), is_told = false
    where s.id = schedule and s.next_at = stood and s.state = 'waiting';
    return found;
end
$$;
comment on function ficus.pass_schedule is 'A scheduled campaign is not sent.';

-- Schedules whose send has ended, and of which legacy is to be told. As legacy, who reached nobody has failed.
create function ficus.end_schedules() returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update ficus.schedule as s set state = case when r.sent > 0 then 'sent' else 'failed' end, is_told = false,
        reason = case when r.sent = 0 then 'nobody was reached' end
    from ficus.campaign_run as r where s.state = 'sending' and r.id = s.run_id and r.state = 'done'
$$;
comment on function ficus.end_schedules is 'Which schedules have ended with their sends.';

create function ficus.note_schedule_told(schedule uuid, stood timestamptz, state text) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update ficus.schedule as s set is_told = true where s.id = schedule and s.next_at = stood and s.state = note_schedule_told.state
$$;
comment on function ficus.note_schedule_told is 'Legacy''s row says so.';

do $$
declare
    thing text;
begin
    alter table ficus.schedule owner to ficus_owner;
    grant select on ficus.schedule to ficus_app, ficus_read;
    for thing in
        select p.oid::regprocedure::text from pg_proc as p where p.pronamespace = 'ficus'::regnamespace and p.proname in (
            'store_schedule', 'fire_schedule', 'pass_schedule', 'end_schedules', 'note_schedule_told')
    loop
        execute format('alter function %s owner to ficus_owner', thing);
        execute format('revoke execute on function %s from public', thing);
        execute format('grant execute on function %s to ficus_app', thing);
    end loop;
end
$$;
