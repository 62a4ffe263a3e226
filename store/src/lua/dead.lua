-- dead.lua: lists dead letters, oldest first.
-- KEYS: see record.lua   ARGV: limit   returns: a list of { member, reason, attempts, since }
local letters = {}
for _, member in ipairs(redis.call('ZRANGE', DEAD, 0, tonumber(ARGV[1]) - 1)) do
  letters[#letters + 1] = read_letter(member, redis.call('ZSCORE', DEAD, member))
end
return letters
