-- dead_page.lua: lists some dead letters by ZSCAN, which shows every one that is there all the while.
-- KEYS: see record.lua   ARGV: cursor, how many to look at   returns: the next cursor, and a list as of dead.lua
local scanned, letters = redis.call('ZSCAN', DEAD, ARGV[1], 'COUNT', ARGV[2]), {}
for at = 1, #scanned[2], 2 do letters[#letters + 1] = read_letter(scanned[2][at], scanned[2][at + 1]) end
return { scanned[1], letters }
