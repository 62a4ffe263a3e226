-- viewers_prune.sql: forgets proxies that are long gone. $1 before
delete from viewers where seen_at < $1
