-- What the guard stands on: what the proxies counted, what it concluded, and how much traffic there was by day.
--
-- None of this is control state: no revision, no audit row and no notification goes with it. A proxy that may count
-- may not flip.

-- One row a proxy and bucket, also where nothing was asked: it is how silence and idleness are told apart.
create table ficus.report (
    -- Made at a process's start: an instance that hands over to its successor is two processes for a while.
    process uuid not null,
    instance uuid not null,
    -- The bucket by the proxy's own clock, in tens of seconds since 1970: what makes a report that is sent twice one report.
    number bigint not null,
    -- The bucket's begin by this database's clock, so that no two machines' clocks are compared.
    at timestamptz not null,
    shipped_at timestamptz not null default clock_timestamp(),
    -- Buckets of this proxy that were given up since its last report: nobody knows what was in them.
    lost integer not null default 0,
    -- Whether it stands in ficus.traffic already.
    rolled boolean not null default false,
    constraint report_pkey primary key (process, number),
    constraint report_lost_never_negative check (lost >= 0)
);
create index report_shipped_idx on ficus.report (shipped_at);
create index report_instance_idx on ficus.report (instance, shipped_at);
create index report_unrolled_idx on ficus.report (at) where not rolled;
comment on table ficus.report is 'One row a proxy and 10 s: it has told what it counted.';

-- Unlogged: after a crash of the database the guard waits for new counts, and half of the writing is saved.
create unlogged table ficus.bucket (
    process uuid not null,
    number bigint not null,
    at timestamptz not null,
    capability text not null,
    -- The side that was asked first. Legacy's answer in modern's place is modern's failure, and stands there.
    side text not null,
    -- 0: no tenant, or one of those beyond what a proxy counts apart.
    tenant_id bigint not null,
    requests bigint not null,
    errors bigint not null,
    connect_failures bigint not null,
    -- The modern side left them to legacy (x-ficus-miss).
    misses bigint not null,
    -- Requests by the time to the first byte of the answer: one a bound of rollout::outcomes::BOUNDS, and those above the last.
    latency bigint[] not null,
    constraint bucket_pkey primary key (process, number, capability, side, tenant_id),
    constraint bucket_side_known check (side in ('legacy', 'modern'))
);
create index bucket_at_idx on ficus.bucket (at);
comment on table ficus.bucket is 'Requests in 10 s, by capability, side and tenant. Kept as long as guard.keep says.';

-- What the modern side reports of itself: messages sent and failed, duplicates found, quotas that drifted.
create table ficus.outcome (
    at timestamptz not null,
    capability text not null,
    tenant_id bigint not null,
    kind text not null,
    good bigint not null default 0,
    bad bigint not null default 0,
    constraint outcome_pkey primary key (at, capability, kind, tenant_id),
    constraint outcome_kind_form check (kind ~ '^[a-z][a-z0-9-]{0,62}$'),
    constraint outcome_never_negative check (good >= 0 and bad >= 0)
);
comment on table ficus.outcome is 'Outcomes in 10 s that the modern side reports. Written by ficus.report_outcome.';

-- Adds to the running 10 s. tenant 0: nobody's in particular.
create function ficus.report_outcome(capability text, tenant bigint, kind text, good bigint, bad bigint) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    insert into ficus.outcome as o (at, capability, tenant_id, kind, good, bad)
    values (date_bin('10 seconds', clock_timestamp(), 'epoch'), capability, coalesce(tenant, 0), kind, good, bad)
    on conflict on constraint outcome_pkey do update set good = o.good + excluded.good, bad = o.bad + excluded.bad
$$;
comment on function ficus.report_outcome is 'Tells the guard of outcomes: how many of this kind were good, how many bad.';

create table ficus.verdict (
    capability text not null,
    -- Null: the capability as a whole.
    tenant_id bigint,
    at timestamptz not null,
    verdict text not null,
    evidence jsonb not null,
    constraint verdict_scope_key unique nulls not distinct (capability, tenant_id),
    constraint verdict_known check (verdict in ('pass', 'fail', 'insufficient', 'no-data'))
);
comment on table ficus.verdict is 'The guard''s newest verdicts: of each capability, and of each tenant that failed.';

create table ficus.traffic (
    day date not null,
    tenant_id bigint not null,
    capability text not null,
    side text not null,
    requests bigint not null,
    errors bigint not null,
    constraint traffic_pkey primary key (day, tenant_id, capability, side),
    constraint traffic_side_known check (side in ('legacy', 'modern'))
);
create index traffic_capability_idx on ficus.traffic (capability, day);
comment on table ficus.traffic is 'Requests by day (UTC), tenant, capability and side. Kept 35 days.';

do $$
declare
    name text;
begin
    foreach name in array array['report', 'bucket', 'outcome', 'verdict', 'traffic'] loop
        execute format('alter table ficus.%I owner to ficus_owner', name);
        execute format('grant select, insert, update, delete on ficus.%I to ficus_app', name);
        execute format('grant select on ficus.%I to ficus_read', name);
    end loop;
end $$;
alter function ficus.report_outcome owner to ficus_owner;
revoke execute on function ficus.report_outcome from public;
grant execute on function ficus.report_outcome to ficus_app;
