-- damage: origin
-- entry: 0
DROP TRIGGER entry_unchanged;
DROP TRIGGER entry_kept;
DROP TRIGGER content_unchanged;
DROP TRIGGER content_kept;
DROP TRIGGER subtree_unchanged;
DROP TRIGGER subtree_kept;
DROP TRIGGER place_unchanged;
DROP TRIGGER place_kept;
DELETE FROM entry WHERE seq = 0;
INSERT INTO entry (seq, leaf, note, raw) VALUES (0, X'E8053C5C5BC608B0D5ECB95D3ABADBFD69F32D68F9A632A232B3A6FABAB6176C', 'jupyter-audit/c06318ac53d899fd
1
evcSp5zJOpV25ImjcvpINjBM2yw7vABUy1lYKqhtH4U=

— jupyter-audit/c06318ac53d899fd nLVccDBSETsMvJ7/Gr3iApdkNRrm8DgFACtk8AlBbwp4aVrqzXhFTvL77zF6uFbKPYR2kmtllVeAXZlD/AeWMduV2gE=
', '{"actor":{"name":"eve","vouched_by":"os-account"},"body":{"epoch":0,"format":true,"origin":"jupyter-audit/c06318ac53d899fd","verifier_key":"jupyter-audit/c06318ac53d899fd+9cb55c70+ARkr1fKatfYY9qxBR/oQp9M1uHz/xjwE3tHZRumHt8P4"},"seq":0,"time":"2026-11-24T09:00:01.000000Z","type":"ledger.created","v":1}');
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
