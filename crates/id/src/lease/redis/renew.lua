-- Extends a lease that is under one of two tokens, and raises its fence.
-- KEYS: lease, fence. ARGV: current, next, ttl_ms, fence_ms, mine_ms.
-- Replies {fence_ms, place_ms}; nothing if the lease is lost, and then only writes back the fence that we knew.
local held = redis.call('GET', KEYS[1])
local ours = held == ARGV[1] or held == ARGV[2]
local fence = math.max(tonumber(redis.call('GET', KEYS[2]) or 0) or 0, tonumber(ARGV[5]))
if ours then fence = math.max(fence, tonumber(ARGV[4])) end
redis.call('SET', KEYS[2], string.format('%.0f', fence))
if not ours then return false end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
local time = redis.call('TIME')
return {fence, tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)}
