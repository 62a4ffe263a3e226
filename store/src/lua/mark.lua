-- mark.lua: marks keys that no write is in flight for.
-- KEYS: see record.lua   ARGV: request id (empty keeps each key's), members...   returns: how many
for at = 2, #ARGV do raise(ARGV[at], ARGV[1]) end
return #ARGV - 1
