-- sweep.lua: forgets consumers that hold nothing and were not seen for long; every worker process brings a new name.
-- KEYS: see record.lua   ARGV: idle in ms   returns: how many
local count = 0
for stream = LARGE, #KEYS do
  local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[stream], GROUP)
  for _, fields in ipairs(consumers.err and {} or consumers) do
    local consumer = {}
    for at = 1, #fields, 2 do consumer[fields[at]] = fields[at + 1] end
    if consumer.pending == 0 and consumer.idle > tonumber(ARGV[1]) then
      redis.call('XGROUP', 'DELCONSUMER', KEYS[stream], GROUP, consumer.name)
      count = count + 1
    end
  end
end
return count
