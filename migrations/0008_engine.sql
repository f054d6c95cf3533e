-- The messaging engine: what was accepted, what is due, what was tried, and how it ended.
--
-- Nothing of the control plane refers to these tables, and they refer to nothing of it: the engine stays when the rest has gone.
-- How they work together is in docs/ENGINE.md. Tables by id are partitioned by it: an id is a UUID of version 7 and begins with its
-- time, so a day is a range of ids, and history is dropped by the day instead of being deleted by the row.

do $$
begin
    -- Whom the engine's API becomes for one tenant's request.
    create role ficus_sender nologin;
exception
    when duplicate_object or unique_violation then null;
end
$$;

-- Text that many messages share: a campaign's template, an attachment.
create table ficus.content (
    id uuid not null,
    tenant_id bigint not null,
    -- SHA-256 of the body: the same text is stored once for a tenant.
    digest bytea not null,
    body text not null,
    created_at timestamptz not null default clock_timestamp(),
    constraint content_pkey primary key (id),
    constraint content_once unique (tenant_id, digest),
    constraint content_digest_whole check (octet_length(digest) = 32)
);
comment on table ficus.content is 'Text that messages share, once a tenant.';

-- Written once, never changed: what changes stands in narrow tables of its own.
create table ficus.message (
    id uuid not null,
    tenant_id bigint not null,
    channel text not null,
    -- Null: sent for itself.
    campaign_id bigint,
    recipient text not null,
    -- What is the recipient's own: variables, or the whole message where no content is shared.
    body text not null,
    content_id uuid,
    created_at timestamptz not null default clock_timestamp(),
    constraint message_pkey primary key (id),
    constraint message_channel_known check (channel in ('email', 'sms')),
    constraint message_tenant_positive check (tenant_id > 0)
) partition by range (id);
comment on table ficus.message is 'Messages that were accepted. Partitions by day of their id.';

-- One a sender's key. Apart from the message, because it is unique over the days and is kept for fewer of them.
create table ficus.message_key (
    tenant_id bigint not null,
    -- 128 bits of the SHA-256 of the sender's key, or of what names the message (engine::idempotency). A uuid, for that is what PostgreSQL
    -- has of this size: in the order of its bytes, and without a length.
    key uuid not null,
    message_id uuid not null,
    -- Of the message, likewise: the same key with another message is a conflict.
    fingerprint uuid not null,
    created_at timestamptz not null default clock_timestamp(),
    constraint message_key_pkey primary key (tenant_id, key)
);
create index message_key_created_idx on ficus.message_key using brin (created_at);
comment on table ficus.message_key is 'By which key each message is known again. Kept as long as engine.dedup_keep says.';

-- An engine that runs. What it may send is what its shards hold.
create table ficus.engine (
    id uuid not null,
    name text not null,
    lease_until timestamptz not null,
    constraint engine_pkey primary key (id)
);
comment on table ficus.engine is 'Engines that run, each for as long as its lease.';

-- A tenant's messages are one shard's, and a shard is one engine's: what is due is read into memory once, and no row says
-- who has claimed it. The epoch is the fence: what an engine does in the name of an older one is refused.
create table ficus.shard (
    id smallint not null,
    engine_id uuid,
    epoch bigint not null default 0,
    constraint shard_pkey primary key (id),
    constraint shard_in_range check (id between 0 and 63)
) with (fillfactor = 50);
insert into ficus.shard (id) select generate_series(0, 63);
comment on table ficus.shard is 'Who sends for which of the tenants: shard = tenant_id modulo 64.';

-- What is to be sent now. Of eight rings one is written; a ring that is empty is truncated before it is written again, so that dead rows
-- go also while somebody holds an old snapshot.
create table ficus.due (
    ring smallint not null,
    shard smallint not null,
    tenant_id bigint not null,
    id uuid not null
) partition by list (ring);
-- Not unique, and no primary key: a message is made due with its key, in one statement.
create index due_idx on ficus.due (shard, tenant_id, id);
do $$
begin
    for ring in 0..7 loop
        execute format('create table ficus.due_%s partition of ficus.due for values in (%s) with (autovacuum_vacuum_scale_factor = 0.5)', ring, ring);
    end loop;
end
$$;
comment on table ficus.due is 'Messages that nobody has tried yet, or that were given back.';

create table ficus.ring (
    only_row boolean not null default true,
    -- The one that is written.
    current smallint not null default 0,
    since timestamptz not null default clock_timestamp(),
    constraint ring_pkey primary key (only_row),
    constraint ring_one_row check (only_row),
    constraint ring_in_range check (current between 0 and 7)
);
insert into ficus.ring default values;
comment on table ficus.ring is 'Which part of ficus.due takes what is accepted.';

-- What waits for its time: a schedule, a retry, a pause that a server asked for.
create table ficus.later (
    shard smallint not null,
    due_at timestamptz not null,
    tenant_id bigint not null,
    id uuid not null,
    -- Attempts that counted.
    attempts smallint not null,
    reason text not null,
    constraint later_pkey primary key (id)
);
create index later_due_idx on ficus.later (shard, tenant_id, due_at);
comment on table ficus.later is 'Messages that are due at a time, and why not now.';

-- Nothing of these leaves: asked when an attempt is written down, so that a pause holds from its commit on.
create table ficus.hold (
    tenant_id bigint not null,
    -- 0: all of the tenant.
    campaign_id bigint not null,
    reason text not null,
    since timestamptz not null default clock_timestamp(),
    constraint hold_pkey primary key (tenant_id, campaign_id)
);
comment on table ficus.hold is 'Tenants and campaigns that are held back.';

-- Written before a byte of the message leaves: without it a crash would leave everything that was claimed in doubt.
create table ficus.attempt (
    id uuid not null,
    -- From 1; those that used up none of the ladder count as well.
    number smallint not null,
    tenant_id bigint not null,
    shard smallint not null,
    epoch bigint not null,
    -- Through what: a server or a provider, by name.
    connection text not null,
    begun_at timestamptz not null default clock_timestamp(),
    constraint attempt_pkey primary key (id, number)
) partition by range (id);
comment on table ficus.attempt is 'Each time that a message was about to leave.';

create table ficus.attempt_end (
    id uuid not null,
    number smallint not null,
    tenant_id bigint not null,
    -- accepted, failed, dead and unknown are ends of the message too; deferred is tried again; uncertain waits to be settled.
    state text not null,
    -- The server's code, or ours: 250, 4.2.2, no-quota.
    code text not null,
    -- What the other side calls it.
    reference text,
    at timestamptz not null default clock_timestamp(),
    constraint attempt_end_pkey primary key (id, number),
    constraint attempt_end_state_known check (state in ('accepted', 'failed', 'dead', 'unknown', 'cancelled', 'deferred', 'uncertain'))
) partition by range (id);
create index attempt_end_open_idx on ficus.attempt_end (tenant_id, id) where state in ('dead', 'uncertain', 'unknown');
comment on table ficus.attempt_end is 'How each attempt ended, and with it the message.';

-- What became of messages, in the order of the commits: whoever tells others of it reads on from where they stopped, and rows are never changed.
-- A row is what one statement made of many messages, so that the log costs no index entry and no row for each of them.
create sequence ficus.event_seq;
create table ficus.event (
    -- A reader goes no further than the oldest transaction of this database that still runs (event_horizon), so that none commits behind it.
    xid xid8 not null default pg_current_xact_id(),
    seq bigint not null default nextval('ficus.event_seq'),
    at timestamptz not null default clock_timestamp(),
    -- queued, the end of an attempt, or retried: its end is none any more, since somebody sends it again.
    state text not null,
    code text not null,
    -- Each message once.
    ids uuid[] not null,
    -- The attempts'; 0: it was accepted by us.
    numbers smallint[] not null,
    messages integer not null,
    constraint event_state_known check (
        state in ('queued', 'accepted', 'failed', 'dead', 'unknown', 'cancelled', 'deferred', 'uncertain', 'retried')),
    constraint event_counted check (messages = cardinality(ids) and messages = cardinality(numbers) and messages > 0)
) partition by range (at);
-- Ids do not shrink, and compressing them costs more than what they take.
alter table ficus.event alter column ids set storage external;
create index event_order_idx on ficus.event (xid, seq);
comment on table ficus.event is 'Every transition of a message, once.';

-- One row of the log.
create function ficus.tell(state text, code text, ids uuid[], numbers smallint[]) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    insert into ficus.event (state, code, ids, numbers, messages) select state, code, ids, numbers, cardinality(ids) where cardinality(ids) > 0
$$;
comment on function ficus.tell is 'Says what became of messages.';

create table ficus.event_reader (
    name text not null,
    -- The last that was dealt with.
    xid xid8 not null default '0',
    seq bigint not null default 0,
    -- Who reads, until when.
    engine_id uuid,
    lease_until timestamptz not null default '-infinity',
    constraint event_reader_pkey primary key (name)
);
comment on table ficus.event_reader is 'How far those have come that tell others of messages.';

-- Addresses to which a tenant sends no more.
create table ficus.suppression (
    tenant_id bigint not null,
    channel text not null,
    -- In lower case, as no provider tells Ann@ from ann@.
    recipient text not null,
    reason text not null,
    since timestamptz not null default clock_timestamp(),
    constraint suppression_pkey primary key (tenant_id, channel, recipient)
);
comment on table ficus.suppression is 'Who has unsubscribed, bounced or complained.';

-- The least id of a moment.
create function ficus.first_id(at timestamptz) returns uuid language sql immutable strict parallel safe set search_path = pg_catalog
as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
comment on function ficus.first_id is 'The least UUID of version 7 that was made at or after a moment.';

-- Partitions for the days until `ahead` days from now, and none older than `keep` days, of each table that has days: by its ids, or by its
-- times. What comes without a partition of its own stands in the default one.
create function ficus.keep_days(ahead integer, keep integer) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    part record;
    day date;
    today date := (clock_timestamp() at time zone 'UTC')::date;
    midnights timestamptz[];
    old record;
begin
    -- Several engines begin the day at once.
    perform pg_advisory_xact_lock(1718183797, 2);
    for part in
        select c.oid, c.relname, a.atttypid = 'uuid'::regtype as by_id
        from pg_partitioned_table as p join pg_class as c on c.oid = p.partrelid
        join pg_attribute as a on a.attrelid = c.oid and a.attnum = p.partattrs[0]
        where c.relnamespace = 'ficus'::regnamespace and p.partstrat = 'r' order by c.relname
    loop
        for day in select generate_series(today - 1, today + ahead, interval '1 day')::date loop
            continue when to_regclass(format('ficus.%I', part.relname || '_' || to_char(day, 'YYYYMMDD'))) is not null;
            midnights := array[day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC'];
            execute format('create table ficus.%I partition of ficus.%I for values from (%L) to (%L)',
                part.relname || '_' || to_char(day, 'YYYYMMDD'), part.relname,
                case when part.by_id then ficus.first_id(midnights[1])::text else midnights[1]::text end,
                case when part.by_id then ficus.first_id(midnights[2])::text else midnights[2]::text end);
        end loop;
        for old in
            select c.relname from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
            where i.inhparent = part.oid and c.relname ~ '_[0-9]{8}$'
            and to_date(right(c.relname, 8), 'YYYYMMDD') < today - keep
        loop
            execute format('drop table ficus.%I', old.relname);
        end loop;
    end loop;
end
$$;
comment on function ficus.keep_days is 'Makes the partitions of the next days, and drops those of old ones.';

create table ficus.message_other partition of ficus.message default;
create table ficus.attempt_other partition of ficus.attempt default;
create table ficus.attempt_end_other partition of ficus.attempt_end default;
create table ficus.event_other partition of ficus.event default;
select ficus.keep_days(7, 30);

-- Stores messages with their keys and makes them due, in the caller's transaction. Answers with those places of the arrays that did not become
-- new messages, which are few: the id under which the key is known, and duplicate, when it is known with the same message; conflict, when it
-- stands for another one; suppressed, when the tenant sends to this recipient no more. Of an array's two messages with one key the first is new.
create function ficus.accept_messages(
    tenants bigint[], ids uuid[], keys uuid[], fingerprints uuid[], channels text[], campaigns bigint[], recipients text[],
    bodies text[], contents uuid[], due timestamptz[]
) returns table (place integer, id uuid, became text)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
    refused uuid[];
    fresh uuid[];
begin
    -- Each table is looked into a row at a time (lateral, offset 0), whatever the statistics of a young table say.
    refused := array(
        select g.id from unnest(ids, tenants, channels, recipients) as g (id, tenant_id, channel, recipient)
        cross join lateral (
            select from ficus.suppression as s
            where s.tenant_id = g.tenant_id and s.channel = g.channel and s.recipient = lower(g.recipient) offset 0
        ) as s
    );
    -- In the order of the keys, so that two requests with the same keys wait for each other and never both. Keys that are all new, which is the
    -- rule, are half as dear to insert without "on conflict".
    begin
        insert into ficus.message_key (tenant_id, key, message_id, fingerprint)
        select k.tenant_id, k.key, k.id, k.fingerprint
        from unnest(tenants, keys, ids, fingerprints) as k (tenant_id, key, id, fingerprint)
        where k.id <> all (refused)
        order by k.tenant_id, k.key;
        fresh := case when refused = '{}' then ids else array(select i.id from unnest(ids) as i (id) where i.id <> all (refused)) end;
    exception
        when unique_violation then
            with kept as (
                insert into ficus.message_key (tenant_id, key, message_id, fingerprint)
                select k.tenant_id, k.key, k.id, k.fingerprint
                from unnest(tenants, keys, ids, fingerprints) with ordinality as k (tenant_id, key, id, fingerprint, place)
                where k.id <> all (refused)
                order by k.tenant_id, k.key, k.place
                on conflict on constraint message_key_pkey do nothing
                returning message_id
            )
            select coalesce(array_agg(k.message_id), '{}') into fresh from kept as k;
    end;

    if cardinality(fresh) < cardinality(ids) then
        return query
        select g.place::integer, coalesce(k.message_id, g.id),
            case when k.message_id is null then 'suppressed' when k.fingerprint = g.fingerprint then 'duplicate' else 'conflict' end
        from unnest(tenants, ids, keys, fingerprints) with ordinality as g (tenant_id, id, key, fingerprint, place)
        left join lateral (
            select * from ficus.message_key as k where k.tenant_id = g.tenant_id and k.key = g.key offset 0
        ) as k on true
        where k.message_id is distinct from g.id order by g.place;
        if fresh = '{}' then
            return;
        end if;
        select array_agg(g.tenant_id), array_agg(g.id), array_agg(g.channel), array_agg(g.campaign_id), array_agg(g.recipient), array_agg(g.body),
            array_agg(g.content_id), array_agg(g.due_at)
        into tenants, ids, channels, campaigns, recipients, bodies, contents, due
        from unnest(tenants, ids, channels, campaigns, recipients, bodies, contents, due)
            as g (tenant_id, id, channel, campaign_id, recipient, body, content_id, due_at)
        where g.id = any (fresh);
    end if;
    insert into ficus.message (id, tenant_id, channel, campaign_id, recipient, body, content_id)
    select * from unnest(ids, tenants, channels, campaigns, recipients, bodies, contents);
    insert into ficus.due (ring, shard, tenant_id, id)
    select r.current, f.tenant_id % 64, f.tenant_id, f.id
    from unnest(tenants, ids, due) as f (tenant_id, id, due_at) cross join ficus.ring as r where f.due_at is null;
    if num_nonnulls(variadic due) > 0 then
        insert into ficus.later (shard, due_at, tenant_id, id, attempts, reason)
        select f.tenant_id % 64, f.due_at, f.tenant_id, f.id, 0, 'scheduled'
        from unnest(tenants, ids, due) as f (tenant_id, id, due_at) where f.due_at is not null;
    end if;
    perform ficus.tell('queued', '', ids, array_fill(0::smallint, array[cardinality(ids)]));
end
$$;
comment on function ficus.accept_messages is 'Stores messages once a key, and makes them due.';

-- What keeps an attempt from being written down while a shard changes hands or something is held: many may write, one may change.
create function ficus.fence_shared() returns void language sql volatile set search_path = pg_catalog
as $$ select pg_advisory_xact_lock_shared(1718183797, 1) $$;
create function ficus.fence() returns void language sql volatile set search_path = pg_catalog
as $$ select pg_advisory_xact_lock(1718183797, 1) $$;

-- Prolongs the engine's lease, and takes up to `most` shards that nobody holds, or whose holder's lease is over. Answers with all
-- that are held, each with its epoch.
create function ficus.take_shards(engine uuid, name text, lease interval, most integer) returns table (shard smallint, epoch bigint)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    insert into ficus.engine as e (id, name, lease_until) values (engine, name, clock_timestamp() + lease)
    on conflict on constraint engine_pkey do update set lease_until = excluded.lease_until;
    if most > 0 and exists (
        select from ficus.shard as s left join ficus.engine as e on e.id = s.engine_id
        where e.id is null or e.lease_until < clock_timestamp()
    ) then
        perform ficus.fence();
        update ficus.shard as s set engine_id = engine, epoch = s.epoch + 1
        where s.id in (
            select f.id from ficus.shard as f left join ficus.engine as e on e.id = f.engine_id
            where e.id is null or e.lease_until < clock_timestamp()
            order by f.id limit most for update of f
        );
    end if;
    return query select s.id, s.epoch from ficus.shard as s where s.engine_id = engine;
end
$$;
comment on function ficus.take_shards is 'Prolongs an engine''s lease, and takes shards that are free.';

-- Lets go of an engine's shards: others may take them at once.
create function ficus.release_shards(engine uuid) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform ficus.fence();
    update ficus.shard set engine_id = null, epoch = epoch + 1 where engine_id = engine;
    delete from ficus.engine as e where e.id = engine;
end
$$;
comment on function ficus.release_shards is 'Lets go of an engine''s shards.';

-- Tenants of these shards for whom something is due: a look into the index for each of them, however much they have.
create function ficus.due_tenants(shards smallint[]) returns setof bigint
    language sql volatile security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
    with recursive found as (
        select s.id as shard, (select d.tenant_id from ficus.due as d where d.shard = s.id order by d.tenant_id limit 1) as tenant_id
        from unnest(shards) as s (id)
        union all
        select f.shard, (
            select d.tenant_id from ficus.due as d where d.shard = f.shard and d.tenant_id > f.tenant_id order by d.tenant_id limit 1
        )
        from found as f where f.tenant_id is not null
    ), waiting as (
        select s.id as shard, (select l.tenant_id from ficus.later as l where l.shard = s.id order by l.tenant_id limit 1) as tenant_id
        from unnest(shards) as s (id)
        union all
        select w.shard, (
            select l.tenant_id from ficus.later as l where l.shard = w.shard and l.tenant_id > w.tenant_id order by l.tenant_id limit 1
        )
        from waiting as w where w.tenant_id is not null
    )
    select f.tenant_id from found as f where f.tenant_id is not null
    union
    select w.tenant_id from waiting as w
    where w.tenant_id is not null and exists (
        select from ficus.later as l where l.shard = w.shard and l.tenant_id = w.tenant_id and l.due_at <= clock_timestamp()
    )
$$;
comment on function ficus.due_tenants is 'For whom something is due.';

-- What is due for a tenant, beyond an id, with what was tried before.
create function ficus.load_due(tenant bigint, after uuid, most integer) returns table (
    id uuid, ring smallint, counted smallint, begun smallint, in_doubt boolean,
    channel text, campaign_id bigint, recipient text, body text, content_id uuid
)
    -- Stable, so that its statements see one moment: who is due by an older one, and was tried by a newer one, would be sent twice.
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
    found_ids uuid[];
    rings smallint[];
    counts smallint[];
    least_id uuid;
    greatest_id uuid;
begin
    -- For themselves first: between the least and the greatest of their ids lies a day or two, and only its partitions are looked into below.
    select array_agg(w.id), array_agg(w.ring), array_agg(w.counted) into found_ids, rings, counts
    from (
        (
            select d.id, d.ring, 0::smallint as counted from ficus.due as d
            where d.shard = tenant % 64 and d.tenant_id = tenant and (after is null or d.id > after) order by d.id limit most
        )
        union all
        (
            select l.id, null, l.attempts from ficus.later as l
            where l.shard = tenant % 64 and l.tenant_id = tenant and l.due_at <= clock_timestamp() order by l.due_at limit most
        )
    ) as w;
    select u.id into least_id from unnest(found_ids) as u (id) order by u.id limit 1;
    select u.id into greatest_id from unnest(found_ids) as u (id) order by u.id desc limit 1;
    return query
    select w.id, w.ring, w.counted, coalesce(a.number, 0::smallint), a.number is not null and not a.ended,
        m.channel, m.campaign_id, m.recipient, m.body, m.content_id
    from unnest(found_ids, rings, counts) as w (id, ring, counted)
    cross join lateral (
        select * from ficus.message as m where m.id = w.id and m.id between least_id and greatest_id offset 0
    ) as m
    left join lateral (
        select b.number, exists (
            select from ficus.attempt_end as e where e.id = b.id and e.number = b.number and e.id between least_id and greatest_id
        ) as ended
        from ficus.attempt as b where b.id = w.id and b.id between least_id and greatest_id order by b.number desc limit 1
    ) as a on true;
end
$$;
comment on function ficus.load_due is 'What is due for a tenant, with what was tried before.';

-- Of these, those whose shard is the engine's and that nothing holds back become attempts. Answers with them.
create function ficus.write_attempts(
    engine uuid, ids uuid[], numbers smallint[], tenants bigint[], campaigns bigint[], epochs bigint[], connections text[]
) returns uuid[]
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
declare
    written uuid[];
begin
    with these as (
        insert into ficus.attempt (id, number, tenant_id, shard, epoch, connection)
        select a.id, a.number, a.tenant_id, s.id, s.epoch, a.connection
        from unnest(ids, numbers, tenants, campaigns, epochs, connections) as a (id, number, tenant_id, campaign_id, epoch, connection)
        join ficus.shard as s on s.id = a.tenant_id % 64 and s.engine_id = engine and s.epoch = a.epoch
        where not exists (select from ficus.hold as h where h.tenant_id = a.tenant_id and h.campaign_id in (0, coalesce(a.campaign_id, 0)))
        returning attempt.id
    )
    select coalesce(array_agg(t.id), '{}') into written from these as t;
    return written;
end
$$;

-- Writes down that these are about to leave, and answers with those that may not: the shard is another's, something holds them back, or
-- somebody has tried them under this number. Commit before a byte of the others leaves.
create function ficus.begin_attempts(
    engine uuid, ids uuid[], numbers smallint[], tenants bigint[], campaigns bigint[], epochs bigint[], connections text[]
) returns setof uuid
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
declare
    begun uuid[];
begin
    perform ficus.fence_shared();
    -- Numbers that are all new, which is the rule, are half as dear to insert without "on conflict".
    begin
        begun := ficus.write_attempts(engine, ids, numbers, tenants, campaigns, epochs, connections);
    exception
        when unique_violation then
            select ficus.write_attempts(
                engine, array_agg(a.id), array_agg(a.number), array_agg(a.tenant_id), array_agg(a.campaign_id), array_agg(a.epoch), array_agg(a.connection))
            into begun
            from unnest(ids, numbers, tenants, campaigns, epochs, connections) as a (id, number, tenant_id, campaign_id, epoch, connection)
            where not exists (select from ficus.attempt as b where b.id = a.id and b.number = a.number);
    end;
    if cardinality(begun) < cardinality(ids) then
        return query select i.id from unnest(ids) as i (id) where i.id <> all (begun);
    end if;
end
$$;
comment on function ficus.begin_attempts is 'Writes attempts down before a byte leaves, and says which may.';

-- Ends of attempts whose shard is the engine's, none of which was written down before, with what comes next of each message.
create function ficus.write_ends(
    engine uuid, ids uuid[], numbers smallint[], tenants bigint[], epochs bigint[], rings smallint[], states text[], codes text[],
    refs text[], next_at timestamptz[], counted smallint[]
) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
begin
    with told as materialized (
        select a.*, s.id as shard from unnest(ids, numbers, tenants, epochs, rings, states, codes, refs, next_at, counted)
            as a (id, number, tenant_id, epoch, ring, state, code, reference, due_at, attempts)
        join ficus.shard as s on s.id = a.tenant_id % 64 and s.engine_id = engine and s.epoch = a.epoch
    ), ended as (
        insert into ficus.attempt_end (id, number, tenant_id, state, code, reference)
        select t.id, t.number, t.tenant_id, t.state, t.code, t.reference from told as t
    ), over as (
        delete from ficus.later as l where l.id = any (array(select t.id from told as t where t.ring is null and t.due_at is null))
    ), again as (
        insert into ficus.later as l (shard, due_at, tenant_id, id, attempts, reason)
        select t.shard, t.due_at, t.tenant_id, t.id, t.attempts, t.code from told as t where t.due_at is not null
        on conflict on constraint later_pkey do update
        set due_at = excluded.due_at, attempts = excluded.attempts, reason = excluded.reason
    )
    insert into ficus.event (state, code, ids, numbers, messages)
    select t.state, t.code, array_agg(t.id), array_agg(t.number), count(*) from told as t group by t.state, t.code;
end
$$;

-- Writes down how attempts ended, and takes the messages off the queue, or gives them their next time. Answers with those that were not taken,
-- since the shard is another's by now.
create function ficus.end_attempts(
    engine uuid, ids uuid[], numbers smallint[], tenants bigint[], epochs bigint[], rings smallint[], states text[], codes text[],
    refs text[], next_at timestamptz[], counted smallint[]
) returns setof uuid
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
declare
    part smallint;
    lost uuid[];
begin
    perform ficus.fence_shared();
    lost := array(
        select t.id from unnest(ids, tenants, epochs) as t (id, tenant_id, epoch)
        where not exists (select from ficus.shard as s where s.id = t.tenant_id % 64 and s.engine_id = engine and s.epoch = t.epoch)
    );
    -- A part at a time, so that only its index is looked into.
    for part in select distinct r from unnest(rings) as r where r is not null loop
        delete from ficus.due as gone where gone.ring = part and gone.ctid = any (array(
            select d.at from unnest(ids, tenants, rings) as t (id, tenant_id, ring)
            cross join lateral (
                select e.ctid as at from ficus.due as e
                where e.ring = part and e.shard = t.tenant_id % 64 and e.tenant_id = t.tenant_id and e.id = t.id limit 1
            ) as d
            where t.ring = part and t.id <> all (lost)
        ));
    end loop;
    begin
        perform ficus.write_ends(engine, ids, numbers, tenants, epochs, rings, states, codes, refs, next_at, counted);
    exception
        -- Told again: by its first end alone a message goes on. Who saw the attempt before that end must not take away its next time.
        when unique_violation then
            perform ficus.write_ends(
                engine, array_agg(t.id), array_agg(t.number), array_agg(t.tenant_id), array_agg(t.epoch), array_agg(t.ring), array_agg(t.state),
                array_agg(t.code), array_agg(t.reference), array_agg(t.due_at), array_agg(t.attempts))
            from (
                select distinct on (u.id, u.number) u.*
                from unnest(ids, numbers, tenants, epochs, rings, states, codes, refs, next_at, counted) with ordinality
                    as u (id, number, tenant_id, epoch, ring, state, code, reference, due_at, attempts, place)
                order by u.id, u.number, u.place
            ) as t
            where not exists (select from ficus.attempt_end as e where e.id = t.id and e.number = t.number);
    end;
    return query select unnest(lost);
end
$$;
comment on function ficus.end_attempts is 'Writes down how attempts ended, and what comes next.';

-- Lets the next part of ficus.due be written, if it is empty: truncated first, which frees its dead rows whoever holds a snapshot.
-- False: it is not empty, or somebody works on it; the current one goes on.
create function ficus.turn_ring() returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    next smallint;
    found_one boolean;
begin
    perform set_config('lock_timeout', '50ms', true);
    select (r.current + 1) % 8 into next from ficus.ring as r for update;
    execute format('select exists (select from ficus.due_%s)', next) into found_one;
    if found_one then
        return false;
    end if;
    -- Against those who accept: they have read which part is written, and may not have written yet.
    execute format('lock table ficus.due_%s in access exclusive mode', next);
    execute format('select exists (select from ficus.due_%s)', next) into found_one;
    if found_one then
        return false;
    end if;
    execute format('truncate ficus.due_%s', next);
    update ficus.ring set current = next, since = clock_timestamp();
    return true;
exception
    when lock_not_available then
        return false;
end
$$;
comment on function ficus.turn_ring is 'Begins the next ring of what is due.';

-- Lets an engine read in the name of a reader, which is made where there is none. False: another one does.
create function ficus.take_reader(reader text, engine uuid, lease interval) returns boolean
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    insert into ficus.event_reader as r (name, engine_id, lease_until) values (reader, engine, clock_timestamp() + lease)
    on conflict on constraint event_reader_pkey do update set engine_id = excluded.engine_id, lease_until = excluded.lease_until
    where r.engine_id = excluded.engine_id or r.lease_until < clock_timestamp()
    returning true
$$;
comment on function ficus.take_reader is 'Who reads events.';

-- Before it every transaction of this database is over. Those of other databases of the server, which may run for hours, write no events here;
-- one of which it is not known where it runs counts as ours.
create function ficus.event_horizon() returns xid8
    language sql volatile security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
    with snapshot as materialized (
        select pg_current_snapshot() as taken
    ), elsewhere as materialized (
        select l.transactionid from pg_locks as l join pg_stat_activity as a on a.pid = l.pid
        where l.locktype = 'transactionid' and l.mode = 'ExclusiveLock' and l.granted
        and a.datid <> (select d.oid from pg_database as d where d.datname = current_database())
    )
    select coalesce(
        (
            select x.id from snapshot as s cross join lateral pg_snapshot_xip(s.taken) as x (id)
            where not exists (select from elsewhere as e where e.transactionid = x.id::xid) order by x.id limit 1
        ),
        (select pg_snapshot_xmax(s.taken) from snapshot as s)
    )
$$;
comment on function ficus.event_horizon is 'Up to where events are complete.';

-- What a reader has not dealt with yet before a horizon, in order, with the message that it is about, or without where that is gone. Whole rows of
-- the log, as many as have `most` messages or more. The horizon is asked for in a statement of its own before: what was over then is seen by this one.
create function ficus.read_events(reader text, horizon text, most integer) returns table (
    xid text, seq bigint, id uuid, number smallint, state text, code text, at timestamptz,
    tenant_id bigint, channel text, campaign_id bigint, recipient text, content_id uuid
)
    language sql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan set enable_seqscan = off
as $$
    select e.xid::text, e.seq, i.id, i.number, e.state, e.code, e.at, m.tenant_id, m.channel, m.campaign_id, m.recipient, m.content_id
    from (
        select v.*, sum(v.messages) over (order by v.xid, v.seq) - v.messages as before
        from (
            select v.* from ficus.event as v, ficus.event_reader as r
            where r.name = reader and (v.xid, v.seq) > (r.xid, r.seq) and v.xid < horizon::xid8
            order by v.xid, v.seq limit most
        ) as v
    ) as e
    cross join lateral unnest(e.ids, e.numbers) with ordinality as i (id, number, place)
    left join lateral (select * from ficus.message as m where m.id = i.id offset 0) as m on true
    where e.before < most
    order by e.xid, e.seq, i.place
$$;
comment on function ficus.read_events is 'Events that a reader has not dealt with.';

-- Up to here it has. Only from where the reader stood, so that of two that think they read one goes on.
create function ficus.events_read(reader text, engine uuid, xid text, seq bigint) returns boolean
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update ficus.event_reader as r set xid = events_read.xid::xid8, seq = events_read.seq
    where r.name = reader and r.engine_id = engine and (r.xid, r.seq) < (events_read.xid::xid8, events_read.seq)
    returning true
$$;
comment on function ficus.events_read is 'A reader has dealt with these events.';

-- Ends messages of a tenant that share a content and that nobody has begun, at most so many. Answers with how many; fewer than `most`: no more are left.
-- Hold them back before: each gets the number of its next attempt, so that whoever has read it as due finds the number taken.
create function ficus.cancel_messages(tenant bigint, content uuid, most integer) returns integer
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    set jit = off set plan_cache_mode = force_custom_plan
as $$
declare
    gone uuid[];
begin
    perform ficus.fence_shared();
    gone := array(
        select w.id from (
            select d.id from ficus.due as d where d.shard = tenant % 64 and d.tenant_id = tenant
            union
            select l.id from ficus.later as l where l.shard = tenant % 64 and l.tenant_id = tenant
        ) as w
        cross join lateral (select from ficus.message as m where m.id = w.id and m.content_id = content offset 0) as m
        where not exists (
            select from ficus.attempt as a where a.id = w.id
            and not exists (select from ficus.attempt_end as e where e.id = a.id and e.number = a.number)
        )
        limit most
    );
    with next as materialized (
        select g.id, (coalesce((select max(a.number) from ficus.attempt as a where a.id = g.id), 0) + 1)::smallint as number
        from unnest(gone) as g (id)
    ), begun as (
        insert into ficus.attempt (id, number, tenant_id, shard, epoch, connection)
        select n.id, n.number, tenant, tenant % 64, 0, 'cancelled' from next as n
        on conflict on constraint attempt_pkey do nothing
        returning attempt.id, attempt.number
    ), ended as (
        insert into ficus.attempt_end (id, number, tenant_id, state, code) select b.id, b.number, tenant, 'cancelled', 'cancelled' from begun as b
    ), told as (
        insert into ficus.event (state, code, ids, numbers, messages)
        select 'cancelled', 'cancelled', array_agg(b.id), array_agg(b.number), count(*) from begun as b having count(*) > 0
    ), not_later as (
        delete from ficus.later as l using begun as b where l.id = b.id
    )
    delete from ficus.due as d using begun as b where d.shard = tenant % 64 and d.tenant_id = tenant and d.id = b.id;
    return coalesce(array_length(gone, 1), 0);
end
$$;
comment on function ficus.cancel_messages is 'Ends messages that nobody has begun.';

-- Forgets keys that are older, at most so many at once. Answers with how many.
create function ficus.forget_keys(keep interval, most integer) returns bigint
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    with gone as (
        delete from ficus.message_key as k where k.ctid = any (array(
            select o.ctid from ficus.message_key as o where o.created_at < clock_timestamp() - keep limit most
        )) returning 1
    )
    select count(*) from gone
$$;
comment on function ficus.forget_keys is 'Lets old keys be used again.';

-- Nothing of this is for a person's hands: all of it goes through the functions.
do $$
declare
    thing text;
begin
    foreach thing in array array['content', 'message', 'message_key', 'engine', 'shard', 'due', 'ring', 'later', 'hold', 'attempt', 'attempt_end', 'event', 'event_reader', 'suppression'] loop
        execute format('alter table ficus.%I owner to ficus_owner', thing);
        execute format('grant select on ficus.%I to ficus_app', thing);
    end loop;
    for thing in
        select c.relname from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
        where i.inhparent in ('ficus.message'::regclass, 'ficus.due'::regclass, 'ficus.attempt'::regclass, 'ficus.attempt_end'::regclass, 'ficus.event'::regclass)
        and c.relkind = 'r'
    loop
        execute format('alter table ficus.%I owner to ficus_owner', thing);
    end loop;
    for thing in
        select p.oid::regprocedure::text from pg_proc as p where p.pronamespace = 'ficus'::regnamespace and p.proname in (
            'keep_days', 'tell', 'accept_messages', 'fence_shared', 'fence', 'take_shards', 'release_shards', 'due_tenants', 'load_due',
            'write_attempts', 'begin_attempts', 'write_ends', 'end_attempts', 'turn_ring', 'first_id', 'take_reader', 'read_events', 'event_horizon', 'events_read', 'cancel_messages', 'forget_keys')
    loop
        execute format('alter function %s owner to ficus_owner', thing);
        execute format('revoke execute on function %s from public', thing);
        execute format('grant execute on function %s to ficus_app', thing);
    end loop;
end
$$;
alter sequence ficus.event_seq owner to ficus_owner;
grant select on ficus.message, ficus.attempt, ficus.attempt_end, ficus.engine, ficus.shard, ficus.hold to ficus_read;
