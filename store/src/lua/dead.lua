-- dead.lua: lists dead letters, oldest first: all that were given up at a time, and the first of those after it.
-- KEYS: see record.lua   ARGV: the time, how many after it   returns: a list of { member, reason, attempts, since }
local letters = {}
local function add(...)
  local found = redis.call('ZRANGEBYSCORE', DEAD, ...)
  for at = 1, #found, 2 do letters[#letters + 1] = read_letter(found[at], found[at + 1]) end
end
add(ARGV[1], ARGV[1], 'WITHSCORES')
add('(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
return letters
