-- Ends a lease that is under one of two tokens, and lowers its fence.
-- KEYS: lease, fence. ARGV: current, next, next_ms. Replies 1, or 0 if the lease is somebody else's.
local held = redis.call('GET', KEYS[1])
if held ~= ARGV[1] and held ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[2], ARGV[3])
redis.call('DEL', KEYS[1])
return 1
