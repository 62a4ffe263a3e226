-- promotions_count.sql: not ended
select count(*) as running from promotions where state not in ('done', 'failed')
