-- walk_counts.sql: $1 walk
select kind, found from walk_counts where walk = $1 order by kind
