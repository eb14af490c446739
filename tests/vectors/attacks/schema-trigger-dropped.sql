-- damage: schema
-- entry: None
DROP TRIGGER entry_kept;
