-- damage: schema
-- entry: None
DROP TRIGGER entry_kept; CREATE TRIGGER entry_kept BEFORE DELETE ON content
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: entry keeps what it has'); END;
