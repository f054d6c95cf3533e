-- Waves: ordered cohorts of tenants that move together, with a bake time and gates.
--
-- A wave decides nothing at request time: entering a step writes rows of ficus.flag, and proxies read those. Who belongs
-- to a wave, and to which of its steps, is stored when it starts, so that no later edit of percents, salt or classes moves
-- anybody. ficus.wave is control state: each transition has a revision and an audit row. Members are not audited one by
-- one: the flags that a step writes are.

-- Percents in hundredths, rising: 500 is 5 %.
create function ficus.are_steps(integer[]) returns boolean
    language sql immutable parallel safe
    return cardinality($1) between 1 and 100 and array_position($1, null) is null
        and (select bool_and(step between 1 and 10000 and (place = 1 or step > $1[place - 1]))
             from unnest($1) with ordinality as s (step, place));
comment on function ficus.are_steps is 'Percents of a wave in hundredths: above 0, at most 10000, each above the one before.';

create table ficus.wave (
    id integer generated always as identity,
    name text not null,
    capability text not null,
    -- The order of the capability's waves.
    place integer not null,
    -- Whom it takes: these classes, and what is left of the classes of the waves before. Empty: those in ficus.wave_named.
    classes text[] not null default '{}',
    -- In hundredths of a percent.
    steps integer[] not null,
    -- How long each step serves before the next.
    bake interval not null,
    -- 'guard', 'shadow', 'go', 'reconcile:NAME'.
    gates text[] not null default '{}',
    -- The leader advances it by itself.
    auto boolean not null default false,
    salt text not null,
    state text not null default 'planned',
    -- The step that it is in; 0 before the first.
    step smallint not null default 0,
    -- Since when the step bakes.
    step_at timestamptz,
    -- The step after which a person has said go.
    go_step smallint,
    -- Members. Null: it has not started.
    size integer,
    changed_at timestamptz not null default clock_timestamp(),
    revision bigint not null default 0,
    constraint wave_pkey primary key (id),
    constraint wave_name_key unique (name),
    constraint wave_name_form check (ficus.is_name(name)),
    constraint wave_capability_fkey foreign key (capability) references ficus.capability (name),
    constraint wave_place_key unique (capability, place),
    constraint wave_classes_known check (classes <@ array['internal', 'low', 'medium', 'high']),
    constraint wave_steps_rise check (ficus.are_steps(steps)),
    constraint wave_bake_never_negative check (bake >= interval '0'),
    constraint wave_salt_form check (salt ~ '^[A-Za-z0-9_.-]{1,63}$'),
    constraint wave_state_known check (state in ('planned', 'running', 'paused', 'held', 'complete', 'aborted')),
    constraint wave_step_is_one_of_its_steps check (step between 0 and cardinality(steps)),
    constraint wave_runs_in_a_step check ((step = 0) = (step_at is null) and (step = 0) = (size is null)),
    constraint wave_state_fits_step check (case state when 'planned' then step = 0 when 'running' then step > 0 when 'complete' then step > 0 else true end)
);
comment on table ficus.wave is 'An ordered cohort of tenants that move together. paused: by a person. held: after a rollback.';

create table ficus.wave_named (
    wave_id integer not null,
    tenant_id bigint not null,
    constraint wave_named_pkey primary key (wave_id, tenant_id),
    constraint wave_named_wave_fkey foreign key (wave_id) references ficus.wave (id) on delete cascade,
    constraint wave_named_tenant_fkey foreign key (tenant_id) references ficus.tenant (id) on delete cascade
);
comment on table ficus.wave_named is 'The tenants of a wave that was planned by naming them.';

create table ficus.wave_member (
    wave_id integer not null,
    tenant_id bigint not null,
    capability text not null,
    -- From 1, in the order of hash and tenant.
    rank integer not null,
    -- The step in which it moves.
    step smallint not null,
    -- ficus.hash32(algorithm, salt, '*', tenant_id): the same order for every capability.
    hash bigint not null,
    algorithm text not null,
    -- As it was when the wave started.
    class text not null,
    -- The revision of the flag that the wave wrote. Null: not moved, or it stood on modern already.
    moved_revision bigint,
    -- The revision of the flag by which a rollback of the wave took it back.
    taken_back_revision bigint,
    constraint wave_member_pkey primary key (wave_id, tenant_id),
    constraint wave_member_wave_fkey foreign key (wave_id) references ficus.wave (id),
    constraint wave_member_tenant_fkey foreign key (tenant_id) references ficus.tenant (id) on delete cascade,
    constraint wave_member_rank_key unique (wave_id, rank),
    constraint wave_member_rank_positive check (rank > 0 and step > 0)
) with (fillfactor = 90);
create index wave_member_step_idx on ficus.wave_member (wave_id, step);
create index wave_member_tenant_idx on ficus.wave_member (tenant_id, capability);
comment on table ficus.wave_member is 'Who belongs to a wave and to which of its steps, as stored when it started. Never edited.';

create table ficus.gate_result (
    wave_id integer not null,
    -- The revision of the transition that the gates let through.
    revision bigint not null,
    -- The step that was left.
    step smallint not null,
    gate text not null,
    outcome text not null,
    detail text not null,
    constraint gate_result_pkey primary key (wave_id, revision, gate),
    constraint gate_result_wave_fkey foreign key (wave_id) references ficus.wave (id),
    constraint gate_result_outcome_known check (outcome in ('pass', 'wait', 'fail', 'not-available', 'skipped'))
);
comment on table ficus.gate_result is 'What each gate said when a wave advanced. skipped: an administrator went past it. Append-only.';

-- A wave is audited as the rest of the control state is.
create trigger a_open before insert or update or delete on ficus.wave for each statement execute function ficus.open_change();
create trigger b_key before update on ficus.wave for each row
    when (old.id is distinct from new.id or old.name is distinct from new.name or old.capability is distinct from new.capability)
    execute function ficus.refuse_key_change();
create trigger c_skip before update on ficus.wave for each row when (old.* is not distinct from new.*) execute function ficus.skip_row();
create trigger d_stamp before insert or update on ficus.wave for each row execute function ficus.stamp_row();
create trigger e_inserted after insert on ficus.wave referencing new table as new_rows
    for each statement execute function ficus.close_change('wave', '', 'capability');
create trigger e_updated after update on ficus.wave referencing old table as old_rows new table as new_rows
    for each statement execute function ficus.close_change('wave', '', 'capability');
create trigger e_deleted after delete on ficus.wave referencing old table as old_rows
    for each statement execute function ficus.close_change('wave', '', 'capability');
create trigger f_truncate before truncate on ficus.wave for each statement execute function ficus.refuse_truncate();

create function ficus.refuse_membership_edit() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'membership of a wave is stored when it starts, and is not edited'
        using errcode = 'integrity_constraint_violation', hint = 'Move a tenant by its flag.';
end $$;
create trigger fixed before update on ficus.wave_member for each row
    when ((old.wave_id, old.tenant_id, old.capability, old.rank, old.step, old.hash, old.algorithm, old.class)
          is distinct from (new.wave_id, new.tenant_id, new.capability, new.rank, new.step, new.hash, new.algorithm, new.class))
    execute function ficus.refuse_membership_edit();
create trigger append_only before update or delete or truncate on ficus.gate_result
    for each statement execute function ficus.refuse_rewrite();

do $$
declare
    name text;
begin
    foreach name in array array['wave', 'wave_named', 'wave_member', 'gate_result'] loop
        execute format('alter table ficus.%I owner to ficus_owner', name);
        execute format('grant select on ficus.%I to ficus_app, ficus_read', name);
    end loop;
    foreach name in array array['are_steps(integer[])', 'refuse_membership_edit()'] loop
        execute format('alter function ficus.%s owner to ficus_owner', name);
        execute format('revoke execute on function ficus.%s from public', name);
    end loop;
end $$;
grant insert, update on ficus.wave to ficus_app;
grant insert on ficus.wave_named, ficus.wave_member, ficus.gate_result to ficus_app;
grant update (moved_revision, taken_back_revision) on ficus.wave_member to ficus_app;
grant execute on function ficus.are_steps to ficus_app, ficus_read;
