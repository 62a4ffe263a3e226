-- look.lua: tells what a shard has for workers, so that they ask first where keys have waited longest.
-- KEYS: see record.lua   ARGV: age in ms at which a claim is stale
-- returns: of the small and of the large lane { ready, stale claims up to ten a stream, since when the next one is dirty or -1 }
queue_due()

local function look(lane)
  local ready, stale, oldest = 0, 0, -1
  local first, last = streams_of(lane)
  for stream = first, last do
    local length, given = redis.call('XLEN', KEYS[stream]), '-'
    if length > 0 then
      for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[stream])) do
        for at = 1, #group, 2 do
          if group[at] == 'pending' and group[at + 1] > 0 then
            length = length - group[at + 1]
            stale = stale + #redis.call('XPENDING', KEYS[stream], GROUP, 'IDLE', ARGV[1], '-', '+', 10)
          elseif group[at] == 'last-delivered-id' then
            given = '(' .. group[at + 1]
          end
        end
      end
    end
    local entry = length > 0 and redis.call('XRANGE', KEYS[stream], given, '+', 'COUNT', 1)[1]
    local record = entry and read_record(entry[2][2])
    if record and (oldest < 0 or record.since < oldest) then oldest = record.since end
    ready = ready + length
  end
  return { ready, stale, oldest }
end
return { look('s'), look('l') }
