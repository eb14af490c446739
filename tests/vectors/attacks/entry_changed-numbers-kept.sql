-- damage: entry_changed
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
DELETE FROM entry WHERE seq = 6;
INSERT INTO entry (seq, leaf, note, raw) VALUES (5, X'92FF523E7C1F5D31C2E25E29720DED0C1CF750DAF0A93804B444FBAC0FE02D8C', 'jupyter-audit/c06318ac53d899fd
6
d0bFEJwvyJLQh5DQPqJxNneSk6dlw5qwn2orvUbi7YQ=

— jupyter-audit/c06318ac53d899fd nLVccHtJTATqYNWNFt6U9e55hJFpK+B5FDkjEhtuI356fCSHe4a7c7nBdmzV7mOO01sbdsHJnPhyvS8SxANtLWUftgo=
', '{"actor":{"name":"eve","vouched_by":"os-account"},"body":{"kernel_id":"k-1","number":6,"silent":false},"contents":{"message":{"digest":"c41c611a620d865db6067b20c9ee734bf39960256b3824fd6f52c1ae157eb723","media_type":"text/plain; charset=utf-8","size":8}},"grant":"g-1","seq":5,"session":"s-3","time":"2026-11-24T09:00:07.000000Z","type":"cell.admitted","v":1}');
INSERT INTO entry (seq, leaf, note, raw) VALUES (6, X'69CB40E7D769D99EF4DAD672713CD0FF83F1CFA468E7A87063905F1AF418BFAE', 'jupyter-audit/c06318ac53d899fd
7
Z+5z2uhDLVW8o4PbcTJNxx0YAi3xfTj6Ngg5BFtS+g4=

— jupyter-audit/c06318ac53d899fd nLVccNt9d6vkJe90FZ2XxDe1EPz0k5mvFkBB44xMQBncTsnRaiIJbZI1E1LMFC09tIM59G/7HLWI+kOfHvFAoly92Q8=
', '{"actor":{"name":"eve","vouched_by":"os-account"},"body":{"kernel_id":"k-1","number":5,"silent":false},"contents":{"message":{"digest":"753f94513b75764bf1e46e8c5cc94f0aa083f689791597bc3c589a8cfa500518","media_type":"text/plain; charset=utf-8","size":8}},"grant":"g-1","seq":6,"session":"s-2","time":"2026-11-24T09:00:06.000000Z","type":"cell.admitted","v":1}');
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
