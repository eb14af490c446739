-- damage: entry_changed
-- entry: 12
DROP TRIGGER entry_unchanged;
DROP TRIGGER entry_kept;
DROP TRIGGER content_unchanged;
DROP TRIGGER content_kept;
DROP TRIGGER subtree_unchanged;
DROP TRIGGER subtree_kept;
DROP TRIGGER place_unchanged;
DROP TRIGGER place_kept;
DELETE FROM entry WHERE seq = 12;
INSERT INTO entry (seq, leaf, note, raw) VALUES (12, X'FA6C8F6AB6F5CE5681B92B45F048FF1DC0D6FB18A8FF947E84C3679C784B3BFF', NULL, '{"actor":{"name":"eve","vouched_by":"os-account"},"body":{"kernel_id":"k-1","number":12,"silent":false},"commit":2,"contents":{"message":{"digest":"8c36a8044c00d8d3e7ffb3cf4279bb23b0dcf6eaed12ea98bb8d33f42dba6fca","media_type":"text/plain; charset=utf-8","size":9}},"grant":"g-3","seq":12,"session":"s-6","time":"2026-11-24T08:00:13.000000Z","type":"cell.admitted","v":1}');
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
