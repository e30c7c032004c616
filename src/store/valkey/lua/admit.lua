-- Checks whether an answer would be stored now; see fill.lua.
--
-- KEYS  clock
-- ARGV  nonce, incarnation and sequence of the read version, packed dependencies, number of documents read in a known
--       version, id and version of each
-- Returns `taken`, or why it would not be.
local i, s, f = open(KEYS[1], ARGV[1])
return ahead(s, ARGV[3]) or death(KEYS[1], i, f, ARGV[2], ARGV[3], ARGV[4]) or mismatch(KEYS[1], f, 5) or 'taken'
