-- Freezes, which make a part of the application read-only until a time; splits, which move a capability by share of its
-- traffic; and alerts, which are told to people until somebody has them.
--
-- Freezes and splits are control state: they have the triggers of 0001, so that each write of them has its revision, its
-- audit row and its notification, whoever makes it.

-- What a split of the capability keeps together. Null: it moves by its tenants' flags alone. From the configuration.
alter table ficus.capability add column split_by text;
alter table ficus.capability add constraint capability_split_by_known check (split_by in ('tenant', 'user', 'session'));

create table ficus.freeze (
    -- Both null: everything.
    tenant_id bigint,
    capability text,
    -- By this server's clock. Proxies end the freeze by themselves, no earlier than this.
    until timestamptz not null,
    changed_at timestamptz not null default clock_timestamp(),
    revision bigint not null default 0,
    constraint freeze_scope_key unique nulls not distinct (tenant_id, capability),
    constraint freeze_tenant_fkey foreign key (tenant_id) references ficus.tenant (id) on delete cascade,
    constraint freeze_capability_fkey foreign key (capability) references ficus.capability (name),
    constraint freeze_has_one_scope check (num_nonnulls(tenant_id, capability) <= 1),
    constraint freeze_end_is_a_time check (isfinite(until)),
    constraint freeze_ends_later check (until > changed_at),
    -- A freeze that is forgotten must not outlive the night shift.
    constraint freeze_ends_within_a_day check (until <= changed_at + interval '24 hours')
);
comment on table ficus.freeze is 'Who may not write until when: a tenant, a capability, or (both null) everybody.';

create table ficus.split (
    capability text not null,
    -- The share of keys that modern serves, in steps of a hundredth.
    percent numeric(5, 2) not null,
    changed_at timestamptz not null default clock_timestamp(),
    revision bigint not null default 0,
    constraint split_pkey primary key (capability),
    constraint split_capability_fkey foreign key (capability) references ficus.capability (name),
    constraint split_percent_range check (percent between 0 and 100)
);
comment on table ficus.split is 'The share of a capability''s traffic that modern serves. A tenant''s flag stands above it.';

create function ficus.refuse_split() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from ficus.capability where name = new.capability and split_by is null) then
        raise exception 'capability % moves by tenant, so it has no split', quote_literal(new.capability)
            using errcode = 'check_violation', constraint = 'split_capability_splits',
                  hint = 'Say by = "split" in its section of the configuration.';
    end if;
    return new;
end $$;
create trigger c_refuse before insert or update on ficus.split for each row execute function ficus.refuse_split();

do $$
declare
    t record;
begin
    for t in
        select * from (values
            ('freeze', 'tenant_id', 'capability', 'old.tenant_id is distinct from new.tenant_id or old.capability is distinct from new.capability'),
            ('split', '', 'capability', 'old.capability is distinct from new.capability')
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
end $$;

-- A tenant that a split has on modern has no flag that a rollback could set: it gets one. $1 tenants, $2 the newest
-- revision of a split that is meant, or null for all.
create function ficus.pin_to_legacy(tenants bigint[], newest bigint) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    pinned bigint;
begin
    insert into ficus.flag (tenant_id, capability, state)
    select t.id, s.capability, 'legacy' from ficus.tenant as t cross join ficus.split as s
    where t.id = any (tenants) and s.percent > 0 and (newest is null or s.revision <= newest)
      and not exists (select from ficus.flag as f where f.tenant_id = t.id and f.capability = s.capability)
    on conflict on constraint flag_pkey do nothing;
    get diagnostics pinned = row_count;
    return pinned;
end $$;

-- What each process has under way of the writes that a freeze covers, as it reported it last. Null: nothing is frozen.
alter table ficus.instance add column writes jsonb;

create table ficus.alert (
    id uuid not null default gen_random_uuid(),
    -- What it is about. While an alert of this key is open, another one is the same, seen again.
    key text not null,
    severity text not null,
    capability text,
    title text not null,
    body text not null default '',
    raised_at timestamptz not null default clock_timestamp(),
    seen_at timestamptz not null default clock_timestamp(),
    seen bigint not null default 1,
    resolved_at timestamptz,
    -- When its deliveries were written down. Null: the leader has not looked at it yet.
    routed_at timestamptz,
    -- The same of its end.
    end_routed_at timestamptz,
    constraint alert_pkey primary key (id),
    constraint alert_severity_known check (severity in ('critical', 'warning', 'info')),
    constraint alert_key_length check (length(key) between 1 and 200),
    constraint alert_title_length check (length(title) between 1 and 1000)
);
create unique index alert_open_key on ficus.alert (key) where resolved_at is null;
create index alert_unrouted on ficus.alert (raised_at) where routed_at is null or (resolved_at is not null and end_routed_at is null);
comment on table ficus.alert is 'What people are told of. Written with the change that it tells of, delivered by the leader.';

create table ficus.alert_delivery (
    alert_id uuid not null,
    channel text not null,
    -- raise, or resolve.
    event text not null,
    due_at timestamptz not null,
    attempts integer not null default 0,
    tried_at timestamptz,
    delivered_at timestamptz,
    given_up_at timestamptz,
    fault text,
    constraint alert_delivery_pkey primary key (alert_id, channel, event),
    constraint alert_delivery_alert_fkey foreign key (alert_id) references ficus.alert (id) on delete cascade,
    constraint alert_delivery_event_known check (event in ('raise', 'resolve'))
);
create index alert_delivery_due on ficus.alert_delivery (due_at) where delivered_at is null and given_up_at is null;
comment on table ficus.alert_delivery is 'Who was told of an alert, and who is still to be.';

-- Raises an alert, or counts it as seen again where one of this key is open. Callable in any transaction.
create function ficus.raise_alert(severity text, key text, capability text, title text, body text) returns uuid
    language sql volatile set search_path = pg_catalog, pg_temp
begin atomic
    insert into ficus.alert as a (severity, key, capability, title, body)
    values ($1, $2, $3, $4, $5)
    on conflict (key) where resolved_at is null do update set seen = a.seen + 1, seen_at = clock_timestamp()
    returning id;
end;

do $$
declare
    thing text;
begin
    foreach thing in array array['ficus.freeze', 'ficus.split', 'ficus.alert', 'ficus.alert_delivery'] loop
        execute format('alter table %s owner to ficus_owner', thing);
    end loop;
    foreach thing in array array['ficus.refuse_split()', 'ficus.pin_to_legacy(bigint[], bigint)', 'ficus.raise_alert(text, text, text, text, text)'] loop
        execute format('alter function %s owner to ficus_owner', thing);
        execute format('revoke execute on function %s from public', thing);
    end loop;
end $$;

grant select, insert, update, delete on ficus.freeze, ficus.split to ficus_app;
grant select, insert, update, delete on ficus.alert, ficus.alert_delivery to ficus_app;
grant select on ficus.freeze, ficus.split, ficus.alert, ficus.alert_delivery to ficus_read;
grant execute on function ficus.pin_to_legacy, ficus.raise_alert to ficus_app;

-- As in 0001, and a tenant whom a split has on modern is pinned to legacy too.
create or replace function ficus.replay_local_rollback(
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
        perform ficus.pin_to_legacy(tenants, base_revision);
    elsif everything or replay_local_rollback.capability is not null then
        insert into ficus.override (capability, action) values (replay_local_rollback.capability, 'force-legacy')
        on conflict on constraint override_scope_key do nothing;
    end if;
    return (select revision from ficus.clock);
end $$;
