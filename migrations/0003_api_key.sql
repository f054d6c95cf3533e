-- API keys of tenants, which name the tenant of a request: as audited as the rest of the control state.

create table ficus.api_key (
    -- Who uses it. It may be used again when the key before it is deleted.
    name text not null,
    tenant_id bigint not null,
    -- SHA-256 of the key's text. The text itself is shown once and stored nowhere.
    digest bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    -- Null: it does not expire.
    expires_at timestamptz,
    revoked_at timestamptz,
    changed_at timestamptz not null default clock_timestamp(),
    revision bigint not null default 0,
    constraint api_key_pkey primary key (name),
    constraint api_key_tenant_fkey foreign key (tenant_id) references ficus.tenant (id) on delete cascade,
    constraint api_key_name_form check (name ~ '^[A-Za-z0-9][A-Za-z0-9@_.-]{0,62}$'),
    constraint api_key_digest_key unique (digest),
    constraint api_key_digest_length check (octet_length(digest) = 32)
);
create index api_key_tenant_idx on ficus.api_key (tenant_id);
comment on table ficus.api_key is 'API keys of tenants, hashed. The resolver api_key looks requests'' keys up here.';

-- The same triggers as on ficus.token, with the tenant in the audit.
create trigger a_open before insert or update or delete on ficus.api_key for each statement execute function ficus.open_change();
create trigger b_key before update on ficus.api_key for each row
    when (old.name is distinct from new.name or old.tenant_id is distinct from new.tenant_id or old.digest is distinct from new.digest)
    execute function ficus.refuse_key_change();
create trigger c_skip before update on ficus.api_key for each row when (old.* is not distinct from new.*) execute function ficus.skip_row();
create trigger d_stamp before insert or update on ficus.api_key for each row execute function ficus.stamp_row();
create trigger e_inserted after insert on ficus.api_key referencing new table as new_rows
    for each statement execute function ficus.close_change('api-key', 'tenant_id', '');
create trigger e_updated after update on ficus.api_key referencing old table as old_rows new table as new_rows
    for each statement execute function ficus.close_change('api-key', 'tenant_id', '');
create trigger e_deleted after delete on ficus.api_key referencing old table as old_rows
    for each statement execute function ficus.close_change('api-key', 'tenant_id', '');
create trigger f_truncate before truncate on ficus.api_key for each statement execute function ficus.refuse_truncate();

alter table ficus.api_key owner to ficus_owner;
grant select, insert, update, delete on ficus.api_key to ficus_app;
grant select (name, tenant_id, created_at, expires_at, revoked_at) on ficus.api_key to ficus_read;
