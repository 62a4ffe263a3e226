-- settle.lua: raises the sequence of what is claimed or given up, in a page of the dirty keys: who has claimed it may have looked at the home
-- before something landed of which this server does not know, and must look once more; so must somebody at what was given up.
-- KEYS: see record.lua   ARGV: cursor, keys of a page   returns: the next cursor
local cursor, found = unpack(redis.call('HSCAN', DIRTY, ARGV[1], 'COUNT', ARGV[2]))
for at = 1, #found, 2 do
  local record = read_record(found[at])
  if record and (record.claim ~= 0 or record.job == 'dead') then raise(found[at], '') end
end
return cursor
