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
INSERT INTO entry (seq, leaf, note, raw) VALUES (281, X'D50C20A182BA69C9E60AA6D78BF1731AC47290080696D0FB63D8E182749E6ABC', 'jupyter-audit/c06318ac53d899fd
282
TF3FJSYtaknVVqk1V09Iu9YdF9h5R+9IjUV82DLtx+o=

— jupyter-audit/c06318ac53d899fd N5OSiyDXFhs22YWwYeaRTYeVZeDMSX473SBJqf5Y6iNSTTkAbAYNlBBA9q03NO7gkHVE9TKbkq40cJuzyDjSkCrenwM=
', '{"actor":{"name":"eve","vouched_by":"os-account"},"body":{"kernel_id":"k-1","number":281,"silent":false},"clock_back":true,"contents":{"message":{"digest":"f92b928eff11e9a87e7e6add5a3745d7366f5684c41252ba4339a895cb19ffad","media_type":"text/plain; charset=utf-8","size":10}},"grant":"g-70","seq":281,"session":"s-140","time":"2026-11-24T08:00:20.000000Z","type":"cell.admitted","v":1}');
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
