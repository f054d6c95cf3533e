-- What the modern side has accepted to send: written before the 202 leaves, so that nothing acknowledged is lost.

create table ficus.send_request (
    id uuid not null,
    tenant_id bigint not null,
    campaign_id bigint not null,
    template_id bigint not null,
    accepted_at timestamptz not null default clock_timestamp(),
    constraint send_request_pkey primary key (id)
);
create index send_request_tenant_idx on ficus.send_request (tenant_id, accepted_at);
comment on table ficus.send_request is 'Campaign sends that the modern side has acknowledged.';

alter table ficus.send_request owner to ficus_owner;
grant select, insert on ficus.send_request to ficus_app;
grant select on ficus.send_request to ficus_read;
