-- The audit as evidence: why, from what measurements, when asked for and when in force; and a chain of hashes over it.
--
-- The chain: each statement that writes ficus.change or ficus.change_item appends one row to ficus.link, in the same
-- transaction and under the lock of ficus.clock, so links stand in commit order and have no gaps. A link holds the
-- digest of the rows that the statement wrote, and the hash of itself over the hash of the link before. Statement by
-- statement, not change by change: an upsert fires two triggers and a `with` may write two tables under one revision, and
-- nobody can say before the commit that a change has had its last row. No deferred trigger, which `set constraints` could
-- bring forward.
--
-- The canonical bytes, which anybody can compute outside (docs/AUDIT.md):
--   field   = '-' for null, else its length in bytes of UTF-8, ':', its text, ','
--   row     = its fields, one after the other, in the order of ficus.change_bytes and ficus.item_bytes
--   digest  = SHA-256 of the row; of several rows: SHA-256 of their digests in the order of place, 32 bytes each
--   hash    = SHA-256 of the hash before (32 bytes; zeros before the first), the link's fields, and its digest
-- Times are UTC with six digits, jsonb is PostgreSQL's text of it.

-- What a change is evidence of -------------------------------------------------------------------------------

alter table ficus.change
    -- What was measured when an automaton decided. Null: nobody measured.
    add column evidence jsonb,
    -- When the write was asked for: before it waited for its turn. Null: written before this was kept.
    add column requested_at timestamptz,
    -- Those that were there are left as they are.
    add constraint change_people_say_why check (source not in ('cli', 'api', 'console', 'direct') or coalesce(reason, '') ~ '\S') not valid;

-- The order in which items were written, over all changes. Those that are there get it from their revision, and not from
-- where they lie: a dry run's space is used again.
alter table ficus.change_item disable trigger append_only;
alter table ficus.change_item add column place bigint;
update ficus.change_item as i set place = sorted.place
from (select ctid as row, row_number() over (order by revision, ctid) as place from ficus.change_item) as sorted
where i.ctid = sorted.row;
alter table ficus.change_item
    alter column place set not null,
    alter column place add generated always as identity,
    add constraint change_item_pkey primary key (place);
select setval(pg_get_serial_sequence('ficus.change_item', 'place'), coalesce(max(place), 1), count(*) > 0) from ficus.change_item;

create or replace function ficus.record_change(entity text) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    revision bigint := ficus.statement_revision();
    application text := coalesce(current_setting('application_name', true), '');
begin
    insert into ficus.change (revision, at, entity, actor, source, reason, db_user, application, action_id, acted_at, evidence, requested_at)
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
        null,
        nullif(current_setting('ficus.evidence', true), '')::jsonb,
        -- A client that does not say when it was asked began its transaction then.
        coalesce(nullif(current_setting('ficus.requested_at', true), '')::timestamptz, transaction_timestamp())
    )
    -- An upsert fires both the insert's and the update's trigger: one statement, one change.
    on conflict on constraint change_pkey do nothing;
    perform pg_notify('ficus_change', revision::text);
    return revision;
end $$;

-- When a change was in force. Not in the chain, for it is known only after the commit, and must make no writer wait.
create table ficus.confirmation (
    revision bigint not null,
    -- When the writer knew that it was committed.
    committed_at timestamptz not null,
    -- When the first and the last of the live proxies had applied it. Null: none had, before the wait ended.
    first_ack_at timestamptz,
    last_ack_at timestamptz,
    confirmed boolean not null,
    -- Each proxy that was looked at: its name, whether it had applied the change, and after how many milliseconds.
    proxies jsonb not null,
    constraint confirmation_pkey primary key (revision),
    constraint confirmation_change_fkey foreign key (revision) references ficus.change (revision),
    constraint confirmation_acks_in_order check (first_ack_at <= last_ack_at)
);
comment on table ficus.confirmation is 'When a change was committed and when the proxies had it, as its writer saw it. Append-only.';

-- The chain --------------------------------------------------------------------------------------------------

-- Stable, not immutable, so that PostgreSQL puts these into the query that calls them: convert_to and to_char are stable,
-- and a call of its own for each field is fifty times as slow.
create function ficus.field(text) returns text
    language sql stable parallel safe
    return coalesce(octet_length(convert_to($1, 'UTF8')) || ':' || $1 || ',', '-');

create function ficus.time_text(timestamptz) returns text
    language sql stable parallel safe
    return to_char($1 at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

create function ficus.change_bytes(c ficus.change) returns bytea
    language sql stable parallel safe
    return convert_to(
        ficus.field((c).revision::text) || ficus.field(ficus.time_text((c).at)) || ficus.field((c).entity)
        || ficus.field((c).actor) || ficus.field((c).source) || ficus.field((c).reason)
        || ficus.field((c).db_user) || ficus.field((c).application)
        || ficus.field((c).action_id::text) || ficus.field(ficus.time_text((c).acted_at))
        || ficus.field((c).evidence::text) || ficus.field(ficus.time_text((c).requested_at)), 'UTF8');

create function ficus.item_bytes(i ficus.change_item) returns bytea
    language sql stable parallel safe
    return convert_to(
        ficus.field((i).place::text) || ficus.field((i).revision::text) || ficus.field((i).entity)
        || ficus.field((i).tenant_id::text) || ficus.field((i).capability)
        || ficus.field((i).before::text) || ficus.field((i).after::text), 'UTF8');

create table ficus.link (
    -- 1, 2, 3 … without a gap.
    seq bigint not null,
    revision bigint not null,
    -- 'change': the row of ficus.change. 'items': the rows of ficus.change_item from first_place to last_place.
    part text not null,
    rows bigint not null,
    first_place bigint,
    last_place bigint,
    digest bytea not null,
    -- The items' digests one after the other, so that a broken link can name the row. Null above a thousand rows.
    row_digests bytea,
    hash bytea not null,
    constraint link_pkey primary key (seq),
    constraint link_part_known check (part in ('change', 'items')),
    constraint link_places_of_items check ((part = 'items') = (first_place is not null) and (part = 'items') = (last_place is not null)),
    constraint link_hash_length check (octet_length(hash) = 32 and octet_length(digest) = 32)
);
create index link_revision_idx on ficus.link (revision);
comment on table ficus.link is 'The chain of hashes over ficus.change and ficus.change_item. Append-only; `ficus audit verify` checks it.';

create function ficus.link_hash(before bytea, seq bigint, revision bigint, part text, rows bigint, first_place bigint, last_place bigint, digest bytea) returns bytea
    language sql stable parallel safe
    return sha256(before || convert_to(
        ficus.field(seq::text) || ficus.field(revision::text) || ficus.field(part) || ficus.field(rows::text)
        || ficus.field(first_place::text) || ficus.field(last_place::text), 'UTF8') || digest);

create function ficus.append_link(revision bigint, part text, rows bigint, first_place bigint, last_place bigint, digest bytea, row_digests bytea) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    head record;
begin
    -- Held already by whoever came through a trigger of ours.
    perform from ficus.clock for update;
    select l.seq, l.hash into head from ficus.link as l order by l.seq desc limit 1;
    insert into ficus.link (seq, revision, part, rows, first_place, last_place, digest, row_digests, hash)
    select next.seq, revision, part, rows, first_place, last_place, digest, row_digests,
           ficus.link_hash(next.before, next.seq, revision, part, rows, first_place, last_place, digest)
    from (select coalesce(head.seq, 0) + 1 as seq, coalesce(head.hash, decode(repeat('00', 32), 'hex')) as before) as next;
end $$;

create function ficus.link_changes() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform ficus.append_link(n.revision, 'change', 1, null, null, sha256(ficus.change_bytes(row(n.*)::ficus.change)), null)
    from new_rows as n;
    return null;
end $$;

create function ficus.link_items() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform ficus.append_link(b.revision, 'items', b.rows, b.first_place, b.last_place, sha256(b.digests), case when b.rows <= 1000 then b.digests end)
    from (
        select n.revision, count(*) as rows, min(n.place) as first_place, max(n.place) as last_place,
               string_agg(sha256(ficus.item_bytes(row(n.*)::ficus.change_item)), ''::bytea order by n.place) as digests
        from new_rows as n group by n.revision order by n.revision
    ) as b;
    return null;
end $$;

-- The genesis: what stands in the audit already, in its order. What comes before it in time, nobody vouches for.
do $$
declare
    previous bytea := decode(repeat('00', 32), 'hex');
    place bigint := 0;
    r record;
begin
    for r in
        select c.revision, 'change' as part, 1::bigint as rows, null::bigint as first_place, null::bigint as last_place,
               sha256(ficus.change_bytes(c)) as digest, null::bytea as row_digests
        from ficus.change as c
        union all
        select b.revision, 'items', b.rows, b.first_place, b.last_place, sha256(b.digests), case when b.rows <= 1000 then b.digests end
        from (
            -- A run of places of one revision: a link's rows stand together.
            select p.revision, count(*) as rows, min(p.place) as first_place, max(p.place) as last_place,
                   string_agg(p.digest, ''::bytea order by p.place) as digests
            from (
                select i.revision, i.place, sha256(ficus.item_bytes(i)) as digest,
                       i.place - row_number() over (partition by i.revision order by i.place) as run
                from ficus.change_item as i
            ) as p group by p.revision, p.run
        ) as b
        order by revision, part, first_place
    loop
        place := place + 1;
        previous := ficus.link_hash(previous, place, r.revision, r.part, r.rows, r.first_place, r.last_place, r.digest);
        insert into ficus.link (seq, revision, part, rows, first_place, last_place, digest, row_digests, hash)
        values (place, r.revision, r.part, r.rows, r.first_place, r.last_place, r.digest, r.row_digests, previous);
    end loop;
end $$;

create trigger link_changes after insert on ficus.change referencing new table as new_rows
    for each statement execute function ficus.link_changes();
create trigger link_items after insert on ficus.change_item referencing new table as new_rows
    for each statement execute function ficus.link_items();
create trigger append_only before update or delete or truncate on ficus.link for each statement execute function ficus.refuse_rewrite();
create trigger append_only before update or delete or truncate on ficus.confirmation for each statement execute function ficus.refuse_rewrite();
-- In sessions that play a replica, too.
alter table ficus.change enable always trigger append_only;
alter table ficus.change enable always trigger link_changes;
alter table ficus.change_item enable always trigger append_only;
alter table ficus.change_item enable always trigger link_items;
alter table ficus.link enable always trigger append_only;
alter table ficus.confirmation enable always trigger append_only;

-- Tokens that may ask where their tenants are, and nothing else -----------------------------------------------

alter table ficus.token
    -- The tenants that a token of role ofrep may ask for.
    add column tenants bigint[] not null default '{}',
    drop constraint token_role_known,
    add constraint token_role_known check (role in ('ofrep', 'viewer', 'operator', 'admin')),
    add constraint token_tenants_of_ofrep check ((role = 'ofrep') = (cardinality(tenants) > 0));

-- Keys under which a write is done once -----------------------------------------------------------------------

create table ficus.idempotency (
    actor text not null,
    -- The Idempotency-Key of the request.
    key text not null,
    -- SHA-256 of the request: its method, path and body.
    request bytea not null,
    made_at timestamptz not null default clock_timestamp(),
    -- What the write did, kept in its own transaction.
    revision bigint not null,
    changed bigint not null,
    changed_at timestamptz not null,
    -- What was answered, kept once it is known. Null for what may be answered only once, such as a token's text.
    status smallint,
    answer text,
    constraint idempotency_pkey primary key (actor, key),
    constraint idempotency_request_length check (octet_length(request) = 32)
);
create index idempotency_made_at_idx on ficus.idempotency (made_at);
comment on table ficus.idempotency is 'Writes of the last 24 hours that named a key, and what they were answered.';

-- Rights ------------------------------------------------------------------------------------------------------

do $$
declare
    thing record;
begin
    for thing in select unnest(array['confirmation', 'link', 'idempotency']) as name loop
        execute format('alter table ficus.%I owner to ficus_owner', thing.name);
    end loop;
    for thing in
        select p.oid::regprocedure as name from pg_proc as p
        where p.pronamespace = 'ficus'::regnamespace
          and p.proname in ('field', 'time_text', 'change_bytes', 'item_bytes', 'link_hash', 'append_link', 'link_changes', 'link_items')
    loop
        execute format('alter function %s owner to ficus_owner', thing.name);
        execute format('revoke execute on function %s from public', thing.name);
    end loop;
end $$;

grant select on ficus.confirmation, ficus.link, ficus.idempotency to ficus_app;
grant insert on ficus.confirmation to ficus_app;
grant insert, update, delete on ficus.idempotency to ficus_app;
grant select on ficus.confirmation, ficus.link to ficus_read;
grant select (tenants) on ficus.token to ficus_read;
grant execute on function ficus.field, ficus.time_text, ficus.change_bytes, ficus.item_bytes, ficus.link_hash to ficus_app, ficus_read;
