-- A week of sends that puts each tenant in its volume class: low < 1,000 a day, medium up to 10,000, high above.
-- Apart from seed.sql, because it is 220,000 rows that most uses of the other rows can do without.

insert into user_sent_records (owner_id, type, created_at)
select v.owner_id, case when i % 20 = 0 then 'sms' else 'email' end, now() at time zone 'utc' - i * (interval '7 days' / (7 * v.a_day))
from (values (1, 50), (2, 120), (3, 400), (4, 1500), (5, 2500), (6, 12000), (7, 30), (8, 3), (9, 4000), (10, 11000)) as v (owner_id, a_day)
cross join lateral generate_series(0, 7 * v.a_day - 1) as i;

analyze user_sent_records;
