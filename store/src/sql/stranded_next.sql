-- stranded_next.sql: the place that was seen last to hold a stranded key, as the present home is not known to do; behind the one that is given
-- up, where that is such a place. Of a key that a home had last which is home no more, in a bucket that keeps no versions. $1 id
select c.backend from stranded_keys s
join buckets b on b.id = s.bucket and b.versioning = ''
join promotions p on p.bucket = s.bucket and p.epoch = s.epoch and p.source <> b.home
join object_copies f on f.bucket = s.bucket and f.object_key = s.object_key and f.backend = p.source
join object_copies c on c.bucket = s.bucket and c.object_key = s.object_key and c.backend not in (p.source, b.home, s.home)
join bucket_backends m on m.bucket = s.bucket and m.backend = c.backend and m.state <> 'retiring'
left join object_copies h on h.bucket = s.bucket and h.object_key = s.object_key and h.backend = b.home and h.verified_at > 0
left join object_copies g on g.bucket = s.bucket and g.object_key = s.object_key and g.backend = s.home
where s.id = $1 and s.state = 'open' and s.merging = 0 and c.verified_at > 0
    and (h.backend is null or h.home_etag <> c.home_etag or h.size <> c.size)
    and (s.home = p.source or c.verified_at < g.verified_at or (c.verified_at = g.verified_at and c.backend > g.backend))
order by c.verified_at desc, c.backend limit 1
