-- Ten tenants. For tenant N: users N (owner@DOMAIN.test) and 100+N (editor@DOMAIN.test), password `secret`;
-- e-mail campaigns N1 (3 recipients) and N2 (12, of whom one has unsubscribed and one has bounced), SMS campaign N3,
-- e-mail templates N1 and N2, SMS template N1. Their daily volume is in volume.sql.

create temporary table tenant (id bigint, domain text, name text, plan bigint, email integer, sms integer);
insert into tenant values
    (1, 'internal', 'Internal QA', 3, 100000, 10000),
    (2, 'bluebird', 'Bluebird Bakery', 1, 5000, 200),
    (3, 'corner', 'Corner Books', 1, 5000, 200),
    (4, 'marina', 'Marina Hotels', 2, 100000, 5000),
    (5, 'alpine', 'Alpine Tours & Co', 2, 100000, 5000),
    (6, 'metro', 'Metro Market', 3, 1000000, 50000),
    (7, 'fern', 'Fern & Moss "Florists"', 1, 5000, 200),
    (8, 'zoe', 'Zoë''s Café', 1, 5, 2),
    (9, 'harbour', 'Harbour Clinics', 2, 100000, 5000),
    (10, 'summit', 'Summit Telecom', 3, 1000000, 50000);

insert into users (id, owner_id, name, email, password, domain, created_at, updated_at)
select t.id, t.id, t.name, 'owner@' || t.domain || '.test', '$2y$04$f2LrxIYwzMG6oMRGtk53F.k3YE8XY2Ia4.D5GRhfeQ5tAxxz5ZeoS', t.domain, timestamp '2024-03-01 09:00:00', timestamp '2024-03-01 09:00:00'
from tenant as t
union all
select 100 + t.id, t.id, 'Editor of ' || t.name, 'editor@' || t.domain || '.test', '$2y$04$f2LrxIYwzMG6oMRGtk53F.k3YE8XY2Ia4.D5GRhfeQ5tAxxz5ZeoS', null, '2024-03-02 09:00:00', '2024-03-02 09:00:00'
from tenant as t;

insert into subscription_plans (id, name, email_limit, sms_limit, price_cents, created_at, updated_at) values
    (1, 'Starter', 5000, 200, 1900, '2024-01-01', '2024-01-01'),
    (2, 'Growth', 100000, 5000, 9900, '2024-01-01', '2024-01-01'),
    (3, 'Scale', 1000000, 50000, 49900, '2024-01-01', '2024-01-01');

insert into plan_purchaseds (owner_id, subscription_plan_id, expires_at, created_at, updated_at)
select id, plan, now() at time zone 'utc' + interval '1 year', '2024-03-01 09:05:00', '2024-03-01 09:05:00' from tenant order by id;

insert into email_s_m_s_limit_rates (owner_id, email, sms, created_at, updated_at)
select id, email, sms, '2024-03-01 09:05:00', '2024-03-01 09:05:00' from tenant order by id;

insert into smtp_servers (id, owner_id, name, created_at, updated_at)
select id, id, 'Platform relay', '2024-03-01 09:10:00', '2024-03-01 09:10:00' from tenant;

insert into email_services (owner_id, smtp_server_id, created_at, updated_at)
select id, id, '2024-03-01 09:10:00', '2024-03-01 09:10:00' from tenant order by id;

insert into sender_email_ids (owner_id, name, email, reply_to, created_at, updated_at)
select id, name, 'news@' || domain || '.test', 'owner@' || domain || '.test', '2024-03-01 09:10:00', '2024-03-01 09:10:00' from tenant order by id;

insert into sms_services (owner_id, provider, sender_id, created_at, updated_at)
select t.id, p.provider, '+1555000' || lpad(t.id::text, 4, '0'), '2024-03-01 09:10:00', '2024-03-01 09:10:00'
from tenant as t cross join (values ('twilio'), ('vonage')) as p (provider) order by t.id;

insert into sms_sender_ids (owner_id, sender_id, created_at, updated_at)
select id, '+1555000' || lpad(id::text, 4, '0'), '2024-03-01 09:10:00', '2024-03-01 09:10:00' from tenant order by id;

-- Contact N*100+i is the i-th of tenant N: number 11 has unsubscribed, number 12 bounces.
insert into email_contacts (id, owner_id, name, email, phone, is_unsubscribed, created_at, updated_at)
select t.id * 100 + i, t.id, 'Reader ' || i || ' of ' || t.name, 'reader' || i || '.' || t.domain || '@example.test',
       '+1555' || lpad((t.id * 100 + i)::text, 7, '0'), i = 11, '2024-03-03 10:00:00', '2024-03-03 10:00:00'
from tenant as t cross join generate_series(1, 12) as i;

insert into bounced_emails (owner_id, email, reason, created_at, updated_at)
select id, 'reader12.' || domain || '@example.test', '550 no such mailbox', '2024-03-20 08:00:00', '2024-03-20 08:00:00' from tenant order by id;

insert into template_builders (id, owner_id, name, subject, html, link, created_at, updated_at)
select t.id * 10 + i, t.id, c.name, c.subject || t.name,
       '<h1>' || c.subject || replace(replace(t.name, '&', '&amp;'), '"', '&quot;') || '</h1><p>Dear {name},</p><p><a href="{click_url}">Read on</a></p><img src="{open_url}" width="1" height="1" alt="">',
       'http://www.' || t.domain || '.test/' || i, '2024-03-04 10:00:00', '2024-03-04 10:00:00'
from tenant as t cross join (values (1, 'Newsletter', 'News from '), (2, 'Offer', 'An offer of ')) as c (i, name, subject);

insert into sms_builders (id, owner_id, name, body, created_at, updated_at)
select id * 10 + 1, id, 'Reminder', '{name}: a reminder from ' || name, '2024-03-04 10:00:00', '2024-03-04 10:00:00' from tenant;

insert into campaigns (id, owner_id, name, type, status, created_at, updated_at)
select t.id * 10 + c.i, t.id, c.name || t.name, c.type, 'draft', '2024-03-05 10:00:00'::timestamp + c.i * interval '1 day', '2024-03-05 10:00:00'::timestamp + c.i * interval '1 day'
from tenant as t cross join (values (1, 'email', 'Spring news / '), (2, 'email', 'Everyone / '), (3, 'sms', 'Reminder / ')) as c (i, type, name);

insert into campaign_emails (owner_id, campaign_id, email_contact_id, created_at, updated_at)
select t.id, t.id * 10 + c.i, t.id * 100 + r, '2024-03-06 10:00:00', '2024-03-06 10:00:00'
from tenant as t cross join (values (1, 3), (2, 12), (3, 3)) as c (i, recipients) cross join lateral generate_series(1, c.recipients) as r
order by t.id, c.i, r;

-- Far enough away that no cron run sends them during a demonstration.
insert into schedule_emails (owner_id, campaign_id, template_builder_id, scheduled_at, created_at, updated_at)
select id, id * 10 + 2, id * 10 + 1, '2031-01-01 08:00:00', '2024-03-07 10:00:00', '2024-03-07 10:00:00' from tenant order by id;
insert into schedule_sms (owner_id, campaign_id, sms_builder_id, gateway, scheduled_at, created_at, updated_at)
select id, id * 10 + 3, id * 10 + 1, 'twilio', '2031-01-01 08:00:00', '2024-03-07 10:00:00', '2024-03-07 10:00:00' from tenant order by id;

-- One SMS a provider and tenant on its way, so that a delivery report has something to report on:
-- SMdemo-N at Twilio, VNdemo-N at Vonage.
insert into sms_logs (owner_id, campaign_id, provider, message_id, phone, created_at, updated_at)
select t.id, t.id * 10 + 3, p.provider, p.prefix || 'demo-' || t.id, '+1555' || lpad((t.id * 100 + 1)::text, 7, '0'), '2024-03-08 10:00:00', '2024-03-08 10:00:00'
from tenant as t cross join (values ('twilio', 'SM'), ('vonage', 'VN')) as p (provider, prefix) order by t.id, p.provider;

drop table tenant;

-- The rows above chose their ids themselves; what is inserted next must not meet them.
do $$
declare
    t text;
begin
    foreach t in array array['users', 'subscription_plans', 'smtp_servers', 'email_contacts', 'template_builders', 'sms_builders', 'campaigns'] loop
        perform setval(pg_get_serial_sequence(t, 'id'), 10000);
    end loop;
end $$;
