-- damage: checkpoint_signature
-- entry: 5
DROP TRIGGER entry_unchanged;
DROP TRIGGER entry_kept;
DROP TRIGGER content_unchanged;
DROP TRIGGER content_kept;
DROP TRIGGER subtree_unchanged;
DROP TRIGGER subtree_kept;
DROP TRIGGER place_unchanged;
DROP TRIGGER place_kept;
DELETE FROM entry WHERE seq = 5;
INSERT INTO entry (seq, leaf, note, raw) VALUES (5, X'A57A55869E87A195D94A2D08D277BE5A2182092D7945447990DDC1D715813678', 'jupyter-audit/c06318ac53d899fd
6
d0bFEJwvyJLQh5DQPqJxNneSk6dlw5qwn2orvUbi7YQ=

— jupyter-audit/c06318ac53d899fd N5OSi5JRnENmy1av2UxnhylS5j6rt9utjS8PkyvNqgqxsV/PUuIjeoO6j2AjBsgUgiCF4st+PIEzx5JRyonEd0oHNww=
', '{"actor":{"name":"eve","vouched_by":"os-account"},"body":{"kernel_id":"k-1","number":5,"silent":false},"contents":{"message":{"digest":"753f94513b75764bf1e46e8c5cc94f0aa083f689791597bc3c589a8cfa500518","media_type":"text/plain; charset=utf-8","size":8}},"grant":"g-1","seq":5,"session":"s-2","time":"2026-11-24T09:00:06.000000Z","type":"cell.admitted","v":1}');
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
