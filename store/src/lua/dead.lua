-- dead.lua: lists dead letters, oldest first.
-- KEYS: see record.lua   ARGV: limit   returns: a list of { member, reason, attempts, since }
local letters = {}
for _, member in ipairs(redis.call('ZRANGE', DEAD, 0, tonumber(ARGV[1]) - 1)) do
  local record = read_record(member)
  local reason = redis.call('HGET', REASONS, member) or ''
  local since = tonumber(redis.call('ZSCORE', DEAD, member))
  letters[#letters + 1] = { member, reason, record and record.attempts or 0, since }
end
return letters
