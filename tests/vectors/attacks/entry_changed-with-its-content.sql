-- damage: entry_changed
-- entry: 3
DROP TRIGGER entry_unchanged;
DROP TRIGGER entry_kept;
DROP TRIGGER content_unchanged;
DROP TRIGGER content_kept;
DROP TRIGGER subtree_unchanged;
DROP TRIGGER subtree_kept;
DROP TRIGGER place_unchanged;
DROP TRIGGER place_kept;
DELETE FROM entry WHERE seq = 3;
INSERT INTO entry (seq, leaf, note, raw) VALUES (3, X'E73D43246791DFA853F77FF839164F19FCBE07D6C90773F6019A6230AD272ABA', 'jupyter-audit/c06318ac53d899fd
4
2dgDeESj3RylEsDCEoXg2IhTIaSe76r/rJGynuNpJrw=

— jupyter-audit/c06318ac53d899fd nLVccMmus/DczqmrH2SH4L9JLf1StppDzrZTDcPvFBIvk6GhW85/G7lTLPdLsNmZuRWcAUeTb7Sru0Y2lymbd977kAg=
', '{"actor":{"name":"eve","vouched_by":"os-account"},"body":{"kernel_id":"k-1","number":3,"silent":false},"contents":{"message":{"digest":"e566a0fb2738b941a21ea3d1e3f6b4bb0d4a32fbe296e9c7f8d6df58cb08a47b","media_type":"text/plain; charset=utf-8","size":8}},"grant":"g-0","seq":3,"session":"s-1","time":"2026-11-24T09:00:04.000000Z","type":"cell.admitted","v":1}');
DELETE FROM content WHERE id = 768;
INSERT INTO content (id, name, salt, encoding, data) VALUES (768, 'message', X'7373737373737373737373737373737373737373737373737373737373737373', 'plain', X'6861726D6C657373');
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
