-- redrive.lua: queues dead letters again, with no attempt counted.
-- KEYS: see record.lua   ARGV: member, or empty for the oldest; limit   returns: how many
local members = { ARGV[1] }
if ARGV[1] == '' then members = redis.call('ZRANGE', DEAD, 0, tonumber(ARGV[2]) - 1) end
local count = 0
for _, member in ipairs(members) do
  local record = read_record(member)
  if record and record.place == 'x' then
    record.attempts = 0
    queue_job(member, record)
    write_record(member, record)
    count = count + 1
  end
end
return finish(count)
