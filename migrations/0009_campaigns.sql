-- A campaign that is sent: which recipients have been read, what became of them, and whether it goes on.

create table ficus.campaign_run (
    id uuid not null,
    tenant_id bigint not null,
    campaign_id bigint not null,
    template_id bigint not null,
    -- What its messages share, and by which they are known as its own.
    content_id uuid not null,
    -- expanding: recipients are read; sending: all have been; finished: each has its end, and legacy is to be told; done: it has been.
    state text not null default 'expanding',
    is_paused boolean not null default false,
    -- The last recipient's place that was dealt with.
    position bigint not null default 0,
    -- Of recipients: left out (unsubscribed, bounced, suppressed, no quota), without an address to send to, and sent to before.
    skipped integer not null default 0,
    rejected integer not null default 0,
    duplicates integer not null default 0,
    -- Of its messages, as their events say: accepted by us, taken by a server, and ended otherwise.
    accepted integer not null default 0,
    sent integer not null default 0,
    failed integer not null default 0,
    requested_at timestamptz not null default clock_timestamp(),
    -- No message is added after this transaction.
    settled_xid xid8,
    finished_at timestamptz,
    -- Who works on it, until when.
    engine_id uuid,
    lease_until timestamptz not null default '-infinity',
    constraint campaign_run_pkey primary key (id),
    constraint campaign_run_content_own unique (content_id),
    constraint campaign_run_tenant_positive check (tenant_id > 0),
    constraint campaign_run_state_known check (state in ('expanding', 'sending', 'cancelling', 'cancelled', 'finished', 'done')),
    constraint campaign_run_counts check (least(accepted, skipped, rejected, duplicates, sent, failed) >= 0 and sent + failed <= accepted)
);
create index campaign_run_tenant_idx on ficus.campaign_run (tenant_id, campaign_id);
create index campaign_run_open_idx on ficus.campaign_run (state) where state <> 'done';
comment on table ficus.campaign_run is 'Campaigns that were sent, each time.';

-- Stores a run with what its messages share, in one transaction.
create function ficus.begin_run(run uuid, tenant bigint, campaign bigint, template bigint, content uuid, digest bytea, body text) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    insert into ficus.content (id, tenant_id, digest, body) values (content, tenant, digest, body);
    insert into ficus.campaign_run (id, tenant_id, campaign_id, template_id, content_id) values (run, tenant, campaign, template, content);
$$;
comment on function ficus.begin_run is 'A campaign is to be sent.';

-- A run that has recipients to be read, or messages to be cancelled, and that nobody works on.
create function ficus.claim_run(engine uuid, lease interval) returns setof ficus.campaign_run
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update ficus.campaign_run as r set engine_id = engine, lease_until = clock_timestamp() + lease
    where r.id = (
        select c.id from ficus.campaign_run as c
        where (c.state = 'expanding' and not c.is_paused or c.state = 'cancelling')
        and (c.engine_id = engine or c.lease_until < clock_timestamp())
        -- The one that was worked on longest ago.
        order by c.lease_until, c.id limit 1 for update skip locked
    )
    returning r.*
$$;
comment on function ficus.claim_run is 'Takes a campaign to work on.';

-- An engine that stops leaves its campaigns to others at once.
create function ficus.leave_runs(engine uuid) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update ficus.campaign_run as r set engine_id = null, lease_until = '-infinity' where r.engine_id = engine and r.state <> 'done'
$$;
comment on function ficus.leave_runs is 'An engine works on campaigns no more.';

-- And a task that one engine at a time does, when it has dealt with what it had in its hands.
create function ficus.leave_turn(reader text, engine uuid) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update ficus.event_reader as e set engine_id = null, lease_until = '-infinity' where e.name = reader and e.engine_id = engine
$$;
comment on function ficus.leave_turn is 'An engine does a task no more.';

-- Locks a run for the transaction in which its next messages are accepted: cancelling waits for it. False: it is not where it was thought to be.
create function ficus.lock_run(run uuid, stood bigint) returns boolean
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from ficus.campaign_run as r where r.id = run and r.position = stood and r.state = 'expanding' and not r.is_paused for update
    )
$$;
comment on function ficus.lock_run is 'Before a campaign''s next messages are accepted.';

create function ficus.advance_run(run uuid, reached bigint, is_last boolean, skipped integer, rejected integer, duplicates integer) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update ficus.campaign_run as r set
        position = reached, skipped = r.skipped + advance_run.skipped, rejected = r.rejected + advance_run.rejected,
        duplicates = r.duplicates + advance_run.duplicates, state = case when is_last then 'sending' else r.state end,
        settled_xid = case when is_last then pg_current_xact_id() end
    where r.id = run
$$;
comment on function ficus.advance_run is 'A campaign''s next messages were accepted.';

-- Moves a reader on together with what it counted of runs, by their contents.
create function ficus.count_runs(
    reader text, engine uuid, xid text, seq bigint, contents uuid[], accepted integer[], sent integer[], failed integer[]
) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if not coalesce(ficus.events_read(reader, engine, xid, seq), false) then
        return false;
    end if;
    update ficus.campaign_run as r set accepted = r.accepted + c.accepted, sent = r.sent + c.sent, failed = r.failed + c.failed
    from unnest(contents, count_runs.accepted, count_runs.sent, count_runs.failed) as c (content_id, accepted, sent, failed)
    where r.content_id = c.content_id;
    return true;
end
$$;
comment on function ficus.count_runs is 'A reader has dealt with events, and this is what they say of campaigns.';

-- Runs whose messages all have their ends are finished; answers with those of which legacy is not told yet. Everything before `horizon` was counted.
create function ficus.finish_runs(horizon text) returns table (id uuid, tenant_id bigint, campaign_id bigint, sent integer, failed integer, skipped integer, finished_at timestamptz)
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    -- No two of a campaign in the same second: by it legacy's log tells a run that it knows from another.
    with over as materialized (
        select r.id, greatest(clock_timestamp(), (
            select max(o.finished_at) + interval '1 second' from ficus.campaign_run as o
            where o.tenant_id = r.tenant_id and o.campaign_id = r.campaign_id
        )) + (row_number() over (partition by r.tenant_id, r.campaign_id order by r.id) - 1) * interval '1 second' as at
        from ficus.campaign_run as r
        where r.state in ('sending', 'cancelled') and r.settled_xid < horizon::xid8 and r.sent + r.failed = r.accepted
    )
    update ficus.campaign_run as r set state = 'finished', finished_at = o.at from over as o where r.id = o.id;
    select r.id, r.tenant_id, r.campaign_id, r.sent, r.failed + r.rejected, r.skipped + r.duplicates, r.finished_at
    from ficus.campaign_run as r where r.state = 'finished';
$$;
comment on function ficus.finish_runs is 'Which campaigns have ended.';

create function ficus.close_run(run uuid) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update ficus.campaign_run as r set state = 'done' where r.id = run and r.state = 'finished'
$$;
comment on function ficus.close_run is 'Legacy knows of the campaign''s end.';

-- From its commit on nothing of the campaign begins; what is under way ends.
create function ficus.pause_run(run uuid, reason text) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    found_run record;
begin
    perform ficus.fence();
    update ficus.campaign_run as r set is_paused = true where r.id = run and r.state in ('expanding', 'sending') returning * into found_run;
    if found_run.id is null then
        return false;
    end if;
    insert into ficus.hold (tenant_id, campaign_id, reason) values (found_run.tenant_id, found_run.campaign_id, reason)
    on conflict on constraint hold_pkey do nothing;
    return true;
end
$$;
comment on function ficus.pause_run is 'Nothing more of a campaign is sent for the time being.';

create function ficus.resume_run(run uuid) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    found_run record;
begin
    update ficus.campaign_run as r set is_paused = false where r.id = run and r.is_paused and r.state in ('expanding', 'sending') returning * into found_run;
    if found_run.id is null then
        return false;
    end if;
    delete from ficus.hold as h where h.tenant_id = found_run.tenant_id and h.campaign_id = found_run.campaign_id
    and not exists (
        select from ficus.campaign_run as r
        where r.tenant_id = found_run.tenant_id and r.campaign_id = found_run.campaign_id and r.id <> run and r.is_paused and r.state <> 'done'
    );
    return true;
end
$$;
comment on function ficus.resume_run is 'A paused campaign goes on.';

-- No more recipients are read, and nothing begins; then `ficus.cancel_messages` ends what nobody has begun, and `ficus.end_cancel` lets go.
create function ficus.cancel_run(run uuid, reason text) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    found_run record;
begin
    perform ficus.fence();
    update ficus.campaign_run as r set state = 'cancelling', is_paused = true
    where r.id = run and r.state in ('expanding', 'sending') returning * into found_run;
    if found_run.id is null then
        return false;
    end if;
    insert into ficus.hold (tenant_id, campaign_id, reason) values (found_run.tenant_id, found_run.campaign_id, reason)
    on conflict on constraint hold_pkey do nothing;
    return true;
end
$$;
comment on function ficus.cancel_run is 'A campaign is to end where it is.';

create function ficus.end_cancel(run uuid) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update ficus.campaign_run as r set state = 'cancelled', is_paused = false, settled_xid = pg_current_xact_id() where r.id = run and r.state = 'cancelling';
    delete from ficus.hold as h using ficus.campaign_run as r
    where r.id = run and h.tenant_id = r.tenant_id and h.campaign_id = r.campaign_id and not exists (
        select from ficus.campaign_run as o
        where o.tenant_id = r.tenant_id and o.campaign_id = r.campaign_id and o.id <> run and o.is_paused
    )
$$;
comment on function ficus.end_cancel is 'Nothing of the campaign is left to be cancelled.';

do $$
declare
    thing text;
begin
    alter table ficus.campaign_run owner to ficus_owner;
    grant select on ficus.campaign_run, ficus.content to ficus_app;
    grant select on ficus.campaign_run to ficus_read;
    for thing in
        select p.oid::regprocedure::text from pg_proc as p where p.pronamespace = 'ficus'::regnamespace and p.proname in (
            'begin_run', 'claim_run', 'leave_runs', 'leave_turn', 'lock_run', 'advance_run', 'count_runs', 'finish_runs', 'close_run', 'pause_run', 'resume_run', 'cancel_run',
            'end_cancel')
    loop
        execute format('alter function %s owner to ficus_owner', thing);
        execute format('revoke execute on function %s from public', thing);
        execute format('grant execute on function %s to ficus_app', thing);
    end loop;
end
$$;
