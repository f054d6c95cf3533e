-- What the links in mails lead to, what readers did with them, and what came back.
--
-- How it works together is in docs/ENGINE.md, "Links and bounces". Tables by a message's id are partitioned by the day of it, as in 0008.

-- A campaign's messages share their text, and with it their targets: number n is where the text's n-th link leads. Rows are added and
-- never changed, since the numbers stand in mails that are out.
create table ficus.content_target (
    content_id uuid not null,
    number integer not null,
    target text not null,
    constraint content_target_pkey primary key (content_id, number),
    constraint content_target_content_fkey foreign key (content_id) references ficus.content (id) on delete cascade,
    constraint content_target_in_range check (number between 0 and 999),
    constraint content_target_web check (target ~* '^https?://[^[:space:][:cntrl:]\\]+$' and octet_length(target) <= 8000)
);
-- By the whole text: legacy's package writes the target into its links. A b-tree has no room for 8000 bytes.
create index content_target_target_idx on ficus.content_target using hash (target);
comment on table ficus.content_target is 'Where the links of a shared text lead.';

-- Of messages that share no text.
create table ficus.message_target (
    id uuid not null,
    number integer not null,
    target text not null,
    constraint message_target_pkey primary key (id, number),
    constraint message_target_in_range check (number between 0 and 999),
    constraint message_target_web check (target ~* '^https?://[^[:space:][:cntrl:]\\]+$' and octet_length(target) <= 8000)
) partition by range (id);
comment on table ficus.message_target is 'Where the links of one message lead.';

create table ficus.reaction (
    id uuid not null,
    tenant_id bigint not null,
    opens bigint not null,
    clicks bigint not null,
    -- When they were counted: at most some seconds after they happened.
    first_at timestamptz not null default clock_timestamp(),
    last_at timestamptz not null default clock_timestamp(),
    constraint reaction_pkey primary key (id),
    constraint reaction_counts check (opens >= 0 and clicks >= 0)
) partition by range (id);
comment on table ficus.reaction is 'How often each message was opened, and its links clicked.';

create table ficus.bounce (
    id uuid not null,
    -- SHA-256 of the report: the same one comes twice when its relay heard no answer.
    digest bytea not null,
    tenant_id bigint not null,
    kind text not null,
    -- 5.1.1, or a complaint's own word.
    status text,
    at timestamptz not null default clock_timestamp(),
    constraint bounce_pkey primary key (id, digest),
    constraint bounce_digest_whole check (octet_length(digest) = 32),
    constraint bounce_kind_known check (kind in ('failed', 'delayed', 'delivered', 'complaint'))
) partition by range (id);
comment on table ficus.bounce is 'What relays and mailbox providers reported of messages.';

-- Written with the suppression, and gone when legacy's tables have it, too.
create table ficus.untold (
    tenant_id bigint not null,
    recipient text not null,
    reason text not null,
    -- For a person: no address in it.
    detail text not null,
    since timestamptz not null default clock_timestamp(),
    constraint untold_pkey primary key (tenant_id, recipient, reason),
    constraint untold_reason_known check (reason in ('unsubscribed', 'bounced', 'complained')),
    constraint untold_detail_short check (char_length(detail) <= 255)
);
comment on table ficus.untold is 'What legacy''s tables have not been told yet.';

create table ficus.message_target_other partition of ficus.message_target default;
create table ficus.reaction_other partition of ficus.reaction default;
create table ficus.bounce_other partition of ficus.bounce default;

-- Adds the targets that the source has not yet, behind those that it has, and answers with all of them: at most 1000, and what came later
-- is not among them. A content that is not the tenant's has none. A message may be stored after its targets.
create function ficus.store_targets(tenant bigint, source uuid, is_content boolean, given text[])
    returns table (number integer, target text)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    shared text := case when is_content then 'content_target' else 'message_target' end;
    key text := case when is_content then 'content_id' else 'id' end;
begin
    if is_content then
        -- Two that add at once would give one number to two targets.
        perform from ficus.content as c where c.id = source and c.tenant_id = tenant for no key update;
        if not found then
            return;
        end if;
    else
        perform pg_advisory_xact_lock(1718183798, hashtext(source::text));
    end if;
    execute format(
        'insert into ficus.%1$I (%2$I, number, target)
         select $1, n.number, n.target from (
             select k.count + row_number() over (order by g.place) - 1 as number, g.target
             from (select min(u.place) as place, u.target from unnest($2) with ordinality as u (target, place) group by u.target) as g
             cross join (select count(*) from ficus.%1$I as t where t.%2$I = $1) as k
             where not exists (select from ficus.%1$I as t where t.%2$I = $1 and t.target = g.target)
         ) as n where n.number < 1000', shared, key)
    using source, given;
    return query execute format('select t.number, t.target from ficus.%I as t where t.%I = $1 order by t.number', shared, key) using source;
end
$$;
comment on function ficus.store_targets is 'Stores where links lead, before the mail that has them leaves.';

-- Adds up what readers did. In the order of the ids, so that two engines wait for each other and never both.
create function ficus.count_reactions(tenants bigint[], ids uuid[], opened bigint[], clicked bigint[]) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    insert into ficus.reaction as r (id, tenant_id, opens, clicks)
    select g.id, g.tenant_id, g.opens, g.clicks from unnest(tenants, ids, opened, clicked) as g (tenant_id, id, opens, clicks)
    order by g.id
    on conflict on constraint reaction_pkey do update
    set opens = r.opens + excluded.opens, clicks = r.clicks + excluded.clicks, last_at = excluded.last_at
$$;
comment on function ficus.count_reactions is 'Adds up opens and clicks.';

-- Nothing more is sent to this message's recipient: under its address as it was given and in lower case, because no provider tells them apart.
create function ficus.suppress(message uuid, tenant bigint, why text, told text) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    insert into ficus.suppression (tenant_id, channel, recipient, reason)
    select distinct m.tenant_id, m.channel, spelt, why from ficus.message as m, unnest(array[m.recipient, lower(m.recipient)]) as spelt
    where m.id = message and m.tenant_id = tenant
    order by spelt
    on conflict on constraint suppression_pkey do nothing;
    insert into ficus.untold (tenant_id, recipient, reason, detail)
    select m.tenant_id, m.recipient, why, left(told, 255) from ficus.message as m
    where m.id = message and m.tenant_id = tenant and m.channel = 'email'
    on conflict on constraint untold_pkey do nothing;
$$;
comment on function ficus.suppress is 'Ends the sending to a message''s recipient.';

-- Writes a report down, once; `why` is null where it ends nothing. False: it was known.
create function ficus.record_bounce(message uuid, tenant bigint, report bytea, said text, code text, why text, told text) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into ficus.bounce (id, digest, tenant_id, kind, status) values (message, report, tenant, said, code)
    on conflict on constraint bounce_pkey do nothing;
    if not found then
        return false;
    end if;
    if why is not null then
        perform ficus.suppress(message, tenant, why, told);
    end if;
    return true;
end
$$;
comment on function ficus.record_bounce is 'Writes down what was reported of a message.';

create function ficus.note_told(tenants bigint[], recipients text[], reasons text[]) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    delete from ficus.untold as u using unnest(tenants, recipients, reasons) as g (tenant_id, recipient, reason)
    where u.tenant_id = g.tenant_id and u.recipient = g.recipient and u.reason = g.reason
$$;
comment on function ficus.note_told is 'Legacy''s tables have these.';

do $$
declare
    thing text;
begin
    foreach thing in array array['content_target', 'message_target', 'message_target_other', 'reaction', 'reaction_other', 'bounce', 'bounce_other', 'untold'] loop
        execute format('alter table ficus.%I owner to ficus_owner', thing);
        execute format('grant select on ficus.%I to ficus_app', thing);
    end loop;
    for thing in
        select p.oid::regprocedure::text from pg_proc as p where p.pronamespace = 'ficus'::regnamespace and p.proname in (
            'store_targets', 'count_reactions', 'suppress', 'record_bounce', 'note_told')
    loop
        execute format('alter function %s owner to ficus_owner', thing);
        execute format('revoke execute on function %s from public', thing);
        execute format('grant execute on function %s to ficus_app', thing);
    end loop;
end
$$;
grant select on ficus.reaction, ficus.bounce to ficus_read;
-- The days ahead; what is old goes when an engine says for how long it keeps.
select ficus.keep_days(7, 36500);
