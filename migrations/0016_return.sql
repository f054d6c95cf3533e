-- Whose messages are whose: what becomes of a tenant's unsent messages when the tenant goes back to legacy.
--
-- docs/ENGINE.md, "Back to legacy", says how it works together; docs/adr/0253 why the flag's own transaction does it, and why what is
-- handed back is listed here before legacy has it.

-- Who sends for a tenant. No row: the engine.
create table ficus.owner (
    tenant_id bigint not null,
    side text not null,
    -- One more with each change of hands: what was begun in the name of an older one goes no further.
    epoch bigint not null default 1,
    -- hold: nothing begins until somebody says what is to become of it; return: legacy gets what is unsent.
    wish text not null,
    -- The tenant's hold was placed by this, and goes with it; one that a person had placed before stays.
    placed_hold boolean not null,
    reason text not null,
    since timestamptz not null default clock_timestamp(),
    constraint owner_pkey primary key (tenant_id),
    constraint owner_side_known check (side in ('engine', 'legacy')),
    constraint owner_wish_known check (wish in ('hold', 'return'))
);
comment on table ficus.owner is 'Tenants that have gone back to legacy, and those that have come again.';

-- What a rollback does, as the engine that started last is configured. No row: nothing.
create table ficus.rollback_rule (
    only_row boolean not null default true,
    capability text not null,
    wish text not null,
    constraint rollback_rule_pkey primary key (only_row),
    constraint rollback_rule_one_row check (only_row),
    constraint rollback_rule_wish_known check (wish in ('drain', 'hold', 'return'))
);
comment on table ficus.rollback_rule is 'By which capability''s flags tenants come to the engine and leave it, and what becomes of their messages then.';

-- A campaign's unsent recipients, on their way to legacy: a campaign of legacy's own. Legacy's database may be another one, so its ids are
-- reserved there and written down here first: whatever dies, the same rows are written again, and none twice.
create table ficus.handback (
    id uuid not null default gen_random_uuid(),
    run_id uuid not null,
    tenant_id bigint not null,
    campaign_id bigint not null,
    template_id bigint not null,
    epoch bigint not null,
    -- open: recipients are added; closed: these are all; told: legacy sends for them.
    state text not null default 'open',
    recipients integer not null default 0,
    -- What legacy is told of their messages before it begins: until then their quota has not gone back.
    last_xid xid8 not null default '0',
    legacy_campaign bigint,
    legacy_schedule bigint,
    since timestamptz not null default clock_timestamp(),
    told_at timestamptz,
    constraint handback_pkey primary key (id),
    constraint handback_state_known check (state in ('open', 'closed', 'told')),
    constraint handback_placed_whole check ((legacy_campaign is null) = (legacy_schedule is null))
);
create unique index handback_open_idx on ficus.handback (run_id) where state = 'open';
create index handback_untold_idx on ficus.handback (id) where state <> 'told';
create index handback_tenant_idx on ficus.handback (tenant_id, epoch);
comment on table ficus.handback is 'Campaigns whose unsent recipients go back to legacy.';

-- Gone when legacy has them.
create table ficus.handback_recipient (
    handback_id uuid not null,
    -- Of the message that was ended; of a recipient that had not become one yet, the id under which its key is known.
    message_id uuid not null,
    -- Null: of a message that was accepted before contacts were written down with it; then it is found by its address.
    contact bigint,
    recipient text not null,
    constraint handback_recipient_pkey primary key (handback_id, message_id),
    constraint handback_recipient_handback_fkey foreign key (handback_id) references ficus.handback (id)
);
comment on table ficus.handback_recipient is 'Recipients that legacy has not been given yet.';

-- Of those that count as failed, how many went back to legacy.
alter table ficus.campaign_run add column returned integer not null default 0;
alter table ficus.campaign_run drop constraint campaign_run_state_known;
alter table ficus.campaign_run add constraint campaign_run_state_known check (
    -- returning: what is unsent goes to legacy.
    state in ('expanding', 'sending', 'cancelling', 'returning', 'cancelled', 'finished', 'done'));
alter table ficus.schedule drop constraint schedule_state_known;
alter table ficus.schedule add constraint schedule_state_known check (
    -- returned: legacy's own cron sends it.
    state in ('waiting', 'sending', 'sent', 'skipped', 'failed', 'returned'));
alter table ficus.message_operation drop constraint message_operation_known;
alter table ficus.message_operation add constraint message_operation_known check (
    operation in ('retry', 'settle', 'hold', 'release', 'return', 'pause', 'resume', 'cancel', 'policy', 'server'));
-- Of a campaign that is paused, resumed or cancelled.
alter table ficus.message_operation add column run_id uuid;

create function ficus.set_rollback_rule(capability text, wish text) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    insert into ficus.rollback_rule as r (capability, wish) values (set_rollback_rule.capability, set_rollback_rule.wish)
    on conflict on constraint rollback_rule_pkey do update set capability = excluded.capability, wish = excluded.wish
    where (r.capability, r.wish) is distinct from (excluded.capability, excluded.wish)
$$;
comment on function ficus.set_rollback_rule is 'What a rollback does with messages.';

-- Takes tenants from the engine: from the commit on nothing of them begins, but for what is being written down at that moment. Answers with
-- those of whom this changed something. It waits for no attempt and asks for no fence: a rollback must not wait for us.
create function ficus.leave_engine(tenants bigint[], wish text, actor text, source text, reason text)
    returns table (tenant_id bigint, epoch bigint)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
begin
    return query
    with wanted as materialized (
        select distinct w.id from unnest(tenants) as w (id)
    ), held as (
        insert into ficus.hold (tenant_id, campaign_id, reason) select w.id, 0, leave_engine.reason from wanted as w order by w.id
        on conflict on constraint hold_pkey do nothing
        returning hold.tenant_id
    ), gone as (
        insert into ficus.owner as o (tenant_id, side, wish, placed_hold, reason)
        select w.id, 'legacy', leave_engine.wish, h.tenant_id is not null, leave_engine.reason
        from wanted as w left join held as h on h.tenant_id = w.id order by w.id
        on conflict on constraint owner_pkey do update set
            side = 'legacy', epoch = o.epoch + 1, wish = excluded.wish, reason = excluded.reason, since = clock_timestamp(),
            placed_hold = excluded.placed_hold or o.side = 'legacy' and o.placed_hold
        -- What is held may be returned later; what is being returned is not held again by a second rollback.
        where o.side = 'engine' or o.wish = 'hold' and excluded.wish = 'return'
        returning o.tenant_id, o.epoch
    ), traced as (
        insert into ficus.message_operation (operation, tenant_id, campaign_id, actor, source, reason)
        select leave_engine.wish, g.tenant_id, 0, leave_engine.actor, leave_engine.source, leave_engine.reason from gone as g order by g.tenant_id
    )
    select g.tenant_id, g.epoch from gone as g;
end
$$;
comment on function ficus.leave_engine is 'Tenants'' messages are legacy''s again: held, or returned.';

-- They are the engine's again. What was listed for legacy stays legacy's; everything else goes on here.
create function ficus.regain_tenants(tenants bigint[]) returns setof bigint
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
    back bigint[];
begin
    with came as (
        update ficus.owner as o set side = 'engine', epoch = o.epoch + 1, since = clock_timestamp()
        where o.side = 'legacy' and o.tenant_id = any (tenants) returning o.tenant_id
    )
    select coalesce(array_agg(c.tenant_id), '{}') into back from came as c;
    update ficus.handback as h set state = 'closed' where h.state = 'open' and h.tenant_id = any (back);
    update ficus.campaign_run as r set state = case when r.settled_xid is null then 'expanding' else 'sending' end
    where r.state = 'returning' and r.tenant_id = any (back);
    return query select unnest(back);
end
$$;
comment on function ficus.regain_tenants is 'Tenants'' messages are the engine''s again.';

-- Tenants come to the engine again: holds that their leaving had placed go.
create function ficus.enter_engine(tenants bigint[], actor text, source text, reason text) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
declare
    back bigint[] := array(select ficus.regain_tenants(tenants));
begin
    delete from ficus.hold as h using ficus.owner as o
    where o.tenant_id = any (back) and o.placed_hold and h.tenant_id = o.tenant_id and h.campaign_id = 0;
    insert into ficus.message_operation (operation, tenant_id, campaign_id, actor, source, reason)
    select 'release', b.id, 0, enter_engine.actor, enter_engine.source, enter_engine.reason from unnest(back) as b (id) order by b.id;
end
$$;
comment on function ficus.enter_engine is 'Tenants have come to the engine again.';

-- Who lets go of a tenant gives it back to the engine, by whatever way, psql too.
create function ficus.follow_release() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform ficus.regain_tenants(array(select g.tenant_id from old_rows as g where g.campaign_id = 0));
    return null;
end
$$;
create trigger hold_released after delete on ficus.hold
    referencing old table as old_rows for each statement execute function ficus.follow_release();

-- One tenant is to be returned. `changed` false: it has been asked for before.
create function ficus.return_tenant(tenant bigint, actor text, source text, reason text) returns table (changed boolean, epoch bigint)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    made bigint;
begin
    -- Whoever was about to write an attempt down has committed, or sees the hold.
    perform ficus.fence();
    select l.epoch into made from ficus.leave_engine(array[tenant], 'return', actor, source, reason) as l;
    return query select made is not null, o.epoch from ficus.owner as o where o.tenant_id = tenant;
end
$$;
comment on function ficus.return_tenant is 'A tenant''s unsent messages go back to legacy.';

-- Tenants of whom something is to be returned. `whole`: also those of whom only an uncertain message was settled since.
create function ficus.due_returns(whole boolean, most integer) returns table (tenant_id bigint, epoch bigint)
    language sql volatile security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
    select o.tenant_id, o.epoch from ficus.owner as o
    where o.side = 'legacy' and o.wish = 'return' and (
        o.tenant_id in (
            select r.tenant_id from ficus.campaign_run as r
            where r.channel = 'email' and r.state <> 'done' and (r.state in ('expanding', 'sending') and not r.is_paused or r.state = 'returning' or whole and r.state = 'cancelled')
            and not exists (select from ficus.hold as h where h.tenant_id = r.tenant_id and h.campaign_id = r.campaign_id)
        ) or o.tenant_id in (
            select s.tenant_id from ficus.schedule as s where s.state = 'waiting' and s.gateway is null
            and not exists (select from ficus.hold as h where h.tenant_id = s.tenant_id and h.campaign_id = s.campaign_id)
        )
    )
    -- Those that have to wait for something must not stand in front of the others.
    order by random() limit most
$$;
comment on function ficus.due_returns is 'Tenants that are returned, and of whom something is still here.';

-- True while the tenant is legacy's under this epoch; it stays so until the caller's transaction ends.
create function ficus.is_returned(tenant bigint, epoch bigint) returns boolean
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from ficus.owner as o
        where o.tenant_id = tenant and o.side = 'legacy' and o.wish = 'return' and o.epoch = is_returned.epoch for share
    )
$$;
comment on function ficus.is_returned is 'Whether a return is still to be done.';

-- Marks the tenant's campaigns by e-mail and their schedules; those by text are held. A campaign that is held or paused by itself stays as it is: somebody had a reason.
create function ficus.begin_return(tenant bigint, epoch bigint) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if not ficus.is_returned(tenant, epoch) then
        return false;
    end if;
    -- First, and in a statement of its own: one that is being fired becomes a run, which is seen below. Its row in legacy's table is told by
    -- who tells of schedules.
    update ficus.schedule as s set state = 'returned', is_told = false, reason = 'returned to legacy'
    where s.tenant_id = tenant and s.state = 'waiting' and s.gateway is null
    and not exists (select from ficus.hold as h where h.tenant_id = tenant and h.campaign_id = s.campaign_id);
    update ficus.campaign_run as r set state = 'returning'
    where r.tenant_id = tenant and r.channel = 'email' and r.state in ('expanding', 'sending') and not r.is_paused
    and not exists (select from ficus.hold as h where h.tenant_id = tenant and h.campaign_id = r.campaign_id);
    return true;
end
$$;
comment on function ficus.begin_return is 'A tenant''s campaigns are being returned.';

-- The open list of each of these runs, made where there is none.
create function ficus.open_handbacks(runs uuid[], epoch bigint) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    insert into ficus.handback (run_id, tenant_id, campaign_id, template_id, epoch)
    select r.id, r.tenant_id, r.campaign_id, r.template_id, open_handbacks.epoch from ficus.campaign_run as r where r.id = any (runs) order by r.id
    on conflict (run_id) where state = 'open' do nothing
$$;
comment on function ficus.open_handbacks is 'Lists into which recipients go.';

-- Ends what nobody has begun of the campaigns that are returned, and lists it for legacy: at most so many. Each gets the number of its next
-- attempt, so that an engine that has it in memory finds the number taken, whatever it believes. How many; -1: it is not to be done any more.
create function ficus.return_messages(tenant bigint, epoch bigint, most integer) returns integer
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
declare
    gone uuid[];
    runs uuid[];
    returned integer;
begin
    perform ficus.fence_shared();
    if not ficus.is_returned(tenant, epoch) then
        return -1;
    end if;
    select array_agg(f.id), array_agg(distinct f.run_id) into gone, runs from (
        select w.id, r.id as run_id from (
            select d.id from ficus.due as d where d.shard = tenant % 64 and d.tenant_id = tenant
            union
            select l.id from ficus.later as l where l.shard = tenant % 64 and l.tenant_id = tenant
        ) as w
        cross join lateral (select m.content_id from ficus.message as m where m.id = w.id offset 0) as m
        join ficus.campaign_run as r on r.content_id = m.content_id and r.channel = 'email' and r.state in ('returning', 'cancelled')
        where not exists (
            select from ficus.attempt as a where a.id = w.id
            and not exists (select from ficus.attempt_end as e where e.id = a.id and e.number = a.number)
        ) and not exists (select from ficus.hold as h where h.tenant_id = tenant and h.campaign_id = r.campaign_id)
        limit most
    ) as f;
    if gone is null then
        return 0;
    end if;
    perform ficus.open_handbacks(runs, epoch);
    with next as materialized (
        select g.id, (coalesce((select max(a.number) from ficus.attempt as a where a.id = g.id), 0) + 1)::smallint as number
        from unnest(gone) as g (id)
    ), begun as (
        insert into ficus.attempt (id, number, tenant_id, shard, epoch, connection)
        select n.id, n.number, tenant, tenant % 64, 0, 'returned' from next as n
        on conflict on constraint attempt_pkey do nothing
        returning attempt.id, attempt.number
    ), ended as (
        insert into ficus.attempt_end (id, number, tenant_id, state, code) select b.id, b.number, tenant, 'cancelled', 'returned' from begun as b
    ), told as (
        insert into ficus.event (state, code, ids, numbers, messages)
        select 'cancelled', 'returned', array_agg(b.id), array_agg(b.number), count(*) from begun as b having count(*) > 0
    ), not_later as (
        delete from ficus.later as l using begun as b where l.id = b.id
    ), not_due as (
        delete from ficus.due as d using begun as b where d.shard = tenant % 64 and d.tenant_id = tenant and d.id = b.id
    ), theirs as materialized (
        select b.id, m.recipient, (m.body::jsonb ->> 'contact')::bigint as contact, r.id as run_id, h.id as handback_id
        from begun as b
        cross join lateral (select m.recipient, m.body, m.content_id from ficus.message as m where m.id = b.id offset 0) as m
        join ficus.campaign_run as r on r.content_id = m.content_id
        join ficus.handback as h on h.run_id = r.id and h.state = 'open'
    ), listed as (
        insert into ficus.handback_recipient (handback_id, message_id, contact, recipient)
        select t.handback_id, t.id, t.contact, t.recipient from theirs as t
    ), counted as (
        update ficus.campaign_run as r set returned = r.returned + c.count
        from (select t.run_id, count(*) from theirs as t group by t.run_id) as c where r.id = c.run_id
    ), noted as (
        update ficus.handback as h set recipients = h.recipients + c.count, last_xid = pg_current_xact_id()
        from (select t.handback_id, count(*) from theirs as t group by t.handback_id) as c where h.id = c.handback_id
    )
    select count(*) into returned from begun;
    return returned;
end
$$;
comment on function ficus.return_messages is 'Ends what nobody has begun, and lists it for legacy.';

-- Recipients of a campaign that have not become messages: their keys are taken, so that no send of the same campaign, here or handed back,
-- has them again. Those whose keys are known were reached, or are somebody else's. False: the run does not stand where it was thought to.
create function ficus.return_rest(
    tenant bigint, run uuid, epoch bigint, stood bigint, reached bigint, is_last boolean, ids uuid[], keys uuid[], fingerprints uuid[],
    contacts bigint[], recipients text[], skipped integer, rejected integer
) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
    fresh uuid[];
    list uuid;
begin
    -- Before the run, as whoever takes the tenant back does.
    if not ficus.is_returned(tenant, epoch) then
        return false;
    end if;
    perform from ficus.campaign_run as r
    where r.id = run and r.tenant_id = tenant and r.state = 'returning' and r.position = stood and r.settled_xid is null
    and not exists (select from ficus.hold as h where h.tenant_id = tenant and h.campaign_id = r.campaign_id) for update of r;
    if not found then
        return false;
    end if;
    with known as (
        insert into ficus.message_key (tenant_id, key, message_id, fingerprint)
        select tenant, k.key, k.id, k.fingerprint from unnest(keys, ids, fingerprints) as k (key, id, fingerprint) order by k.key
        on conflict on constraint message_key_pkey do nothing
        returning message_key.message_id
    )
    select coalesce(array_agg(k.message_id), '{}') into fresh from known as k;
    if cardinality(fresh) > 0 then
        perform ficus.open_handbacks(array[run], epoch);
        update ficus.handback as h set recipients = h.recipients + cardinality(fresh)
        where h.run_id = run and h.state = 'open' returning h.id into list;
        insert into ficus.handback_recipient (handback_id, message_id, contact, recipient)
        select list, g.id, g.contact, g.recipient from unnest(ids, contacts, return_rest.recipients) as g (id, contact, recipient)
        join unnest(fresh) as f (id) on f.id = g.id;
    end if;
    update ficus.campaign_run as r set
        position = reached, skipped = r.skipped + return_rest.skipped, rejected = r.rejected + return_rest.rejected,
        duplicates = r.duplicates + cardinality(ids) - cardinality(fresh),
        settled_xid = case when is_last then pg_current_xact_id() end
    where r.id = run;
    return true;
end
$$;
comment on function ficus.return_rest is 'Lists a campaign''s next recipients for legacy.';

-- Closes the lists of a tenant's campaigns of which nothing is queued or on its way any more, and ends these campaigns here. True: that
-- were all of them.
create function ficus.close_returns(tenant bigint, epoch bigint) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
declare
    over uuid[];
begin
    if not ficus.is_returned(tenant, epoch) then
        return true;
    end if;
    over := array(
        select r.id from ficus.campaign_run as r
        where r.tenant_id = tenant and r.channel = 'email' and r.state in ('returning', 'cancelled') and r.settled_xid is not null and not exists (
            select from (
                select d.id from ficus.due as d where d.shard = tenant % 64 and d.tenant_id = tenant
                union all
                select l.id from ficus.later as l where l.shard = tenant % 64 and l.tenant_id = tenant
            ) as w
            cross join lateral (select m.content_id from ficus.message as m where m.id = w.id offset 0) as m
            where m.content_id = r.content_id
        )
    );
    update ficus.handback as h set state = 'closed' where h.state = 'open' and h.run_id = any (over);
    update ficus.campaign_run as r set state = 'cancelled' where r.state = 'returning' and r.id = any (over);
    return not exists (select from ficus.campaign_run as r where r.tenant_id = tenant and r.state = 'returning');
end
$$;
comment on function ficus.close_returns is 'Which returned campaigns have nothing here any more.';

-- Lists that are whole and of which legacy has not everything. Not before legacy has been told that their messages have
-- ended: with that their quota goes back, and legacy leaves out whom it does not reach.
create function ficus.ready_handbacks(most integer) returns table (
    id uuid, tenant_id bigint, campaign_id bigint, template_id bigint, legacy_campaign bigint, legacy_schedule bigint
)
    language sql volatile security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
    select h.id, h.tenant_id, h.campaign_id, h.template_id, h.legacy_campaign, h.legacy_schedule
    from ficus.handback as h
    where h.state = 'closed' and not exists (
        select from ficus.event as v
        where v.xid <= h.last_xid and (v.xid, v.seq) > (
            select r.xid, r.seq from ficus.event_reader as r where r.name = 'legacy'
            union all select '0'::xid8, 0::bigint where not exists (select from ficus.event_reader as r where r.name = 'legacy')
        )
    )
    -- One that legacy refuses must not stand in front of the others.
    order by random() limit most
$$;
comment on function ficus.ready_handbacks is 'What legacy is to be given.';

-- Writes down under which ids legacy gets it, once: answers with those that count.
create function ficus.place_handback(handback uuid, campaign bigint, schedule bigint) returns table (legacy_campaign bigint, legacy_schedule bigint)
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update ficus.handback as h set
        legacy_campaign = coalesce(h.legacy_campaign, campaign), legacy_schedule = coalesce(h.legacy_schedule, schedule)
    where h.id = handback returning h.legacy_campaign, h.legacy_schedule
$$;
comment on function ficus.place_handback is 'Where legacy gets a list.';

-- Legacy has these.
create function ficus.note_placed(handback uuid, messages uuid[]) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    delete from ficus.handback_recipient as r where r.handback_id = handback and r.message_id = any (messages)
$$;
comment on function ficus.note_placed is 'Recipients that legacy has been given.';

-- Legacy sends.
create function ficus.note_handed_back(handback uuid) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update ficus.handback as h set state = 'told', told_at = clock_timestamp() where h.id = handback and h.state = 'closed'
$$;
comment on function ficus.note_handed_back is 'Legacy has been given a list.';

-- What of a tenant's queue is a campaign's by e-mail, and what has no place in legacy. So many are looked at; `whole`: those were all.
create function ficus.unsent(tenant bigint, most integer) returns table (of_campaigns bigint, alone bigint, whole boolean)
    language sql stable security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
    with waiting as materialized (
        (select d.id from ficus.due as d where d.shard = tenant % 64 and d.tenant_id = tenant limit most)
        union all
        (select l.id from ficus.later as l where l.shard = tenant % 64 and l.tenant_id = tenant limit most)
    ), told as (
        select exists (select from ficus.campaign_run as r where r.content_id = m.content_id and r.channel = 'email') as is_run
        from waiting as w cross join lateral (select m.content_id from ficus.message as m where m.id = w.id offset 0) as m
    )
    select count(*) filter (where t.is_run), count(*) filter (where not t.is_run), (select count(*) from waiting) < most from told as t
$$;
comment on function ficus.unsent is 'What a tenant has queued.';

-- Pauses, resumes or cancels a run, and leaves who did it. No row: there is no such run. `changed` false: it stood so, or is over.
create function ficus.operate_run(run uuid, operation text, actor text, source text, reason text) returns table (changed boolean)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    stood record;
    done boolean;
begin
    -- Before the run's own row, as everybody who asks for the fence does.
    perform ficus.fence();
    select r.tenant_id, r.campaign_id, r.state, r.is_paused into stood from ficus.campaign_run as r where r.id = run for update;
    if not found then
        return;
    end if;
    done := case operation
        when 'pause' then case when stood.is_paused then false else ficus.pause_run(run, reason) end
        when 'resume' then ficus.resume_run(run)
        when 'cancel' then ficus.cancel_run(run, reason)
    end;
    if done is null then
        raise exception 'a run is paused, resumed or cancelled, not %', operation using errcode = 'invalid_parameter_value';
    end if;
    if done then
        insert into ficus.message_operation (operation, tenant_id, campaign_id, run_id, before, after, actor, source, reason)
        select operation, stood.tenant_id, stood.campaign_id, run,
            stood.state || case when stood.is_paused then ', paused' else '' end, r.state || case when r.is_paused then ', paused' else '' end,
            operate_run.actor, operate_run.source, operate_run.reason
        from ficus.campaign_run as r where r.id = run;
    end if;
    return query select done;
end
$$;
comment on function ficus.operate_run is 'Pauses, resumes or cancels a campaign''s run.';

-- Tenants for whom uncertain messages are settled otherwise than for everybody.
create table ficus.settling_policy (
    tenant_id bigint not null,
    policy text not null,
    since timestamptz not null default clock_timestamp(),
    constraint settling_policy_pkey primary key (tenant_id),
    constraint settling_policy_known check (policy in ('at_most_once', 'at_least_once'))
);
comment on table ficus.settling_policy is 'What becomes of a tenant''s uncertain messages, where it is not engine.on_uncertain.';

-- Null: as everybody. False: it was so.
create function ficus.set_settling_policy(tenant bigint, policy text, actor text, source text, reason text) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    stood text;
begin
    select s.policy into stood from ficus.settling_policy as s where s.tenant_id = tenant for update;
    if stood is not distinct from set_settling_policy.policy then
        return false;
    end if;
    if set_settling_policy.policy is null then
        delete from ficus.settling_policy as s where s.tenant_id = tenant;
    else
        insert into ficus.settling_policy (tenant_id, policy) values (tenant, set_settling_policy.policy)
        on conflict on constraint settling_policy_pkey do update set policy = excluded.policy, since = clock_timestamp();
    end if;
    insert into ficus.message_operation (operation, tenant_id, before, after, actor, source, reason)
    values ('policy', tenant, coalesce(stood, 'default'), coalesce(set_settling_policy.policy, 'default'), set_settling_policy.actor,
        set_settling_policy.source, set_settling_policy.reason);
    return true;
end
$$;
comment on function ficus.set_settling_policy is 'How a tenant''s uncertain messages are settled.';

-- As in 0010, each tenant by its own policy, and by `policy` who has none.
create or replace function ficus.settle_uncertain(policy text, older_than interval, most integer) returns integer
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
declare
    old record;
    settled integer := 0;
begin
    if policy is null or policy not in ('at_most_once', 'at_least_once') then
        raise exception 'a policy is at_most_once or at_least_once, not %', policy using errcode = 'invalid_parameter_value';
    end if;
    for old in
        select e.id, e.number, e.tenant_id, coalesce(p.policy, settle_uncertain.policy) as own from ficus.attempt_end as e
        left join ficus.settling_policy as p on p.tenant_id = e.tenant_id
        where e.state = 'uncertain' and e.at < clock_timestamp() - older_than order by e.at limit most
    loop
        update ficus.attempt_end as e set state = case old.own when 'at_most_once' then 'unknown' else 'deferred' end
        where e.id = old.id and e.number = old.number and e.state = 'uncertain';
        -- Somebody was faster.
        continue when not found;
        if old.own = 'at_least_once' then
            insert into ficus.later (shard, due_at, tenant_id, id, attempts, reason)
            values (old.tenant_id % 64, clock_timestamp(), old.tenant_id, old.id, 0, 'settled')
            on conflict on constraint later_pkey do nothing;
        else
            perform ficus.tell('unknown', 'settled', array[old.id], array[old.number]);
        end if;
        insert into ficus.message_operation (operation, tenant_id, message_id, number, before, after, actor, source, reason)
        values ('settle', old.tenant_id, old.id, old.number, 'uncertain', case old.own when 'at_most_once' then 'unknown' else 'resend' end,
            'engine', 'policy', old.own || ': uncertain for longer than ' || older_than);
        settled := settled + 1;
    end loop;
    return settled;
end
$$;
-- Servers that tenants have with us, in place of legacy's rows.
create table ficus.mail_server (
    tenant_id bigint not null,
    host text not null,
    port integer not null,
    username text,
    -- Sealed, ficus1.KEY.…: the key is not in the database. It opens for this tenant alone.
    password text,
    encryption text,
    changed_at timestamptz not null default clock_timestamp(),
    constraint mail_server_pkey primary key (tenant_id),
    constraint mail_server_port_known check (port between 1 and 65535),
    constraint mail_server_encryption_known check (encryption in ('tls', 'ssl')),
    constraint mail_server_password_sealed check (password ~ '^ficus1\.[a-z0-9_-]+\.'),
    constraint mail_server_login_whole check (password is null or username is not null)
);
comment on table ficus.mail_server is 'Tenants'' mail servers, with sealed passwords.';

create function ficus.set_mail_server(
    tenant bigint, host text, port integer, username text, password text, encryption text, actor text, source text, reason text
) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    stood text := (select s.host || ':' || s.port from ficus.mail_server as s where s.tenant_id = tenant);
begin
    insert into ficus.mail_server as s (tenant_id, host, port, username, password, encryption)
    values (tenant, set_mail_server.host, set_mail_server.port, set_mail_server.username, set_mail_server.password, set_mail_server.encryption)
    on conflict on constraint mail_server_pkey do update set
        host = excluded.host, port = excluded.port, username = excluded.username, password = excluded.password,
        encryption = excluded.encryption, changed_at = clock_timestamp();
    insert into ficus.message_operation (operation, tenant_id, before, after, actor, source, reason)
    values ('server', tenant, stood, set_mail_server.host || ':' || set_mail_server.port, set_mail_server.actor, set_mail_server.source,
        set_mail_server.reason);
end
$$;
comment on function ficus.set_mail_server is 'A tenant has a mail server with us.';

create function ficus.unset_mail_server(tenant bigint, actor text, source text, reason text) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    stood text;
begin
    delete from ficus.mail_server as s where s.tenant_id = tenant returning s.host || ':' || s.port into stood;
    if stood is null then
        return false;
    end if;
    insert into ficus.message_operation (operation, tenant_id, before, actor, source, reason)
    values ('server', tenant, stood, unset_mail_server.actor, unset_mail_server.source, unset_mail_server.reason);
    return true;
end
$$;
comment on function ficus.unset_mail_server is 'Legacy''s row counts again.';

-- The control state's part. It goes when the migration is over, with the tables on which these triggers stand.

create function ficus.move_tenants(gone bigint[], come bigint[]) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    wish constant text := (select r.wish from ficus.rollback_rule as r);
    actor constant text := coalesce(nullif(current_setting('ficus.actor', true), ''), session_user);
    source constant text := coalesce(nullif(current_setting('ficus.source', true), ''), 'sql');
    why constant text := nullif(btrim(current_setting('ficus.reason', true)), '');
begin
    if cardinality(gone) > 0 and wish <> 'drain' then
        perform ficus.leave_engine(gone, wish, actor, source, 'rolled back' || coalesce(': ' || why, ''));
    end if;
    if cardinality(come) > 0 then
        perform ficus.enter_engine(come, actor, source, 'on modern again' || coalesce(': ' || why, ''));
    end if;
end
$$;
comment on function ficus.move_tenants is 'What a change of flags does with messages.';

-- While an override stands, no flag moves anybody: its own coming and going does.
create function ficus.follow_flags() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    moved_by constant text := (select r.capability from ficus.rollback_rule as r);
    gone bigint[];
    come bigint[];
begin
    if moved_by is null or exists (
        select from ficus.override as o where o.action = 'force-legacy' and coalesce(o.capability, moved_by) = moved_by
    ) then
        return null;
    end if;
    if tg_op = 'INSERT' then
        come := array(select n.tenant_id from new_rows as n where n.capability = moved_by and n.state = 'modern');
    elsif tg_op = 'DELETE' then
        gone := array(select o.tenant_id from old_rows as o where o.capability = moved_by and o.state = 'modern');
    else
        gone := array(
            select o.tenant_id from old_rows as o join new_rows as n on n.tenant_id = o.tenant_id and n.capability = o.capability
            where o.capability = moved_by and o.state = 'modern' and n.state <> 'modern'
        );
        come := array(
            select o.tenant_id from old_rows as o join new_rows as n on n.tenant_id = o.tenant_id and n.capability = o.capability
            where o.capability = moved_by and o.state <> 'modern' and n.state = 'modern'
        );
    end if;
    perform ficus.move_tenants(gone, come);
    return null;
end
$$;
comment on function ficus.follow_flags is 'Tenants'' messages follow their flags.';

create trigger g_inserted after insert on ficus.flag referencing new table as new_rows for each statement execute function ficus.follow_flags();
create trigger g_updated after update on ficus.flag
    referencing old table as old_rows new table as new_rows for each statement execute function ficus.follow_flags();
create trigger g_deleted after delete on ficus.flag referencing old table as old_rows for each statement execute function ficus.follow_flags();

create function ficus.follow_overrides() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    moved_by constant text := (select r.capability from ficus.rollback_rule as r);
    moved bigint[];
    touched boolean;
begin
    if moved_by is null then
        return null;
    end if;
    if tg_op = 'INSERT' then
        touched := exists (select from new_rows as n where n.action = 'force-legacy' and coalesce(n.capability, moved_by) = moved_by);
    else
        touched := exists (select from old_rows as o where o.action = 'force-legacy' and coalesce(o.capability, moved_by) = moved_by)
            and not exists (select from ficus.override as o where o.action = 'force-legacy' and coalesce(o.capability, moved_by) = moved_by);
    end if;
    if not touched then
        return null;
    end if;
    moved := array(select f.tenant_id from ficus.flag as f where f.capability = moved_by and f.state = 'modern');
    if tg_op = 'INSERT' then
        perform ficus.move_tenants(moved, '{}');
    else
        perform ficus.move_tenants('{}', moved);
    end if;
    return null;
end
$$;
comment on function ficus.follow_overrides is 'Tenants'' messages follow the overrides.';

create trigger g_inserted after insert on ficus.override
    referencing new table as new_rows for each statement execute function ficus.follow_overrides();
create trigger g_deleted after delete on ficus.override
    referencing old table as old_rows for each statement execute function ficus.follow_overrides();

do $$
declare
    thing text;
begin
    foreach thing in array array['owner', 'rollback_rule', 'handback', 'handback_recipient', 'settling_policy', 'mail_server'] loop
        execute format('alter table ficus.%I owner to ficus_owner', thing);
        execute format('grant select on ficus.%I to ficus_app', thing);
    end loop;
    -- Not the recipients, which are people.
    grant select on ficus.owner, ficus.rollback_rule, ficus.handback, ficus.settling_policy to ficus_read;
    for thing in
        select p.oid::regprocedure::text from pg_proc as p where p.pronamespace = 'ficus'::regnamespace and p.proname in (
            'set_rollback_rule', 'leave_engine', 'regain_tenants', 'enter_engine', 'follow_release', 'return_tenant', 'due_returns', 'is_returned',
            'begin_return', 'open_handbacks', 'return_messages', 'return_rest', 'close_returns', 'ready_handbacks', 'place_handback', 'note_placed',
            'note_handed_back', 'unsent', 'operate_run', 'set_settling_policy', 'set_mail_server', 'unset_mail_server', 'move_tenants', 'follow_flags', 'follow_overrides')
    loop
        execute format('alter function %s owner to ficus_owner', thing);
        execute format('revoke execute on function %s from public', thing);
    end loop;
    for thing in
        select p.oid::regprocedure::text from pg_proc as p where p.pronamespace = 'ficus'::regnamespace and p.proname in (
            'set_rollback_rule', 'return_tenant', 'due_returns', 'begin_return', 'return_messages', 'return_rest', 'close_returns',
            'ready_handbacks', 'place_handback', 'note_placed', 'note_handed_back', 'unsent', 'operate_run', 'set_settling_policy', 'set_mail_server', 'unset_mail_server')
    loop
        execute format('grant execute on function %s to ficus_app', thing);
    end loop;
end
$$;
