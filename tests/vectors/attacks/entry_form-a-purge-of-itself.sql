-- damage: entry_form
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
INSERT INTO entry (seq, leaf, note, raw) VALUES (281, X'338BFF6DE4351BE662B1DDE8D73D15003F455F293457357A2793ACD6B072F490', 'jupyter-audit/c06318ac53d899fd
282
Bv2k1YO5AIM9kkQaQLh8xELjy9oTr7feQ1DSkZlqZkY=

— jupyter-audit/c06318ac53d899fd N5OSi6eIw4FPEART/q2bK5d+jEzkK5yOigSf5Dfkhga5CS9vHBdf8r8nH3y2qVdyGjF6zmvohUnVah2Ok7J4+RFINwU=
', '{"actor":{"name":"eve","vouched_by":"os-account"},"body":{"contents":[{"first":3,"last":281}],"reason":"asked for"},"contents":{"message":{"digest":"f92b928eff11e9a87e7e6add5a3745d7366f5684c41252ba4339a895cb19ffad","media_type":"text/plain; charset=utf-8","size":10}},"grant":"g-70","seq":281,"session":"s-140","time":"2026-11-24T08:00:20.000000Z","type":"content.purged","v":1}');
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
