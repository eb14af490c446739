-- damage: time
-- entry: 281
DROP TRIGGER entry_unchanged;
DROP TRIGGER entry_kept;
DROP TRIGGER content_unchanged;
DROP TRIGGER content_kept;
DROP TRIGGER subtree_unchanged;
DROP TRIGGER subtree_kept;
DROP TRIGGER place_unchanged;
DROP TRIGGER place_kept;
DELETE FROM entry WHERE seq = 281;
INSERT INTO entry (seq, leaf, note, raw) VALUES (281, X'B5FE43598155CA7898499C9B7D9FF59F0BF991A9BA734B4923039C99A3EB9578', 'jupyter-audit/c06318ac53d899fd
282
JtNFNyG7v9ksg9BV9CRjuIrKT3oaGlPTDnJqR6vUZOw=

— jupyter-audit/c06318ac53d899fd N5OSixq+7aT6VhSpAMym+FklsUwUAB/qJV+pSBFo5qrM9svlTjeclOXib5fH8+qOXTns53MrsJrQJecYaXJIyC8SBg4=
', '{"actor":{"name":"eve","vouched_by":"os-account"},"body":{"kernel_id":"k-1","number":281,"silent":false},"contents":{"message":{"digest":"f92b928eff11e9a87e7e6add5a3745d7366f5684c41252ba4339a895cb19ffad","media_type":"text/plain; charset=utf-8","size":10}},"grant":"g-70","seq":281,"session":"s-140","time":"2026-11-24T07:00:00.000000Z","type":"cell.admitted","v":1}');
CREATE TRIGGER entry_unchanged BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: entry keeps what it has'); END;
CREATE TRIGGER entry_kept BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: entry keeps what it has'); END;
CREATE TRIGGER content_unchanged BEFORE UPDATE ON content
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: content keeps what it has'); END;
CREATE TRIGGER content_kept BEFORE DELETE ON content
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: content keeps what it has'); END;
CREATE TRIGGER subtree_unchanged BEFORE UPDATE ON subtree
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: subtree keeps what it has'); END;
CREATE TRIGGER subtree_kept BEFORE DELETE ON subtree
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: subtree keeps what it has'); END;
CREATE TRIGGER place_unchanged BEFORE UPDATE ON place
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: place keeps what it has'); END;
CREATE TRIGGER place_kept BEFORE DELETE ON place
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: place keeps what it has'); END;
