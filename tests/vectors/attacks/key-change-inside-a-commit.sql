-- damage: key
-- entry: 280
DROP TRIGGER entry_unchanged;
DROP TRIGGER entry_kept;
DROP TRIGGER content_unchanged;
DROP TRIGGER content_kept;
DROP TRIGGER subtree_unchanged;
DROP TRIGGER subtree_kept;
DROP TRIGGER place_unchanged;
DROP TRIGGER place_kept;
DELETE FROM entry WHERE seq = 280;
DELETE FROM entry WHERE seq = 281;
INSERT INTO entry (seq, leaf, note, raw) VALUES (280, X'E85A9A58E99D925D65D3E06C4B2CD9F0A9883302915E42EDBAF52FD411F72B67', NULL, '{"actor":{"name":"eve","vouched_by":"os-account"},"body":{"epoch":2,"verifier_key":"jupyter-audit/c06318ac53d899fd+c5c2ec85+AecKtQBOKZpF9u74T+qKmLMn9q/1NkOp4q009dx/bTQ8"},"commit":2,"contents":{"message":{"digest":"3780b4d8cc3e5a507d152775711110ce8fb01f6483fbc3534107f07fd6f50f2c","media_type":"text/plain; charset=utf-8","size":10}},"grant":"g-70","seq":280,"session":"s-140","time":"2026-11-24T08:00:20.000000Z","type":"ledger.key_rotated","v":1}');
INSERT INTO entry (seq, leaf, note, raw) VALUES (281, X'98ABB37E0E08A688FE75C319727EEDF2963C75EC4DE87AA2D1955F62760A395F', 'jupyter-audit/c06318ac53d899fd
282
NVCRrprvhKVa6ndoOXDFqerrvd3eqidFEEwOjqRH8gc=

— jupyter-audit/c06318ac53d899fd N5OSi65N9Oa5AunQwu789CV+OUPnLFFmC7E6QaIlph/WGy1paThadn0OkPhOM6yaz8aesllDS5RT0snLhtniwGmbJwo=
', '{"actor":{"name":"eve","vouched_by":"os-account"},"body":{"kernel_id":"k-1","number":281,"silent":false},"contents":{"message":{"digest":"f92b928eff11e9a87e7e6add5a3745d7366f5684c41252ba4339a895cb19ffad","media_type":"text/plain; charset=utf-8","size":10}},"grant":"g-70","seq":281,"session":"s-140","time":"2026-11-24T08:00:20.000000Z","type":"cell.admitted","v":1}');
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
