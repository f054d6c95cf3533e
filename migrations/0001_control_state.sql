-- The control state: which tenant's capability is served by which side, and who changed it.
--
-- The promise of this file: every write to tenant, capability, flag, override or token, from any client, gets in the
-- same transaction one revision, one row in ficus.change with its items, and one NOTIFY that carries the
-- revision only. Revisions follow commit order: a writer holds the row of ficus.clock from the start of its
-- statement until it commits, so no later revision can become visible before an earlier one.
-- The price: a transaction that changes control state makes the next one wait, so keep it short.
--
-- Run with search_path = ficus by a role that may create roles (ficus migrate).

-- Group roles. Clusters are shared by databases, so they may be there already, or be being made by a neighbour.
do $$
declare
    wanted text;
begin
    foreach wanted in array array['ficus_owner', 'ficus_app', 'ficus_read'] loop
        begin
            execute format('create role %I nologin', wanted);
        exception when duplicate_object or unique_violation then
            null;
        end;
    end loop;
end $$;

comment on schema ficus is 'Ficus: flags, overrides, audit and the proxies that apply them.';

create function ficus.is_name(text) returns boolean
    language sql immutable strict parallel safe
    return $1 ~ '^[a-z][a-z0-9_.-]{0,62}$';
comment on function ficus.is_name is 'A slug or a capability name: begins with a letter, at most 63 characters, and no "|", which the hash uses as separator.';

create table ficus.clock (
    only_row boolean not null default true,
    revision bigint not null default 0,
    constraint clock_pkey primary key (only_row),
    constraint clock_has_one_row check (only_row),
    constraint clock_never_negative check (revision >= 0)
);
insert into ficus.clock default values;
comment on table ficus.clock is 'The revision of the newest committed change. Its row lock puts writers in commit order.';

create table ficus.tenant (
    id bigint not null,
    slug text,
    name text not null default '',
    class text not null default 'low',
    -- Set by hand, a class is not recomputed from volume.
    class_pinned boolean not null default false,
    changed_at timestamptz not null default clock_timestamp(),
    revision bigint not null default 0,
    constraint tenant_pkey primary key (id),
    constraint tenant_id_positive check (id > 0),
    constraint tenant_slug_key unique (slug),
    constraint tenant_slug_form check (ficus.is_name(slug)),
    constraint tenant_class_known check (class in ('internal', 'low', 'medium', 'high'))
);
comment on table ficus.tenant is 'A customer of the legacy application; id is its owner_id there.';

create table ficus.capability (
    name text not null,
    -- The place of the capability's two bits in a snapshot's row: proxies pack 64 capabilities a tenant.
    ordinal smallint not null,
    effect text not null default 'read',
    changed_at timestamptz not null default clock_timestamp(),
    revision bigint not null default 0,
    constraint capability_pkey primary key (name),
    constraint capability_name_form check (ficus.is_name(name)),
    constraint capability_ordinal_key unique (ordinal),
    constraint capability_ordinal_range check (ordinal between 0 and 63),
    constraint capability_effect_known check (effect in ('read', 'write', 'send'))
);
comment on table ficus.capability is 'A named slice of the application that moves as one. Registered from the configuration.';

-- Volatile, so that it sees the rows that its own statement has inserted already.
create function ficus.next_ordinal() returns smallint
    language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select min(free)::smallint from generate_series(0, 63) as free
        where not exists (select from ficus.capability where ordinal = free)
    );
end $$;
alter table ficus.capability alter column ordinal set default ficus.next_ordinal();

create table ficus.flag (
    tenant_id bigint not null,
    capability text not null,
    state text not null,
    changed_at timestamptz not null default clock_timestamp(),
    revision bigint not null default 0,
    constraint flag_pkey primary key (tenant_id, capability),
    constraint flag_tenant_fkey foreign key (tenant_id) references ficus.tenant (id) on delete cascade,
    constraint flag_capability_fkey foreign key (capability) references ficus.capability (name),
    constraint flag_state_known check (state in ('legacy', 'shadow', 'modern'))
) with (fillfactor = 80);
create index flag_capability_idx on ficus.flag (capability, state);
comment on table ficus.flag is 'Tenant x capability -> state. No row: legacy.';

create table ficus.override (
    -- Null: every capability.
    capability text,
    action text not null,
    changed_at timestamptz not null default clock_timestamp(),
    revision bigint not null default 0,
    constraint override_scope_key unique nulls not distinct (capability, action),
    constraint override_capability_fkey foreign key (capability) references ficus.capability (name),
    constraint override_action_known check (action in ('force-legacy'))
);
comment on table ficus.override is 'What stands above every flag: force-legacy, of one capability or (capability null) of all.';

create table ficus.change (
    revision bigint not null,
    at timestamptz not null,
    entity text not null,
    actor text not null,
    source text not null,
    reason text,
    -- Who PostgreSQL says it was, whatever the actor claims.
    db_user text not null,
    application text not null,
    -- Set when a proxy's local action is brought home, so that it is brought home once.
    action_id uuid,
    -- When the local action was taken; null otherwise.
    acted_at timestamptz,
    constraint change_pkey primary key (revision),
    constraint change_action_key unique (action_id)
);
comment on table ficus.change is 'The audit: one row a statement that changed something. Append-only.';

create table ficus.change_item (
    revision bigint not null,
    -- Its own, since one statement with a WITH clause may write two tables under one revision.
    entity text not null,
    tenant_id bigint,
    capability text,
    -- Null: there was no row.
    before jsonb,
    -- Null: there is no row any more.
    after jsonb,
    constraint change_item_change_fkey foreign key (revision) references ficus.change (revision)
);
create index change_item_revision_idx on ficus.change_item (revision, entity);
create index change_item_tenant_idx on ficus.change_item (tenant_id, capability, revision);
comment on table ficus.change_item is 'What a change did, row by row.';

create table ficus.instance (
    id uuid not null,
    name text not null,
    roles text[] not null,
    version text not null,
    -- Where people reach this process: the proxy's listeners.
    listen text[] not null default '{}',
    started_at timestamptz not null default clock_timestamp(),
    heartbeat_at timestamptz not null default clock_timestamp(),
    applied_revision bigint not null default 0,
    applied_at timestamptz not null default clock_timestamp(),
    -- Set on an orderly stop: a stopped proxy is not waited for.
    stopped_at timestamptz,
    constraint instance_pkey primary key (id)
) with (fillfactor = 50);
comment on table ficus.instance is 'Every ficus process, its heartbeat and the revision that it has applied.';

create table ficus.token (
    name text not null,
    role text not null,
    -- SHA-256 of the token's text. The text itself is shown once and stored nowhere.
    digest bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    revoked_at timestamptz,
    changed_at timestamptz not null default clock_timestamp(),
    revision bigint not null default 0,
    constraint token_pkey primary key (name),
    constraint token_name_form check (name ~ '^[A-Za-z0-9][A-Za-z0-9@_.-]{0,62}$'),
    constraint token_role_known check (role in ('viewer', 'operator', 'admin')),
    constraint token_digest_key unique (digest),
    constraint token_digest_length check (octet_length(digest) = 32)
);
comment on table ficus.token is 'Bearer tokens of the admin API, hashed.';

-- The triggers ------------------------------------------------------------------------------------------

-- Opens a statement's change: waits for its turn, and forgets the revision of the statement before it.
-- The clock is locked before any flag row is, so two writers cannot wait for each other crosswise.
create function ficus.open_change() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform from ficus.clock for update;
    perform set_config('ficus.revision', '', true);
    return null;
end $$;

-- The revision of the running statement, taken when its first row really changes: a statement that changes
-- nothing takes none.
create function ficus.statement_revision() returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    taken text := current_setting('ficus.revision', true);
    fresh bigint;
begin
    if taken <> '' then
        return taken::bigint;
    end if;
    update ficus.clock set revision = revision + 1 returning revision into strict fresh;
    perform set_config('ficus.revision', fresh::text, true);
    return fresh;
end $$;

create function ficus.stamp_row() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    new.revision := ficus.statement_revision();
    new.changed_at := clock_timestamp();
    return new;
end $$;

-- A row written as it was is no change: it takes no revision and no audit row.
create function ficus.skip_row() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    return null;
end $$;

-- Writes the statement's change row. The actor comes from the settings that ficus makes local to its own
-- transactions; any other client is recorded by its login.
create function ficus.record_change(entity text) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    revision bigint := ficus.statement_revision();
    application text := coalesce(current_setting('application_name', true), '');
begin
    insert into ficus.change (revision, at, entity, actor, source, reason, db_user, application, action_id, acted_at)
    values (
        revision,
        clock_timestamp(),
        entity,
        coalesce(nullif(current_setting('ficus.actor', true), ''), session_user),
        coalesce(nullif(current_setting('ficus.source', true), ''), case when application like 'psql%' then 'psql' else 'sql' end),
        nullif(current_setting('ficus.reason', true), ''),
        session_user,
        application,
        null,
        null
    )
    -- An upsert fires both the insert's and the update's trigger: one statement, one change.
    on conflict on constraint change_pkey do nothing;
    perform pg_notify('ficus_change', revision::text);
    return revision;
end $$;

-- Closes a statement's change. TG_ARGV: the entity, the column that holds the tenant ('' for none), and the
-- column that holds the capability ('' for none).
create function ficus.close_change() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    -- What the audit leaves out: our own stamps, and what a token could be recognised by.
    stamps constant text[] := array['revision', 'changed_at', 'digest'];
    tenant constant text := tg_argv[1];
    capability constant text := tg_argv[2];
    revision bigint;
begin
    if tg_op = 'INSERT' then
        if not exists (select from new_rows) then return null; end if;
        revision := ficus.record_change(tg_argv[0]);
        insert into ficus.change_item (revision, entity, tenant_id, capability, before, after)
        select revision, tg_argv[0], (r.j ->> tenant)::bigint, r.j ->> capability, null, r.j - stamps
        from (select to_jsonb(n) as j from new_rows as n) as r;
    elsif tg_op = 'DELETE' then
        if not exists (select from old_rows) then return null; end if;
        revision := ficus.record_change(tg_argv[0]);
        insert into ficus.change_item (revision, entity, tenant_id, capability, before, after)
        select revision, tg_argv[0], (r.j ->> tenant)::bigint, r.j ->> capability, r.j - stamps, null
        from (select to_jsonb(o) as j from old_rows as o) as r;
    else
        if not exists (select from new_rows) then return null; end if;
        revision := ficus.record_change(tg_argv[0]);
        -- Both transition tables list the rows in the same order; a changed key still pairs its two halves.
        insert into ficus.change_item (revision, entity, tenant_id, capability, before, after)
        select revision, tg_argv[0], (n.j ->> tenant)::bigint, n.j ->> capability, o.j - stamps, n.j - stamps
        from (select row_number() over () as place, to_jsonb(x) as j from old_rows as x) as o
        join (select row_number() over () as place, to_jsonb(x) as j from new_rows as x) as n using (place);
    end if;
    return null;
end $$;

-- A primary key that changed would leave the old key standing in every proxy: say delete and insert instead.
create function ficus.refuse_key_change() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'the key of a row in ficus.% cannot change', tg_table_name
        using errcode = 'integrity_constraint_violation', hint = 'Delete the row and insert another.';
end $$;

create function ficus.refuse_truncate() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'ficus.% cannot be truncated: it would leave no audit', tg_table_name
        using errcode = 'insufficient_privilege', hint = 'Use delete.';
end $$;

create function ficus.refuse_rewrite() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'ficus.% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end $$;

do $$
declare
    t record;
begin
    for t in
        select * from (values
            ('tenant', 'id', '', 'old.id is distinct from new.id'),
            ('capability', '', 'name', 'old.name is distinct from new.name'),
            ('flag', 'tenant_id', 'capability', 'old.tenant_id is distinct from new.tenant_id or old.capability is distinct from new.capability'),
            ('override', '', 'capability', 'old.capability is distinct from new.capability or old.action is distinct from new.action'),
            ('token', '', '', 'old.name is distinct from new.name')
        ) as entity (name, tenant, capability, key_changed)
    loop
        execute format('create trigger a_open before insert or update or delete on ficus.%I for each statement execute function ficus.open_change()', t.name);
        execute format('create trigger b_key before update on ficus.%I for each row when (%s) execute function ficus.refuse_key_change()', t.name, t.key_changed);
        execute format('create trigger c_skip before update on ficus.%I for each row when (old.* is not distinct from new.*) execute function ficus.skip_row()', t.name);
        execute format('create trigger d_stamp before insert or update on ficus.%I for each row execute function ficus.stamp_row()', t.name);
        execute format('create trigger e_inserted after insert on ficus.%1$I referencing new table as new_rows for each statement execute function ficus.close_change(%1$L, %2$L, %3$L)', t.name, t.tenant, t.capability);
        execute format('create trigger e_updated after update on ficus.%1$I referencing old table as old_rows new table as new_rows for each statement execute function ficus.close_change(%1$L, %2$L, %3$L)', t.name, t.tenant, t.capability);
        execute format('create trigger e_deleted after delete on ficus.%1$I referencing old table as old_rows for each statement execute function ficus.close_change(%1$L, %2$L, %3$L)', t.name, t.tenant, t.capability);
        execute format('create trigger f_truncate before truncate on ficus.%I for each statement execute function ficus.refuse_truncate()', t.name);
    end loop;
    foreach t.name in array array['change', 'change_item'] loop
        execute format('create trigger append_only before update or delete or truncate on ficus.%I for each statement execute function ficus.refuse_rewrite()', t.name);
    end loop;
end $$;

-- Splits ------------------------------------------------------------------------------------------------

-- The first four bytes, big-endian, of SHA-256 over version|salt|capability|key. The same in Rust (flags::bucket).
create function ficus.hash32(version text, salt text, capability text, key text) returns bigint
    language sql immutable strict parallel safe
    return ('x' || encode(substring(sha256(convert_to(concat_ws('|', version, salt, capability, key), 'UTF8')) for 4), 'hex'))::bit(32)::bigint;

create function ficus.bucket(version text, salt text, capability text, key text) returns integer
    language sql immutable strict parallel safe
    return ((ficus.hash32(version, salt, capability, key) * 1000000) >> 32)::integer;
comment on function ficus.bucket is 'A number from 0 to 999,999 that is the same for the same words in SQL and in Rust.';

-- Local actions come home ---------------------------------------------------------------------------------

-- Brings one proxy's local rollback home: moves every flag in its scope that nobody has touched since the
-- revision that the proxy had, and leaves an audit row even where nothing was left to move. Once per id.
create function ficus.replay_local_rollback(
    id uuid, acted timestamptz, base_revision bigint, tenants bigint[], capability text, everything boolean
) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    taken bigint;
begin
    perform from ficus.clock for update;
    select c.revision into taken from ficus.change as c where c.action_id = id;
    if found then
        return taken;
    end if;
    -- The action's own audit row, then what it did: the flags that it moves get revisions of their own.
    perform set_config('ficus.revision', '', true);
    taken := ficus.statement_revision();
    insert into ficus.change (revision, at, entity, actor, source, reason, db_user, application, action_id, acted_at)
    values (
        taken, clock_timestamp(), 'local-rollback',
        coalesce(nullif(current_setting('ficus.actor', true), ''), session_user), 'local',
        nullif(current_setting('ficus.reason', true), ''), session_user,
        coalesce(current_setting('application_name', true), ''), id, acted
    );
    insert into ficus.change_item (revision, entity, tenant_id, capability, before, after)
    select taken, 'local-rollback', t, replay_local_rollback.capability, null::jsonb, null::jsonb from unnest(tenants) as t
    union all
    select taken, 'local-rollback', null, replay_local_rollback.capability, null, null where tenants is null;
    perform pg_notify('ficus_change', taken::text);
    if tenants is not null then
        update ficus.flag as f set state = 'legacy'
        where f.tenant_id = any (tenants) and f.state <> 'legacy' and f.revision <= base_revision;
    elsif everything or replay_local_rollback.capability is not null then
        insert into ficus.override (capability, action) values (replay_local_rollback.capability, 'force-legacy')
        on conflict on constraint override_scope_key do nothing;
    end if;
    return (select revision from ficus.clock);
end $$;

-- A legacy column as an equal way to flip -----------------------------------------------------------------

create table ficus.bridge (
    legacy_table regclass not null,
    id_column name not null,
    flag_column name not null,
    capability text not null,
    constraint bridge_pkey primary key (capability),
    constraint bridge_capability_fkey foreign key (capability) references ficus.capability (name)
);
comment on table ficus.bridge is 'Boolean columns of the legacy schema that flip a capability. Made by ficus.bridge_legacy_column.';

-- Makes a boolean column of a legacy table an equal way to flip: setting it moves the tenant to modern, clearing
-- it moves the tenant to legacy, and a flip by any other way is written back to the column, so that the two agree.
-- Rows that are true now are taken over at once. Statement by statement: a bulk update is one change.
create function ficus.bridge_legacy_column(legacy_table regclass, id_column name, flag_column name, capability text) returns void
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    -- By ordinal, since a name of 63 characters leaves no room for more and two long ones may begin alike.
    stem text := (select format('bridge_%s_%s', left(c.name, 30), c.ordinal) from ficus.capability as c where c.name = capability);
    forward text := stem || '_in';
    backward text := stem || '_out';
begin
    if stem is null then
        raise exception 'there is no capability %', quote_literal(capability)
            using hint = 'Name it in the configuration and start ficus once, or insert it into ficus.capability.';
    end if;
    if not exists (
        select from pg_attribute as a
        where a.attrelid = legacy_table and a.attname = flag_column and a.atttypid = 'boolean'::regtype and not a.attisdropped
    ) then
        raise exception '% has no boolean column %', legacy_table, quote_ident(flag_column);
    end if;
    if not exists (
        select from pg_attribute as a
        where a.attrelid = legacy_table and a.attname = id_column and a.atttypid in ('bigint'::regtype, 'integer'::regtype) and not a.attisdropped
    ) then
        raise exception '% has no integer column %', legacy_table, quote_ident(id_column);
    end if;

    insert into ficus.bridge values (legacy_table, id_column, flag_column, capability)
    on conflict on constraint bridge_pkey do update
        set legacy_table = excluded.legacy_table, id_column = excluded.id_column, flag_column = excluded.flag_column;

    -- Legacy -> flag. Looks first and writes only where the two differ, so an ordinary update of the legacy
    -- table takes no lock of ours. A user that nobody has told us of becomes a tenant by being switched on.
    execute format($body$
        create or replace function ficus.%1$I() returns trigger
            language plpgsql security definer set search_path = pg_catalog, pg_temp
        as $in$
        begin
            -- What moved is worked out before anything is written: each write below is one statement, one change.
            if tg_op = 'UPDATE' then
                if not exists (
                    select from new_rows as n left join ficus.flag as f on f.tenant_id = n.%2$I and f.capability = %4$L
                    join old_rows as o on o.%2$I = n.%2$I
                    where n.%3$I is distinct from o.%3$I and coalesce(n.%3$I, false) <> coalesce(f.state = 'modern', false)
                ) then return null; end if;
            elsif not exists (
                select from new_rows as n left join ficus.flag as f on f.tenant_id = n.%2$I and f.capability = %4$L
                where n.%3$I and f.state is distinct from 'modern'
            ) then return null; end if;
            if exists (select from new_rows as n where n.%3$I and not exists (select from ficus.tenant as t where t.id = n.%2$I)) then
                insert into ficus.tenant (id) select n.%2$I from new_rows as n where n.%3$I
                on conflict on constraint tenant_pkey do nothing;
            end if;
            insert into ficus.flag as f (tenant_id, capability, state)
            select n.%2$I, %4$L, case when n.%3$I then 'modern' else 'legacy' end
            from new_rows as n join ficus.tenant as t on t.id = n.%2$I left join ficus.flag as was on was.tenant_id = n.%2$I and was.capability = %4$L
            where coalesce(n.%3$I, false) <> coalesce(was.state = 'modern', false)
            on conflict on constraint flag_pkey do update set state = excluded.state;
            return null;
        end $in$
    $body$, forward, id_column, flag_column, capability);

    -- Flag -> legacy. A legacy row that somebody holds is skipped, since a rollback must not wait for it.
    execute format($body$
        create or replace function ficus.%1$I() returns trigger
            language plpgsql security definer set search_path = pg_catalog, pg_temp
        as $out$
        begin
            update %2$s as l set %4$I = free.wanted
            from (
                -- No row is legacy, so a flag that is deleted clears the column too.
                select u.%3$I as id, to_be.wanted from %2$s as u join new_rows as n on n.tenant_id = u.%3$I
                cross join lateral (select tg_op <> 'DELETE' and n.state = 'modern') as to_be (wanted)
                where n.capability = %5$L and u.%4$I is distinct from to_be.wanted
                for update of u skip locked
            ) as free
            where l.%3$I = free.id;
            return null;
        end $out$
    $body$, backward, legacy_table, id_column, flag_column, capability);

    execute format('create or replace trigger %I after insert on %s referencing new table as new_rows for each statement execute function ficus.%I()', forward || 'serted', legacy_table, forward);
    execute format('create or replace trigger %I after update on %s referencing old table as old_rows new table as new_rows for each statement execute function ficus.%I()', forward || '_updated', legacy_table, forward);
    execute format('create or replace trigger %I after insert on ficus.flag referencing new table as new_rows for each statement execute function ficus.%I()', 'g_' || backward || '_inserted', backward);
    execute format('create or replace trigger %I after update on ficus.flag referencing new table as new_rows for each statement execute function ficus.%I()', 'g_' || backward || '_updated', backward);
    execute format('create or replace trigger %I after delete on ficus.flag referencing old table as new_rows for each statement execute function ficus.%I()', 'g_' || backward || '_deleted', backward);

    -- What is switched on already.
    execute format('insert into ficus.tenant (id) select u.%1$I from %2$s as u where u.%3$I on conflict on constraint tenant_pkey do nothing', id_column, legacy_table, flag_column);
    execute format(
        'insert into ficus.flag (tenant_id, capability, state) select u.%1$I, %4$L, ''modern'' from %2$s as u where u.%3$I
         on conflict on constraint flag_pkey do update set state = excluded.state',
        id_column, legacy_table, flag_column, capability);
end $$;

-- Rights --------------------------------------------------------------------------------------------------

do $$
declare
    thing record;
begin
    -- The migrating role hands everything to the owner, whose rights the triggers use.
    if not pg_has_role(current_user, 'ficus_owner', 'member') then
        execute format('grant ficus_owner to %I', current_user);
    end if;
    execute 'alter schema ficus owner to ficus_owner';
    for thing in select c.oid::regclass as name from pg_class as c where c.relnamespace = 'ficus'::regnamespace and c.relkind in ('r', 'S') loop
        execute format('alter table %s owner to ficus_owner', thing.name);
    end loop;
    for thing in select p.oid::regprocedure as name from pg_proc as p where p.pronamespace = 'ficus'::regnamespace loop
        execute format('alter function %s owner to ficus_owner', thing.name);
        execute format('revoke execute on function %s from public', thing.name);
    end loop;
end $$;

grant usage on schema ficus to ficus_app, ficus_read;
grant select on all tables in schema ficus to ficus_app;
grant select on ficus.clock, ficus.tenant, ficus.capability, ficus.flag, ficus.override, ficus.change, ficus.change_item, ficus.instance, ficus.bridge to ficus_read;
grant select (name, role, created_at, revoked_at) on ficus.token to ficus_read;
grant insert, update, delete on ficus.tenant, ficus.capability, ficus.flag, ficus.override to ficus_app;
grant insert, update, delete on ficus.instance to ficus_app;
grant insert, update on ficus.token to ficus_app;
-- Needed to lock the clock for an expected revision; only the triggers move it.
grant update (only_row) on ficus.clock to ficus_app;
grant execute on function ficus.replay_local_rollback, ficus.next_ordinal to ficus_app;
grant execute on function ficus.is_name, ficus.hash32, ficus.bucket to ficus_app, ficus_read;
