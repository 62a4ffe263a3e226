-- reviews_owed.sql: one that has not come to its end
select kind, subject, after from reviews_owed order by kind, subject limit 1
