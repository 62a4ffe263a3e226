-- letters.lua: stands before the scripts that list dead letters.
local function read_letter(member, since)
  local record = read_record(member)
  return { member, redis.call('HGET', REASONS, member) or '', record and record.attempts or 0, tonumber(since) }
end
