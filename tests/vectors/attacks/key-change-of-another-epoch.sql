-- damage: key
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
INSERT INTO entry (seq, leaf, note, raw) VALUES (281, X'0995B48BD3DD82EC831D4F4D3167B86A6CABA5F57362DD62B84FB6F9D76ABB57', 'jupyter-audit/c06318ac53d899fd
282
uAm9u17bWAeNZPbyKEEFNcKeGJDR5fL6nd/9jwYJ/1M=

— jupyter-audit/c06318ac53d899fd N5OSixQoiGNUdaJIZinP2ea11hQW3xbVV4cs3oOngMlzB4w4XUBY7iUQOQiYKItphc6AQTb23mJ4syjgVVl3i9cbzQo=
', '{"actor":{"name":"eve","vouched_by":"os-account"},"body":{"epoch":3,"verifier_key":"jupyter-audit/c06318ac53d899fd+99487579+AQVTfNs7d2ouhI1RlOJl/FEOvKdFXGn52WnWrUuRLDbF"},"contents":{"message":{"digest":"f92b928eff11e9a87e7e6add5a3745d7366f5684c41252ba4339a895cb19ffad","media_type":"text/plain; charset=utf-8","size":10}},"grant":"g-70","seq":281,"session":"s-140","time":"2026-11-24T08:00:20.000000Z","type":"ledger.key_rotated","v":1}');
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
