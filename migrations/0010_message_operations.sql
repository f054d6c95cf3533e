-- What people do with messages: send again, settle, hold back, let go; and how a message stands, in one place.
--
-- docs/adr/0252 says why a settling changes the attempt's end, and why the trace is a table of its own and not the audit of flags.

-- Whose messages these are, newest first.
create index message_tenant_idx on ficus.message (tenant_id, id);
-- Those of one end, newest first. Nothing of what is accepted or deferred, which is nearly all.
create index attempt_end_state_idx on ficus.attempt_end (state, id) where state in ('failed', 'dead', 'unknown', 'cancelled', 'uncertain');
-- What the policy settles, the longest first.
create index attempt_end_uncertain_idx on ficus.attempt_end (at) where state = 'uncertain';

-- Append-only, and of the engine alone: it stays when the control plane's audit has gone.
create table ficus.message_operation (
    seq bigint not null generated always as identity,
    at timestamptz not null default clock_timestamp(),
    operation text not null,
    tenant_id bigint not null,
    -- Of a hold: 0 is all of the tenant.
    campaign_id bigint,
    message_id uuid,
    -- The attempt that was settled, or the last one of what is sent again.
    number smallint,
    -- How the attempt had ended, and how it has by this.
    before text,
    after text,
    actor text not null,
    source text not null,
    reason text not null,
    -- Who PostgreSQL says it was, whatever the actor claims.
    db_user text not null default session_user,
    constraint message_operation_pkey primary key (seq),
    constraint message_operation_known check (operation in ('retry', 'settle', 'hold', 'release')),
    constraint message_operation_says_why check (reason ~ '\S')
);
create index message_operation_message_idx on ficus.message_operation (message_id) where message_id is not null;
create index message_operation_tenant_idx on ficus.message_operation (tenant_id, seq);
comment on table ficus.message_operation is 'What people, and the policy, did with messages. Append-only.';

create function ficus.refuse_operation_rewrite() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'ficus.message_operation is append-only' using errcode = 'insufficient_privilege';
end
$$;
create trigger message_operation_stays before update or delete or truncate on ficus.message_operation
    for each statement execute function ficus.refuse_operation_rewrite();

-- How each message stands. An attempt is looked for by its message's id, a row at a time: in one partition, and in none of the others.
create view ficus.message_now as
select m.id, m.tenant_id, m.channel, m.campaign_id, m.recipient, m.created_at,
    greatest(a.number, e.number) as attempts, e.number as ended, e.state as last_end, e.code, e.at as ended_at,
    l.due_at, l.reason as why, l.attempts as counted,
    case
        -- Begun and without an end: on its way, or its engine died.
        when a.number > coalesce(e.number, 0) then 'sending'
        when l.due_at > clock_timestamp() then 'waiting'
        when l.due_at is not null or e.number is null or e.state = 'deferred' then 'due'
        else e.state
    end as state,
    exists (select from ficus.hold as h where h.tenant_id = m.tenant_id and h.campaign_id in (0, coalesce(m.campaign_id, 0))) as held
from ficus.message as m
left join lateral (select b.number from ficus.attempt as b where b.id = m.id order by b.number desc limit 1) as a on true
left join lateral (
    select b.number, b.state, b.code, b.at from ficus.attempt_end as b where b.id = m.id order by b.number desc limit 1
) as e on true
left join lateral (select w.due_at, w.reason, w.attempts from ficus.later as w where w.id = m.id limit 1) as l on true;
comment on view ficus.message_now is 'How each message stands: due, waiting, sending, or as its last attempt ended.';

-- Makes messages due again whose last attempt is over: failed, dead, unknown. Behind the fence: no attempt begins or ends between the
-- look and the write, so that what an engine is about to end as accepted is not sent again. For each place: what became of it (due;
-- already-due, when it is on its way by itself; refused; missing), and the state by which that was decided.
create function ficus.retry_messages(ids uuid[], actor text, source text, reason text)
    returns table (place integer, id uuid, became text, state text)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
begin
    perform ficus.fence();
    return query
    with asked as materialized (
        select g.place::integer as place, g.id, n.tenant_id, n.state, n.attempts, n.ended, n.ended_at
        from unnest(ids) with ordinality as g (id, place)
        left join lateral (select * from ficus.message_now as n where n.id = g.id offset 0) as n on true
    ), over as (
        select * from asked as a where a.state in ('failed', 'dead', 'unknown')
    ), numbered as (
        -- Refused before an attempt was written down: its end's number is taken all the same, and the next attempt has the next one.
        insert into ficus.attempt (id, number, tenant_id, shard, epoch, connection, begun_at)
        select o.id, o.ended, o.tenant_id, o.tenant_id % 64, 0, 'none', o.ended_at from over as o
        on conflict on constraint attempt_pkey do nothing
    ), again as (
        insert into ficus.later (shard, due_at, tenant_id, id, attempts, reason)
        select o.tenant_id % 64, clock_timestamp(), o.tenant_id, o.id, 0, 'retried' from over as o
        on conflict on constraint later_pkey do nothing
        returning later.id
    ), traced as (
        insert into ficus.message_operation (operation, tenant_id, message_id, number, before, after, actor, source, reason)
        select 'retry', o.tenant_id, o.id, o.attempts, o.state, 'due', retry_messages.actor, retry_messages.source, retry_messages.reason
        from over as o join again as g on g.id = o.id order by o.place
    ), told as (
        insert into ficus.event (state, code, ids, numbers, messages)
        select 'retried', o.state, array_agg(o.id), array_agg(coalesce(o.ended, 0)::smallint), count(*)
        from over as o join again as g on g.id = o.id group by o.state
    )
    select a.place, a.id,
        case
            when a.state is null then 'missing'
            when g.id is not null then 'due'
            when a.state in ('due', 'waiting', 'sending') then 'already-due'
            -- The same id twice.
            when a.state in ('failed', 'dead', 'unknown') then 'already-due'
            else 'refused'
        end,
        a.state
    from asked as a left join again as g on g.id = a.id order by a.place;
end
$$;
comment on function ficus.retry_messages is 'Makes messages due again that had failed for good.';

-- Says how the uncertain attempt of a message ended: sent, failed, or resend, which makes it due again. Who comes second waits for the
-- first one's commit at the row, and is told what it became. No fence: the row is the gate, since nothing else moves a message whose last
-- attempt is uncertain. Due again it stands in `later`, never in a ring: an engine that tells of the old end once more takes it out of the
-- ring in which it stood then.
create function ficus.settle_message(message uuid, verdict text, actor text, source text, reason text)
    returns table (changed boolean, state text, number smallint, settled_as text, settled_by text, settled_at timestamptz)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
    becomes constant text := case verdict when 'sent' then 'accepted' when 'failed' then 'failed' when 'resend' then 'deferred' end;
    settled record;
begin
    if becomes is null then
        raise exception 'an attempt is settled as sent, failed or resend, not as %', verdict using errcode = 'invalid_parameter_value';
    end if;
    update ficus.attempt_end as e set state = becomes where e.id = message and e.state = 'uncertain'
    returning e.number, e.tenant_id into settled;
    if found then
        if verdict = 'resend' then
            insert into ficus.later (shard, due_at, tenant_id, id, attempts, reason)
            values (settled.tenant_id % 64, clock_timestamp(), settled.tenant_id, message, 0, 'settled')
            on conflict on constraint later_pkey do nothing;
        else
            perform ficus.tell(becomes, 'settled', array[message], array[settled.number]);
        end if;
        insert into ficus.message_operation (operation, tenant_id, message_id, number, before, after, actor, source, reason)
        values ('settle', settled.tenant_id, message, settled.number, 'uncertain', verdict, settle_message.actor, settle_message.source,
            settle_message.reason);
    end if;
    return query
    select settled.number is not null, n.state, o.number, o.after, o.actor, o.at
    from ficus.message_now as n
    left join lateral (
        select * from ficus.message_operation as o
        where o.message_id = n.id and o.operation = 'settle' and o.number = n.ended order by o.seq desc limit 1
    ) as o on true
    where n.id = message;
end
$$;
comment on function ficus.settle_message is 'Says how an uncertain attempt ended.';

-- Settles, by policy, what has been uncertain for so long, the longest first and at most so many: at_most_once lets it be unknown for
-- ever, at_least_once makes it due again. Answers how many.
create function ficus.settle_uncertain(policy text, older_than interval, most integer) returns integer
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
declare
    becomes constant text := case policy when 'at_most_once' then 'unknown' when 'at_least_once' then 'deferred' end;
    old record;
    settled integer := 0;
begin
    if becomes is null then
        raise exception 'a policy is at_most_once or at_least_once, not %', policy using errcode = 'invalid_parameter_value';
    end if;
    for old in
        select e.id, e.number, e.tenant_id from ficus.attempt_end as e
        where e.state = 'uncertain' and e.at < clock_timestamp() - older_than order by e.at limit most
    loop
        update ficus.attempt_end as e set state = becomes where e.id = old.id and e.number = old.number and e.state = 'uncertain';
        -- Somebody was faster.
        continue when not found;
        if policy = 'at_least_once' then
            insert into ficus.later (shard, due_at, tenant_id, id, attempts, reason)
            values (old.tenant_id % 64, clock_timestamp(), old.tenant_id, old.id, 0, 'settled')
            on conflict on constraint later_pkey do nothing;
        else
            perform ficus.tell(becomes, 'settled', array[old.id], array[old.number]);
        end if;
        insert into ficus.message_operation (operation, tenant_id, message_id, number, before, after, actor, source, reason)
        values ('settle', old.tenant_id, old.id, old.number, 'uncertain', case policy when 'at_most_once' then 'unknown' else 'resend' end,
            'engine', 'policy', policy || ': uncertain for longer than ' || older_than);
        settled := settled + 1;
    end loop;
    return settled;
end
$$;
comment on function ficus.settle_uncertain is 'Settles by policy what has been uncertain for long.';

-- Holds back a tenant, or one of its campaigns (0: all of it). Once this commits nothing of it begins: who is about to write an attempt down
-- has committed, or sees the hold.
create function ficus.hold_messages(tenant bigint, campaign bigint, actor text, source text, reason text)
    returns table (changed boolean, because text, since timestamptz)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    placed boolean;
begin
    perform ficus.fence();
    insert into ficus.hold as h (tenant_id, campaign_id, reason) values (tenant, campaign, hold_messages.reason)
    on conflict on constraint hold_pkey do nothing;
    placed := found;
    if placed then
        insert into ficus.message_operation (operation, tenant_id, campaign_id, actor, source, reason)
        values ('hold', tenant, campaign, hold_messages.actor, hold_messages.source, hold_messages.reason);
    end if;
    return query select placed, h.reason, h.since from ficus.hold as h where h.tenant_id = tenant and h.campaign_id = campaign;
end
$$;
comment on function ficus.hold_messages is 'Holds back a tenant or a campaign.';

-- Lets go of exactly this. False: it was not held.
create function ficus.release_messages(tenant bigint, campaign bigint, actor text, source text, reason text) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    delete from ficus.hold as h where h.tenant_id = tenant and h.campaign_id = campaign;
    if not found then
        return false;
    end if;
    insert into ficus.message_operation (operation, tenant_id, campaign_id, actor, source, reason)
    values ('release', tenant, campaign, release_messages.actor, release_messages.source, release_messages.reason);
    return true;
end
$$;
comment on function ficus.release_messages is 'Lets go of a tenant or a campaign that was held back.';

-- Attempts of a tenant, or of one of its campaigns, that have begun and have no end. A message stays in the queue until its attempt's end,
-- and those that are tried stand in front: so many of the queue are looked at. `whole`: that was all of it.
create function ficus.under_way(tenant bigint, campaign bigint, most integer) returns table (attempts bigint, whole boolean)
    language sql stable security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
    with waiting as materialized (
        (select d.id from ficus.due as d where d.shard = tenant % 64 and d.tenant_id = tenant order by d.id limit most)
        union all
        (
            select l.id from ficus.later as l
            where l.shard = tenant % 64 and l.tenant_id = tenant and l.due_at <= clock_timestamp() order by l.due_at limit most
        )
    )
    select (
        select count(*) from waiting as w
        cross join lateral (select b.number from ficus.attempt as b where b.id = w.id order by b.number desc limit 1) as a
        where not exists (select from ficus.attempt_end as e where e.id = w.id and e.number = a.number)
        and (campaign = 0 or exists (select from ficus.message as m where m.id = w.id and m.campaign_id = campaign))
    ), (select count(*) from waiting) < most
$$;
comment on function ficus.under_way is 'How many attempts of a tenant or a campaign have begun and have no end.';

-- How many wait to be sent now, by channel: counted up to a million, and from ten thousand on told apart by a sample.
create function ficus.queue_depth() returns table (channel text, messages bigint)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
declare
    depth bigint;
    share double precision;
begin
    select count(*) into depth from (select from ficus.due limit 1000000) as d;
    share := least(100, 1000000.0 / greatest(depth, 1));
    return query execute format(
        'with sampled as (
             select m.channel from ficus.due as d tablesample system (%s)
             cross join lateral (select m.channel from ficus.message as m where m.id = d.id offset 0) as m
         ), waiting as (
             select m.channel from (select l.id from ficus.later as l where l.due_at <= clock_timestamp() limit 10000) as l
             cross join lateral (select m.channel from ficus.message as m where m.id = l.id offset 0) as m
         ), counted as (
             select s.channel, count(*) * %s::bigint / greatest((select count(*) from sampled), 1) as messages from sampled as s group by s.channel
             union all
             select w.channel, count(*) from waiting as w group by w.channel
         )
         select c.channel, sum(c.messages)::bigint from counted as c group by c.channel', share, depth);
end
$$;
comment on function ficus.queue_depth is 'How many messages wait to be sent now, by channel.';

do $$
declare
    thing text;
begin
    alter table ficus.message_operation owner to ficus_owner;
    alter view ficus.message_now owner to ficus_owner;
    alter function ficus.refuse_operation_rewrite() owner to ficus_owner;
    revoke execute on function ficus.refuse_operation_rewrite() from public;
    grant select on ficus.message_operation, ficus.message_now to ficus_app, ficus_read;
    for thing in
        select p.oid::regprocedure::text from pg_proc as p where p.pronamespace = 'ficus'::regnamespace and p.proname in (
            'retry_messages', 'settle_message', 'settle_uncertain', 'hold_messages', 'release_messages', 'under_way', 'queue_depth')
    loop
        execute format('alter function %s owner to ficus_owner', thing);
        execute format('revoke execute on function %s from public', thing);
        execute format('grant execute on function %s to ficus_app', thing);
    end loop;
end
$$;
