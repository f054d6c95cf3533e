-- The legacy application's tables, as its migrations have left them. Times are UTC without a zone: Laravel's way.

create table users (
    id bigserial primary key,
    owner_id bigint not null,            -- the tenant; the owner's own row has id = owner_id
    name varchar(255) not null,
    email varchar(255) not null unique,
    password varchar(255) not null,
    domain varchar(63) unique,           -- the tenant's short name, on the owner's row only
    messaging_service_enabled boolean not null default false,
    remember_token varchar(100),
    created_at timestamp(0),
    updated_at timestamp(0)
);
create index users_owner_id_index on users (owner_id);

create table sessions (
    id varchar(255) primary key,
    user_id bigint,
    ip_address varchar(45),
    user_agent text,
    payload text not null,
    last_activity integer not null
);
create index sessions_user_id_index on sessions (user_id);
create index sessions_last_activity_index on sessions (last_activity);

-- Billing and quota ---------------------------------------------------------------------------------------

create table subscription_plans (
    id bigserial primary key,
    name varchar(255) not null,
    email_limit integer not null,
    sms_limit integer not null,
    price_cents integer not null,
    created_at timestamp(0),
    updated_at timestamp(0)
);

create table plan_purchaseds (
    id bigserial primary key,
    owner_id bigint not null,
    subscription_plan_id bigint not null references subscription_plans (id),
    status varchar(20) not null default 'active',
    expires_at timestamp(0),
    created_at timestamp(0),
    updated_at timestamp(0)
);
create index plan_purchaseds_owner_id_index on plan_purchaseds (owner_id, status);

create table email_s_m_s_limit_rates (
    id bigserial primary key,
    owner_id bigint not null unique,
    email integer not null,              -- e-mails left
    sms integer not null,                -- SMS left
    created_at timestamp(0),
    updated_at timestamp(0)
);

create table user_sent_records (
    id bigserial primary key,
    owner_id bigint not null,
    type varchar(10) not null,           -- email, sms
    created_at timestamp(0) not null
);
create index user_sent_records_owner_id_index on user_sent_records (owner_id, type, created_at);

-- Providers and identities --------------------------------------------------------------------------------

create table smtp_servers (
    id bigserial primary key,
    owner_id bigint not null,
    name varchar(255) not null,
    host varchar(255),                   -- null: the platform's relay, MAIL_HOST and MAIL_PORT
    port integer,
    username varchar(255),
    password text,                       -- encrypt()ed with APP_KEY
    encryption varchar(10),
    created_at timestamp(0),
    updated_at timestamp(0)
);
create index smtp_servers_owner_id_index on smtp_servers (owner_id);

create table email_services (
    id bigserial primary key,
    owner_id bigint not null,
    provider varchar(30) not null default 'smtp',
    smtp_server_id bigint references smtp_servers (id),
    is_active boolean not null default true,
    created_at timestamp(0),
    updated_at timestamp(0)
);
create index email_services_owner_id_index on email_services (owner_id, is_active);

create table sender_email_ids (
    id bigserial primary key,
    owner_id bigint not null,
    name varchar(255) not null,
    email varchar(255) not null,
    reply_to varchar(255),
    created_at timestamp(0),
    updated_at timestamp(0)
);
create index sender_email_ids_owner_id_index on sender_email_ids (owner_id);

create table sms_services (
    id bigserial primary key,
    owner_id bigint not null,
    provider varchar(30) not null,       -- twilio, vonage, plivo, infobip
    api_key text,
    api_secret text,
    sender_id varchar(30),
    is_active boolean not null default true,
    created_at timestamp(0),
    updated_at timestamp(0),
    unique (owner_id, provider)
);

create table sms_sender_ids (
    id bigserial primary key,
    owner_id bigint not null,
    sender_id varchar(30) not null,
    created_at timestamp(0),
    updated_at timestamp(0)
);
create index sms_sender_ids_owner_id_index on sms_sender_ids (owner_id);

-- Contacts, templates, campaigns --------------------------------------------------------------------------

create table email_contacts (
    id bigserial primary key,
    owner_id bigint not null,
    name varchar(255) not null,
    email varchar(255) not null,
    phone varchar(20),
    is_unsubscribed boolean not null default false,
    created_at timestamp(0),
    updated_at timestamp(0),
    unique (owner_id, email)
);

create table template_builders (
    id bigserial primary key,
    owner_id bigint not null,
    name varchar(255) not null,
    subject varchar(255) not null,
    html text not null,                  -- {name}, {click_url} and {open_url} are filled in per recipient
    link varchar(2000),                  -- where a click leads
    created_at timestamp(0),
    updated_at timestamp(0)
);
create index template_builders_owner_id_index on template_builders (owner_id);

create table sms_builders (
    id bigserial primary key,
    owner_id bigint not null,
    name varchar(255) not null,
    body text not null,
    created_at timestamp(0),
    updated_at timestamp(0)
);
create index sms_builders_owner_id_index on sms_builders (owner_id);

create table campaigns (
    id bigserial primary key,
    owner_id bigint not null,
    name varchar(255) not null,
    type varchar(10) not null default 'email',
    status varchar(20) not null default 'draft',   -- draft, scheduled, sent
    created_at timestamp(0),
    updated_at timestamp(0)
);
create index campaigns_owner_id_index on campaigns (owner_id);

create table campaign_emails (
    id bigserial primary key,
    owner_id bigint not null,
    campaign_id bigint not null references campaigns (id) on delete cascade,
    email_contact_id bigint not null references email_contacts (id) on delete cascade,
    created_at timestamp(0),
    updated_at timestamp(0),
    unique (campaign_id, email_contact_id)
);
create index campaign_emails_owner_id_index on campaign_emails (owner_id);

-- Sending -------------------------------------------------------------------------------------------------

create table schedule_emails (
    id bigserial primary key,
    owner_id bigint not null,
    campaign_id bigint not null references campaigns (id) on delete cascade,
    template_builder_id bigint not null references template_builders (id),
    scheduled_at timestamp(0) not null,
    status varchar(20) not null default 'pending', -- pending, sent, failed
    created_at timestamp(0),
    updated_at timestamp(0)
);
create index schedule_emails_owner_id_index on schedule_emails (owner_id);
create index schedule_emails_due_index on schedule_emails (status, scheduled_at);

create table schedule_sms (
    id bigserial primary key,
    owner_id bigint not null,
    campaign_id bigint not null references campaigns (id) on delete cascade,
    sms_builder_id bigint not null references sms_builders (id),
    gateway varchar(30) not null,
    scheduled_at timestamp(0) not null,
    status varchar(20) not null default 'pending',
    created_at timestamp(0),
    updated_at timestamp(0)
);
create index schedule_sms_owner_id_index on schedule_sms (owner_id);
create index schedule_sms_due_index on schedule_sms (status, scheduled_at);

create table email_trackers (
    id bigserial primary key,
    tracker uuid not null unique,
    owner_id bigint not null,
    campaign_id bigint not null references campaigns (id) on delete cascade,
    email varchar(255) not null,
    link varchar(2000),
    status varchar(20) not null default 'sending', -- sending, sent, failed
    opens integer not null default 0,
    clicks integer not null default 0,
    created_at timestamp(0),
    updated_at timestamp(0)
);
create index email_trackers_owner_id_index on email_trackers (owner_id, campaign_id);

create table sms_logs (
    id bigserial primary key,
    owner_id bigint not null,
    campaign_id bigint references campaigns (id) on delete cascade,
    provider varchar(30) not null,
    message_id varchar(64) not null unique,
    phone varchar(20) not null,
    status varchar(20) not null default 'queued',
    error varchar(255),
    created_at timestamp(0),
    updated_at timestamp(0)
);
create index sms_logs_owner_id_index on sms_logs (owner_id, campaign_id);

create table bounced_emails (
    id bigserial primary key,
    owner_id bigint not null,
    email varchar(255) not null,
    reason varchar(255),
    created_at timestamp(0),
    updated_at timestamp(0),
    unique (owner_id, email)
);

create table campaign_logs (
    id bigserial primary key,
    owner_id bigint not null,
    campaign_id bigint not null references campaigns (id) on delete cascade,
    channel varchar(10) not null,
    sent integer not null default 0,
    failed integer not null default 0,
    skipped integer not null default 0,
    created_at timestamp(0),
    updated_at timestamp(0)
);
create index campaign_logs_owner_id_index on campaign_logs (owner_id, campaign_id);
